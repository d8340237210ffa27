// What is expected of the first series of a line chart, and what left it: the band, the points that are circled, what
// stands beside them in words, and the way to ask why. Only the picture is made here; what counts as an incident is
// decided where the data is.

import { h, mark as set } from "./dom.js"
import * as format from "./format.js"
import { moment } from "./ticks.js"

const SMALL = 140 // px: a lower chart has no room for words
const APART = 30 // px between two circles of one incident
const CIRCLES = 8 // of one incident
const NAMED = 3 // single points that are named in the chart, the newest; all are circled, and named where one points
const WIDEST = 1.6 // how much higher than the data a band may make a chart
const PAD = 5 // px around a label, as dashboard/charts.py has it
const GAP = 9
const LINE = 25
const known = (v) => typeof v === "number"
const pen = document.createElement("canvas").getContext("2d")

export const SHIFTS = new Set(["shift_up", "shift_down"])

/** Whether the band of a tile is shown; who reads the chart may take it away. */
export const banded = ({ head, board, tile }) => Boolean(head.band) && head.band.state !== "off" && !board.unbanded.has(tile.id)

/** Times and bounds of the band, where they are known. */
export function band(figure) {
  const { t = [], lo = [], hi = [] } = banded(figure) ? figure.columns : {}
  const rows = t.flatMap((_, i) => (known(lo[i]) && known(hi[i]) ? [i] : []))
  return { t: rows.map((i) => t[i]), lo: rows.map((i) => lo[i]), hi: rows.map((i) => hi[i]) }
}

/** The part of a band that the height of a chart follows: one that is far too wide must not flatten the lines. */
export function reach({ lo, hi }, values) {
  const [low, high] = [values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0)]
  return [...lo.map((v) => Math.max(v, low * WIDEST)), ...hi.map((v) => Math.min(v, high * WIDEST || v))]
}

/** "1.89 to 4.02 s" */
export function between(low, high, { unit, per } = {}) {
  const [[from, one], [to, other]] = [format.value(low, unit, per), format.value(high, unit, per)]
  return `${from}${one === other ? "" : one} to ${to}${other}`
}

/** The range of a bucket in words, null where it is not known or not shown. */
export function expected(figure, i) {
  const { lo = [], hi = [] } = figure.columns
  return banded(figure) && known(lo[i]) && known(hi[i]) ? between(lo[i], hi[i], figure.head.series[0]) : null
}

const silent = (mark) => mark.kind === "silence"
const over = (mark, head) => mark.until ?? head.end
const marks = ({ head }) => head.marks ?? []

/** Whether a whole bucket lies outside its range. */
function outside({ head, columns: { t, s0 = [], lo = [], hi = [] } }, i) {
  return known(s0[i]) && t[i] !== head.partial && ((known(hi[i]) && s0[i] > hi[i]) || (known(lo[i]) && s0[i] < lo[i]))
}

/** The points that are circled: [[row, mark]]; the first of each incident, and those outside that follow with some room. */
export function circled(figure) {
  const { head, columns } = figure
  const { t = [], s0 = [] } = columns
  const apart = (APART * figure.board.scale * (head.end - head.start)) / Math.max(1, figure.view.model.inner_width)
  return marks(figure).filter((m) => !silent(m)).flatMap((m) => {
    const first = t.indexOf(m.t)
    const found = first >= 0 && known(s0[first]) ? [first] : []
    for (let i = Math.max(0, first + 1); i < t.length && t[i] < over(m, head) && found.length < CIRCLES; i++) {
      if (t[i] > m.t && outside(figure, i) && (!found.length || t[i] - t[found.at(-1)] >= apart)) found.push(i)
    }
    return found.map((i) => [i, m])
  })
}

/** What happened at a bucket: what began there, else what it is a part of; null where all is as expected. */
export function incidentAt(figure, i) {
  const t = figure.columns.t[i]
  const during = marks(figure).filter((m) => m.t <= t && t < over(m, figure.head))
  return marks(figure).find((m) => m.t === t) ?? during.findLast((m) => silent(m) || outside(figure, i)) ?? null
}

/** "Level shift +84% since 14:41" */
export function words(mark, { board }) {
  const at = (t) => format.clock(t, board.tz)
  const from = mark.until === null ? `since ${at(mark.t)}` : silent(mark) ? `${at(mark.t)} to ${at(mark.until)}` : `at ${at(mark.t)}`
  return `${mark.text} ${from}${silent(mark) ? "" : SHIFTS.has(mark.kind) ? "" : mark.until === null ? ", still outside the expected range" : ", outside the expected range"}`
}

