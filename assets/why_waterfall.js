// From the value before to the value now, a step for each cause: a picture that is walked by keys, point by point.

import { h, mark, svg } from "./dom.js"
import * as format from "./format.js"
import { percent, shown, signed, short, whereName } from "./why_words.js"

const ROW = 26
const BAR = 13
const LABEL = 37 // per cent of the width, and where the bars end
const END = 79
const CUT = 22 // letters of a name; all of it is in its tip
const NEAR = 0.5 // steps that all lie above this part of the highest have a scale that does not begin at zero

/** `answer` is an explain reply; `context` gives name, unit, per, good. */
export function waterfall(answer, { unit, per, good }) {
  const rows = steps(answer)
  const scale = scaled(rows)
  const high = rows.length * ROW
  const groups = rows.map((row, i) => group(row, i, rows, scale, { unit, per, good }))
  const picture = svg("svg.waterfall", { width: "100%", height: high + 4, role: "list", "aria-label": "The change step by step" },
    svg("line", { class: "ground", x1: place(scale.broken ? scale.low : 0, scale), x2: place(scale.broken ? scale.low : 0, scale), y1: 0, y2: high }), groups)
  walked(groups)
  return h("figure.why-picture", {}, picture, scale.broken ? h("figcaption", {}, "The scale does not begin at zero.") : null)
}

/** Rows {name, from, to, change, share, kind}: the value before, each cause, the rest, the value now. */
export function steps({ baseline, current, causes = [], rest = 0, change }) {
  let at = baseline
  const step = (name, amount, more) => { const from = at; at += amount; return { name, from, to: at, change: amount, ...more } }
  const small = Math.abs(rest) <= Math.abs(change) * 1e-6
  return [
    { name: "Before", from: 0, to: baseline, kind: "end" },
    ...causes.map((c) => step(whereName(c.where), c.change, { share: c.share, kind: "step", tip: Object.entries(c.where).map(([dim, v]) => `${short(dim)} ${shown(v)}`) })),
    ...(small ? [] : [step(causes.length ? "All else" : "Everything", rest, { share: change ? rest / change : null, kind: "rest" })]),
    { name: "Now", from: 0, to: current, kind: "end" },
  ]
}

/** From where to where the bars reach; steps that are small beside the values are seen by leaving out what lies below. */
function scaled(rows) {
  const ends = rows.flatMap(({ kind, from, to }) => (kind === "end" ? [to] : [from, to]))
  const [low, high] = [Math.min(...ends), Math.max(...ends)]
  if (low > NEAR * high && high > 0) return { low: low - (high - low) * 0.45, high, broken: true }
  return { low: Math.min(0, low), high: Math.max(0, high), broken: false }
}

const place = (v, { low, high }) => `${(LABEL + 1.5 + ((v - low) / (high - low || 1)) * (END - LABEL - 1.5)).toFixed(2)}%`

function group(row, i, rows, scale, { unit, per, good }) {
  const end = row.kind === "end"
  const [a, b] = end ? [scale.broken ? scale.low : 0, row.to] : [row.from, row.to]
  const [left, right] = [Math.min(a, b), Math.max(a, b)]
  const y = i * ROW
  const wide = `${(Number.parseFloat(place(right, scale)) - Number.parseFloat(place(left, scale))).toFixed(2)}%`
  const amount = end ? format.text(row.to, unit, per) : signed(row.change, unit, per)
  const part = typeof row.share === "number" ? `${percent(row.share)} of the change` : ""
  const name = row.name.length > CUT ? `${row.name.slice(0, CUT - 1)}…` : row.name
  const next = rows[i + 1]
  return svg(`g.${row.kind}`, { role: "listitem", tabindex: i === 0 ? "0" : "-1", "data-way": end ? null : way(row.change, good),
    "aria-label": [row.tip?.join(" and ") ?? row.name, end ? amount : `${row.change < 0 ? "lowers it by" : "raises it by"} ${amount.replace(/^[+\u2212]/, "")}`, part].filter(Boolean).join(", "),
    "data-tip": [row.tip?.join(" × ") ?? row.name, amount, part, end ? "" : `${format.text(row.from, unit, per)} → ${format.text(row.to, unit, per)}`].filter(Boolean).join("\n") },
  svg("rect", { class: "hit", x: 0, y, width: "100%", height: ROW, rx: 5 }),
  svg("svg", { x: 0, y, width: `${LABEL}%`, height: ROW }, svg("text", { class: "name", x: 4, y: ROW / 2, "dominant-baseline": "central" }, svg("title", {}, row.name), name)),
  svg("rect", { class: "step-bar", x: place(left, scale), y: y + (ROW - BAR) / 2, width: wide, height: BAR, rx: 2 }),
  end && scale.broken ? svg("svg", { x: place(scale.low, scale), y: y + (ROW - BAR) / 2 - 2, width: 16, height: BAR + 4, overflow: "visible" }, svg("path", { class: "break", d: `M6 0l-3 ${(BAR + 4) / 2}l3 ${(BAR + 4) / 2}M11 0l-3 ${(BAR + 4) / 2}l3 ${(BAR + 4) / 2}` })) : null,
  next ? svg("line", { class: "link", x1: place(row.to, scale), x2: place(row.to, scale), y1: y + (ROW + BAR) / 2, y2: y + ROW + (ROW - BAR) / 2 }) : null,
  svg("text", { class: "amount", x: "99%", y: y + ROW / 2, "text-anchor": "end", "dominant-baseline": "central" }, amount))
}

/** Which way a step counts: good or bad where the metric has a direction, else up or down. */
export const way = (change, good) => (good === "up" || good === "down" ? ((change > 0) === (good === "up") ? "good" : "bad") : change > 0 ? "up" : "down")

/** One stop for Tab, arrows inside. */
function walked(groups) {
  groups.forEach((element, i) => element.addEventListener("keydown", (event) => {
    const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: groups.length - 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    event.stopPropagation()
    const next = groups[Math.max(0, Math.min(groups.length - 1, to))]
    for (const other of groups) mark(other, "tabindex", other === next ? "0" : "-1")
    next.focus()
  }))
}
