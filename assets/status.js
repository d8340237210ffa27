// Data status: who sends, how regularly, what was dropped and why, and how far the numbers are complete.

import { h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { popover } from "./menus.js"

const REFRESH_MS = 2000
const LISTED = 200

/** The facts line as a button that tells the whole of it. dataset() names the dataset of the page. */
export function dataStatus(button, scope, feed, dataset) {
  let timer = null
  popover(button, {
    kind: "sources", label: () => "Data status",
    fill(box) {
      const body = h("div.sources-of", { "aria-busy": "true" }, h("p.note", {}, "Asking …"))
      box.append(h("div.steps", {}, h("b", {}, "Data status"), h("small", {}, "of the last hour")), body)
      const ask = async () => {
        try {
          const { analytics } = await feed.question({ type: "sources", dataset: [].concat(dataset() ?? "events")[0] })
          if (box.isConnected) keep(body, () => told(analytics, scope.state.tz))
        } catch (error) {
          if (box.isConnected) body.replaceChildren(h("p.note", {}, icon("warn"), format.sentence(error.message)))
        }
        body.removeAttribute("aria-busy")
        clearTimeout(timer)
        if (box.isConnected) timer = setTimeout(ask, REFRESH_MS)
      }
      ask()
      box.tabIndex = -1
      return box
    },
    closed: () => clearTimeout(timer),
  })
}

/** Draw anew without losing the place that was scrolled to. */
function keep(body, make) {
  const place = body.querySelector(".scroller")?.scrollTop ?? 0
  body.replaceChildren(...make())
  const scroller = body.querySelector(".scroller")
  if (scroller) scroller.scrollTop = place
}

function told({ sources = [], drops = [], events_per_min: rate, dropped, watermark }, tz) {
  const late = sources.filter((s) => s.late).length
  const facts = [
    [format.text(sources.length), `source${sources.length === 1 ? "" : "s"}${late ? `, ${late} late` : ""}`],
    [format.text(rate), "events per minute"], [format.text(dropped), "dropped"],
    [moment(watermark, tz, "second") ?? format.DASH, "watermark"],
  ]
  const order = [...sources].sort((a, b) => Number(b.late) - Number(a.late) || (b.events_per_min ?? 0) - (a.events_per_min ?? 0))
  return [
    h("dl.facts-of", {}, facts.map(([value, name]) => h("div", {}, h("dd", {}, value), h("dt", {}, name)))),
    h("p.note", {}, "Everything up to the watermark has arrived from every source that is on time. What a late source still has to send may change numbers after it."),
    sources.length ? table(order, tz) : h("p.note", {}, "No source has sent anything in the last hour."),
    ...dropSection(drops),
  ]
}

function table(sources, tz) {
  const row = (s) => h("tr", s.late ? { "data-late": "" } : {},
    h("th", { scope: "row", title: (s.kinds ?? []).join(", ") }, s.source || "(no name)"),
    h("td", {}, h("span.state-of", {}, icon(s.late ? "warn" : "check"), s.late ? "Late" : "On time")),
    h("td", { title: moment(s.last_seen, tz) }, typeof s.age_s === "number" ? `${format.age(s.age_s)} ago` : format.DASH),
    h("td", {}, typeof s.usual_s === "number" ? `within ${format.age(s.usual_s)}` : "not known yet"),
    h("td.n", {}, format.text(s.events_per_min)))
  return h("div.scroller", { tabindex: "0", role: "group", "aria-label": "Sources" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Source", "State", "Last seen", "Rhythm", "Per min"].map((text, i) => h("th", { scope: "col", class: i === 4 ? "n" : null }, text)))),
    h("tbody", {}, sources.slice(0, LISTED).map(row))),
  sources.length > LISTED ? h("p.note", {}, `and ${format.text(sources.length - LISTED)} more`) : null)
}

function dropSection(drops) {
  if (!drops.length) return [h("p.note", {}, icon("check"), "Nothing was dropped.")]
  return [h("h3", {}, "Dropped"), h("ul.drops", {}, drops.map(({ reason, count, example }) =>
    h("li", {}, h("b", {}, format.text(count)), " ", String(reason).replaceAll("_", " "),
      example ? h("code", {}, (typeof example === "string" ? example : JSON.stringify(example)).slice(0, 300)) : null)))]
}

function moment(told, tz, style = "full") {
  const at = typeof told === "number" ? told : Date.parse(told ?? "")
  return Number.isFinite(at) ? format.clock(at, tz, style) : null
}

/** What the facts line says of a board. */
export function factsLine(button, board, tz) {
  const { sources, events_per_min: rate, dropped, watermark } = board
  const late = sources?.late?.length ?? 0
  const plural = (n, word) => `${format.text(n)} ${word}${n === 1 ? "" : "s"}`
  const words = [
    typeof sources?.reporting === "number" ? plural(sources.reporting, "source") + (late ? `, ${late} late` : "") : "",
    typeof rate === "number" ? `${format.text(rate)} events/min` : "",
    typeof dropped === "number" ? `${format.text(dropped)} dropped` : "",
    typeof watermark === "number" ? `watermark ${format.clock(watermark, tz, "second")}` : "",
  ].filter(Boolean)
  say(button, words.join(" · ") || "Data status")
  mark(button, "data-late", late || dropped ? "" : null)
}