/** Ask the page why: it hears the event, wherever the board stands. */
export function askWhy(figure, mark) {
  const { head, tile } = figure
  const length = Math.max(over(mark, head) - mark.t, head.grain_ms)
  const [{ name, title }] = head.series
  const span = (from, to) => ({ from: moment(from), to: moment(to) })
  const { dataset, filters } = head.request ?? {}
  figure.stage.dispatchEvent(new CustomEvent("plumbline:why", { bubbles: true, composed: true, detail: {
    metric: name, title, dataset, filters, tile: tile.id, window: span(mark.t, mark.t + length), baseline: span(mark.t - length, mark.t) } }))
}

/** Every label of a chart, those of senders and those of incidents, where it stands: {t, y, text, tone, line, align, offset, down, mark}. */
export function labels(figure) {
  const { head, tile, board, view } = figure
  const { y_range: range } = view.model
  const say = (t, text) => (tile.height < SMALL ? "" : `${format.clock(t, board.tz)} ${String(text).slice(0, 60)}`)
  const places = marks(figure)
  const noted = (head.annotations ?? []).slice(-8).map((a) => ({ t: a.t, text: say(a.t, a.text), tone: a.tone, line: a.t }))
  const shifts = places.filter((m) => SHIFTS.has(m.kind)).map((m) => ({ t: m.t, text: say(m.t, m.text), tone: m.tone, line: m.t, mark: m }))
  const gaps = places.filter(silent).map((m) => ({ t: m.t, text: say(m.t, m.text), tone: "none", line: null, mark: m }))
  const points = places.filter((m) => !silent(m) && !SHIFTS.has(m.kind)).slice(-NAMED).map((m) => point(figure, m))
  const high = stacked(figure, [...noted, ...shifts, ...gaps].sort((a, b) => a.t - b.t))
  return [...high.map((label) => ({ ...label, y: range.end })), ...points].map((label) => (label.text ? label : { ...label, y: Number.NaN }))
}

/** Labels below the upper edge, left of their moment where there is room, in as many lines as they need. */
function stacked(figure, found) {
  const { head, board, view } = figure
  const room = view.model.inner_width
  const lines = []
  return found.map((label) => {
    const at = ((label.t - head.start) / (head.end - head.start)) * room
    const width = wide(label.text, board.scale) + (2 * PAD + GAP) * board.scale
    const right = at < width || (at < 0.35 * room && at + width <= room)
    const [from, to] = right ? [at, at + width] : [at - width, at]
    let line = lines.findIndex((taken) => taken.every(([l, r]) => to < l || from > r))
    if (line < 0) line = lines.push([]) - 1
    lines[line].push([from, to])
    return { ...label, align: right ? "left" : "right", offset: (right ? GAP : -GAP) * board.scale, down: (6 + LINE * line) * board.scale }
  })
}

/** The label of a single point, above it; below it where there is no room. */
function point(figure, mark) {
  const { head, columns, board, tile, view } = figure
  const { start, end } = view.model.y_range
  const value = columns.s0?.[columns.t.indexOf(mark.t)] ?? mark.value
  const low = (end - value) / (end - start) < 0.16
  const share = (mark.t - head.start) / (head.end - head.start)
  return { t: mark.t, y: value, text: tile.height < SMALL ? "" : mark.text, tone: mark.tone, line: null, mark,
    align: share < 0.08 ? "left" : share > 0.92 ? "right" : "center", offset: 0, down: (low ? 13 : -13 - 2 * PAD - 11) * board.scale }
}

/** How wide a label's text is. */
function wide(text, scale) {
  pen.font = `bold ${11 * scale}px Inter, system-ui, sans-serif`
  return pen.measureText(text).width
}

/** Buttons over the labels of incidents, for who clicks and for who walks by keys; the labels themselves are drawn. */
export class Spots {
  constructor(figure) {
    this.figure = figure
    this.element = h("div.spots", { "data-picture": "none", pointerdown: (event) => event.stopPropagation() }) // no selection begins here
    figure.stage.append(this.element)
  }

  place(found) {
    const { figure } = this
    const shown = figure.board.why ? found.filter((label) => label.mark && label.text && !silent(label.mark)) : []
    while (this.element.children.length > shown.length) this.element.lastElementChild.remove()
    shown.forEach((label, i) => {
      const button = this.element.children[i] ?? this.element.appendChild(h("button", { type: "button", click: (event) => askWhy(figure, event.currentTarget.mark) }))
      const { scale } = figure.board
      const width = wide(label.text, scale) + 2 * PAD * scale
      const at = figure.place(label.t) + label.offset
      const left = label.align === "left" ? at - PAD * scale : label.align === "right" ? at - width + PAD * scale : at - width / 2
      button.mark = label.mark
      set(button, "style", `left:${Math.round(left)}px;top:${Math.round(figure.height(label.y) + label.down - PAD * scale)}px;width:${Math.round(width)}px;height:${Math.round((12 + 2 * PAD) * scale)}px`)
      set(button, "aria-label", `${words(label.mark, figure)}. Ask why`)
    })
  }
}
