// The causes of a change, largest first, and what can be done about each: look only at it, see its rows, leave it out.

import { h, icon } from "./dom.js"
import * as format from "./format.js"
import { menu } from "./menus.js"
import { confidence, ring } from "./tiles.js"
import { evidence } from "./why_rows.js"
import { way } from "./why_waterfall.js"
import { percent, shown, short, signed } from "./why_words.js"

const PARTS = [
  ["rate", "Rate", "its own value moved"],
  ["mix", "Mix", "it is a larger or smaller part of all"],
  ["volume", "Volume", "there is more or less of it"],
]
const LEAST = 0.005 // of a change; a smaller part has no words

/** The list, with its heading; [] where there is nothing to list. */
export function causes(answer, context) {
  const found = answer.causes ?? []
  if (!found.length) return []
  return [h("h3", {}, answer.localised ? "Where it comes from" : "The largest parts, none of which stands out"),
    h("ol.causes", {}, found.map((cause, i) => card(cause, i, answer, context)))]
}

/** What no cause accounts for, and how it came. */
export function restOf({ rest, rest_parts: parts, causes: found = [], change, unit, per }) {
  if (typeof rest !== "number" || !parts || Math.abs(rest) <= Math.abs(change || 0) * LEAST) return null
  return h("div.why-rest", {}, h("p", {}, h("b", {}, found.length ? "All else" : "Everything together"), h("span", {}, `${change ? `${percent(rest / change)} · ` : ""}${signed(rest, unit, per)}`)), split(parts, unit, per))
}

function card(cause, i, answer, context) {
  const { unit, per } = answer
  const { good } = context
  const before = `${format.text(cause.baseline, unit, per)} → ${format.text(cause.current, unit, per)}`
  return h("li.cause", {},
    h("div.cause-head", {}, h("span.place", { "aria-hidden": "true" }, String(i + 1)), chips(cause.where),
      h("b.share", { "data-tip": "Its share of the whole change" }, typeof cause.share === "number" ? percent(cause.share) : ""),
      h("em", { "data-way": way(cause.change, good) }, signed(cause.change, unit, per))),
    split(cause, unit, per),
    h("p.meta", {}, ring(cause.confidence), `${confidence(cause.confidence)} · ${before} · ${counted(cause)}`),
    h("div.acts", { role: "group", "data-picture": "none", "aria-label": `What to do about ${Object.values(cause.where).map(shown).join(" and ")}` }, acts(cause.where, answer, context)))
}

const counted = ({ n, n_baseline: before }) => `${format.text(n)} rows${typeof before === "number" ? `, before ${format.text(before)}` : ""}`

const chips = (where) => h("span.where", {}, Object.entries(where).map(([dim, value]) => h("span.wherein", { title: `${dim}: ${shown(value)}` }, h("i", {}, short(dim)), h("b", {}, shown(value)))))

/** How a change came about, as a bar of at most three parts and in words. */
function split(parts, unit, per) {
  const known = PARTS.map(([key, name, what]) => ({ key, name, what, value: parts[key] })).filter(({ value }) => typeof value === "number")
  const whole = known.reduce((sum, { value }) => sum + Math.abs(value), 0)
  const told = known.filter(({ value }) => Math.abs(value) > whole * LEAST)
  if (!told.length) return null
  const net = known.reduce((sum, { value }) => sum + value, 0)
  return h("div.split", {},
    h("span.bar-of", { "aria-hidden": "true" }, told.map(({ key, value }) => h("u", { "data-part": key, "data-against": value * net < 0 ? "" : null, style: `flex-grow:${(Math.abs(value) / whole).toFixed(4)}` }))),
    h("ul.words-of", {}, told.map(({ key, name, what, value }) => h("li", { "data-tip": `${name}: ${what}\n${signed(value, unit, per)}${value * net < 0 ? ", against the change" : ""}` },
      h("i", { "data-part": key, "aria-hidden": "true" }), `${name} ${told.length > 1 ? signed(value, unit, per) : "alone"}`))))
}

function acts(where, answer, context) {
  const { scope } = context
  const pairs = Object.entries(where)
  const set = (filters) => scope.set({ filters })
  const others = scope.state.filters.filter((f) => !(f.dim in where))
  const only = [...others, ...pairs.map(([dim, value]) => ({ dim, op: "is", values: [value === null ? null : String(value)] }))]
  const without = ([dim, value]) => set([...scope.state.filters, { dim, op: "is_not", values: [value === null ? null : String(value)] }])
  const leave = h("button.btn.small", { type: "button" }, pairs.length > 1 ? "Without …" : "Without this")
  if (pairs.length > 1) menu(leave, () => pairs.map((pair) => ({ text: `Without ${short(pair[0])} ${shown(pair[1])}`, act: () => without(pair) })))
  else leave.addEventListener("click", () => without(pairs[0]))
  return [
    h("button.btn.small", { type: "button", click: () => set(only) }, icon("check"), "Filter to this"),
    evidence(only, answer, context),
    pairs.length ? leave : null,
  ]
}
