// What a chart shows, in one sentence made from its rows: what a screen reader says in place of the picture.

import { h, mark, say } from "./dom.js"
import * as format from "./format.js"
import { between } from "./incidents.js"
import { named } from "./legend.js"

const SAME = 0.02 // a smaller relative change is none
const MOST = 3 // series that are told one by one

/** One sentence about a tile; empty where a tile needs none or has nothing to show. */
export function summary(tile, head, columns, board) {
  const told = (head.state ?? "ok") === "ok" && SENTENCES[tile.type]?.(tile, head, columns, board)
  return told ? `${told}.` : ""
}

/** Hang a sentence on an element as its description; the text element is made behind it once. */
export function hang(element, id, text) {
  element.told ??= element.parentElement.appendChild(h("p.visually-hidden", { id }))
  say(element.told, text)
  mark(element, "aria-describedby", text ? id : null)
}

const lowered = (label) => (label ? label.charAt(0).toLowerCase() + label.slice(1) : "")
const known = (values = []) => values.filter((v) => typeof v === "number")
const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length

/** "now 4.82 s, between 1.9 and 5.3 s, highest at 14:52" */
function course(times, values, { unit, per }, board) {
  const there = known(values)
  if (!there.length) return "no values"
  const [low, high] = [there.reduce((a, b) => Math.min(a, b)), there.reduce((a, b) => Math.max(a, b))]
  const text = (v) => format.text(v, unit, per)
  const last = `${typeof values.at(-1) === "number" ? "now" : "last"} ${text(there.at(-1))}`
  if (there.length === 1) return last
  if (text(low) === text(high)) return `${last}, steady`
  return `${last}, between ${text(low)} and ${text(high)}, highest at ${format.clock(times[values.indexOf(high)], board.tz)}`
}

/** "rose 84% against previous hour", of two columns where both are known. */
function moved(values = [], previous = [], board) {
  const both = values.flatMap((v, i) => (typeof v === "number" && typeof previous[i] === "number" ? [i] : []))
  if (!both.length) return ""
  const [now, then] = [mean(both.map((i) => values[i])), mean(both.map((i) => previous[i]))]
  if (!then) return ""
  return changed(now / then - 1, "relative", board)
}

function changed(change, kind, board) {
  if (typeof change !== "number") return ""
  if (Math.abs(change) <= (kind === "relative" ? SAME : 0)) return `about as in the ${board.previous_label}`
  return `${change > 0 ? "rose" : "fell"} ${format.change(Math.abs(change), kind).replace("▲ ", "")} against the ${board.previous_label}`
}

/** What was expected last, and what left it. */
function left({ band, marks = [], series }, { lo = [], hi = [] }, board) {
  if (band?.state !== "ok") return ""
  const range = typeof lo.at(-1) === "number" && typeof hi.at(-1) === "number" ? `expected ${between(lo.at(-1), hi.at(-1), series[0])}` : ""
  const told = marks.slice(-MOST).map((m) => `${m.text} at ${format.clock(m.t, board.tz)}${m.until === null ? " and still" : ""}`)
  return [range, ...told].filter(Boolean).join(", ")
}

const SENTENCES = {
  line(tile, head, columns, board) {
    const { series = [] } = head
    const told = series.slice(0, MOST).map((s, i) => {
      const change = moved(columns[`s${i}`], columns[`p${i}`], board)
      const expected = i ? "" : left(head, columns, board)
      return `${named(s)} ${course(columns.t ?? [], columns[`s${i}`] ?? [], s, board)}${change && `; ${change}`}${expected && `; ${expected}`}`
    })
    const more = series.length - told.length
    return `${lead(tile, board)}: ${told.join(". ")}${more > 0 ? `. And ${more} more series` : ""}`
  },

  kpi(tile, head, columns, board) {
    const change = changed(head.change, head.change_kind, board)
    return `${lead(tile, board)}: ${course(columns.t ?? [], columns.v ?? [], head, board)}${change && `; ${change}`}`
  },

  heatmap(tile, { unit }, { t = [], low = [], high = [], n = [] }, board) {
    if (!n.length) return ""
    const bins = new Map()
    n.forEach((count, i) => bins.set(low[i], { count: (bins.get(low[i])?.count ?? 0) + count, high: high[i] }))
    const all = n.reduce((sum, count) => sum + count, 0)
    const [bin, { count, high: top }] = [...bins].reduce((best, entry) => (entry[1].count > best[1].count ? entry : best))
    const what = (tile.metrics[0]?.title ?? "rows").toLowerCase()
    return `${lead(tile, board)}: ${format.text(all)} ${what}, ${format.text(count / all, "percent")} of them between ${format.text(bin, unit)} and ${
      format.text(top, unit)}, from ${format.text(Math.min(...bins.keys()), unit)} up to ${format.text(high.reduce((a, b) => Math.max(a, b)), unit)}`
  },

  budgets(tile, head, { title = [], label = [], spent = [], limit = [], unit = [], forecast = [], attention = [] }) {
    const told = title.slice(0, 2 * MOST).map((name, i) => [
      `${[name, label[i]].filter(Boolean).join(", ")} ${format.text(spent[i], unit[i])}`,
      typeof limit[i] === "number" ? ` of ${format.text(limit[i], unit[i])}` : "",
      attention[i] === "bad" ? ", limit reached" : forecast[i] ? `, ${lowered(forecast[i].text)}` : "",
    ].join(""))
    return `${tile.title}: ${told.join("; ")}${title.length > told.length ? `; and ${title.length - told.length} more` : ""}`
  },

  bars(tile, head, { label = [], value = [] }, board) {
    if (!label.length) return ""
    const all = known(value).reduce((sum, v) => sum + Math.abs(v), 0)
    const told = label.slice(0, MOST).map((name, i) => `${name ?? "(none)"} ${format.text(value[i], head.unit, head.per)}`)
    const part = typeof value[0] === "number" && all && head.unit !== "percent" && head.unit !== "ms" ? `; ${label[0] ?? "(none)"} is ${format.text(Math.abs(value[0]) / all, "percent")} of what is shown` : ""
    return `${lead(tile, board)}: ${told.join(", ")}${label.length > MOST ? `, and ${label.length - MOST} more` : ""}${part}`
  },
}

const lead = (tile, board) => [tile.title, lowered(board.label)].filter(Boolean).join(", ")
