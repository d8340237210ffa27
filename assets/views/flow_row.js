// One flow as a row: what its columns are, and what stands in them.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { costOf } from "./cost.js"
import { KINDS, glyph, statusSign } from "./signs.js"

/** `sorts`: the server can order by it; `falling: false`: the first press of its header gives the lowest first. */
export const COLUMNS = [
  { name: "status", title: "Status", sorts: true, about: "Whether the flow ended well" },
  { name: "time", title: "Ended", sorts: true, about: "When the flow ended" },
  { name: "name", title: "Flow", sorts: true, falling: false, about: "What it was" },
  { name: "agent", title: "Agent", sorts: true, falling: false, about: "The agent that led it" },
  { name: "duration_ms", title: "Duration", sorts: true, about: "From start to end; the bar is relative to the longest of the rows that are loaded" },
  { name: "tokens", title: "Tokens", sorts: true, about: "Input and output tokens of its model calls" },
  { name: "cost", title: "Cost", sorts: true, about: "What its calls cost, as reported; ≈ where some of it is estimated from the price book" },
  { name: "calls", title: "Calls", about: "Model calls and tool calls" },
  { name: "errors", title: "Errors", sorts: true, about: "Spans of it that failed" },
]

/** The cells of an empty row. */
export const cells = () => COLUMNS.map((c) => h(`div.c-${c.name}`, { role: "gridcell" }, CONTENT[c.name]?.() ?? []))

const CONTENT = {
  name: () => [h("a", { tabindex: "-1" }), h("small.bad")],
  duration_ms: () => [h("span.track", {}, h("u")), h("span")],
  calls: () => ["model", "tool"].map((kind) => h("span", {}, glyph(KINDS[kind].path), h("b"), h("span.visually-hidden"))),
}

/** Write a row's values into its cells. about: {max, tz, href}. */
export function fill(element, row, { max, tz, href }) {
  const cell = Object.fromEntries(COLUMNS.map((c, i) => [c.name, element.children[i]]))
  if (cell.status.dataset.is !== String(row.status)) {
    cell.status.dataset.is = String(row.status)
    cell.status.replaceChildren(statusSign(row.status))
  }
  const ended = Date.parse(row.time)
  say(cell.time, moment(ended, tz))
  mark(cell.time, "data-tip", `Ended ${format.clock(ended, tz, "full")}`)
  const [link, failure] = cell.name.children
  say(link, row.name ?? "(none)")
  mark(link, "href", href)
  mark(link, "title", row.name)
  say(failure, row.error_type ?? "")
  say(cell.agent, row.agent ?? "(none)")
  mark(cell.agent, "title", row.agent)
  const [track, took] = cell.duration_ms.children
  track.firstElementChild.style.width = `${max && row.duration_ms ? (100 * row.duration_ms) / max : 0}%`
  say(took, format.text(row.duration_ms, "ms"))
  mark(cell.duration_ms, "data-tip", format.exact(row.duration_ms, "ms"))
  say(cell.tokens, format.text(row.tokens))
  mark(cell.tokens, "data-tip", format.exact(row.tokens, "tokens"))
  const [cost, exactly] = costOf(row)
  say(cell.cost, cost)
  mark(cell.cost, "data-tip", exactly)
  called(cell.calls, row)
  failed(cell.errors, row.errors)
}

/** The time of day, and the day where it is not today. */
export function moment(ms, tz) {
  const day = format.clock(ms, tz, "day")
  return (day === format.clock(Date.now(), tz, "day") ? "" : `${day} `) + format.clock(ms, tz, "second")
}

/** Whether a flow ended today, on the clock of the zone. */
export const isToday = (row, tz) => !moment(Date.parse(row.time), tz).includes(" ")

function called(cell, row) {
  const counts = [[row.model_calls, "model call"], [row.tool_calls, "tool call"]]
  const words = counts.map(([n, word]) => `${format.text(n)} ${word}${n === 1 ? "" : "s"}`)
  counts.forEach(([n, word], i) => {
    const [, number, said] = cell.children[i].children
    say(number, format.text(n))
    say(said, ` ${word}${n === 1 ? "" : "s"}`)
  })
  mark(cell, "data-tip", words.join("\n"))
}

function failed(cell, n) {
  if (cell.dataset.n === String(n)) return
  cell.dataset.n = String(n)
  mark(cell, "data-some", n > 0 ? "" : null)
  cell.replaceChildren(...(n > 0 ? [icon("warn")] : []), format.text(n))
}
