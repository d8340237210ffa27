// The legend of a line tile, in its header: what wears which line; where the lines are values of a dimension, buttons
// that filter by them.

import { h, mark, svg } from "./dom.js"
import * as format from "./format.js"

/** A line as it is drawn: its colour, and its dashes where colours alone could be mistaken. */
export function swatch({ role, dash = [] }) {
  return svg("svg.key", { viewBox: "0 0 16 4", "aria-hidden": "true" },
    svg("path", { d: "M1 2h14", style: `stroke:var(--${role})`, "stroke-dasharray": dash.length ? dash.join(" ") : null }))
}

/** The soft band of what is expected. */
export const range = () => h("i.range", { "aria-hidden": "true" })

/** The name of a series as it is shown; null is the group of rows without a value. */
export const named = (series) => series.other ? series.title || "other" : series.name === null ? "(none)" : series.title || String(series.name ?? "")

/** What wears a line, by its number. */
export const worn = (tile, i) => ({ role: tile.series[i], dash: tile.dashes?.[i] ?? [] })

/** The filter a series stands for; null for a metric, and for what is left of all others. */
export const filterOf = (series) => (series.dim && !series.other ? [series.dim, series.name] : null)

export function legend(element, tile, head, columns, board) {
  if (tile.type !== "line" || !head.series) return
  const compared = head.series.some((_, i) => columns[`p${i}`]?.some((v) => v !== null)) && !head.series[0]?.dim
  const pressed = head.series.map((s) => filterOf(s) !== null && board.filtered(...filterOf(s)))
  const ranged = head.band && head.band.state !== "off" ? { ...head.band, shown: !board.unbanded.has(tile.id) } : null
  const said = ranged && { ...ranged, coverage: null, model: null, has: ranged.state === "ok" ? null : ranged.has }
  const words = JSON.stringify([head.series.map((s) => [s.title, s.name]), compared && board.previous_label, pressed, said])
  if (element.dataset.words === words) return
  const focused = [...element.children].findIndex((child) => child === element.getRootNode().activeElement)
  element.dataset.words = words
  element.replaceChildren(
    ...head.series.map((s, i) => entry(s, worn(tile, i), pressed[i], board)),
    ...(compared ? [h("span.dim", {}, swatch({ role: "ghost", dash: [3, 3] }), board.previous_label)] : []),
    ...(ranged ? [rangeEntry(ranged, tile, board)] : []))
  element.children[focused]?.focus()
  fit(element)
}

/** What is expected, to be taken away and brought back; while it is being learnt, how far that is. */
function rangeEntry({ state, has, needs, level, shown, coverage, model }, tile, board) {
  const name = `expected ${format.text(level, "percent").replace(".0%", "%")}`
  const toggle = () => {
    board.unbanded[shown ? "add" : "delete"](tile.id)
    board.redraw(tile.id)
  }
  const learning = state === "learning"
  const why = learning ? `Learning: ${has} of the ${needs} buckets that a range needs` : ["The range that 95 of 100 buckets stay inside, learnt from this series' own past",
    typeof coverage === "number" ? `It held ${format.text(coverage, "percent")} of it` : "",
    typeof model === "number" ? `Confidence in it ${format.confidence(model)}` : ""].filter(Boolean).join("\n")
  return h("button.ranged", { type: "button", "aria-pressed": String(shown), "data-tip": `${name}\n${why}${learning ? "" : `\n${shown ? "Hide" : "Show"} it`}`,
    click: learning ? null : toggle }, range(), h("span.name", {}, learning ? `learning, ${has} of ${needs}` : name))
}

/** Give a legend that does not fit beside the title a line of its own. */
export function fit(element) {
  const header = element.parentElement
  const title = header.querySelector("h2")
  header.classList.remove("many")
  header.classList.toggle("many", element.offsetHeight > 1.5 * Math.max(17, element.firstElementChild?.offsetHeight ?? 0) || title.scrollWidth > title.clientWidth)
}

function entry(series, wears, pressed, board) {
  const name = named(series)
  const filter = filterOf(series)
  if (!filter) return h("span", { "data-tip": series.other ? `${name}\nAll groups that are not listed, together` : null }, swatch(wears), h("span.name", {}, name))
  return h("button", { type: "button", "aria-pressed": String(pressed), "data-tip": `${name}\n${board.filterTip(...filter)}`,
    click: () => board.toggle(...filter) }, swatch(wears), h("span.name", {}, name))
}
