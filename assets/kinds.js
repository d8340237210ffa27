// The kinds of Bokeh figures: how head and columns become data, ranges and ticks, and what is at a moment.
// What a reading holds is said in timechart.js.

import * as format from "./format.js"
import { askWhy, band, circled, expected, incidentAt, labels, reach, words } from "./incidents.js"
import { filterOf, named, worn } from "./legend.js"
import { before, nearest, roundStep, short } from "./ticks.js"

const NAN = Number.NaN
const number = (v) => (typeof v === "number" ? v : NAN)
const known = (v) => typeof v === "number"

/** A value for a tip: counts in full, measurements to six digits; more would be noise of the interpolation. */
export const precise = (v, unit, per) => format.exact(known(v) && !Number.isInteger(v) ? Number(v.toPrecision(6)) : v, unit, per)

/** A bucket that ends where the next begins, or where the data does. */
const until = (t, { grain_ms: grain, end }) => (grain ? Math.min(t + grain, Math.max(end, t)) : null)

const line = {
  shape(figure) {
    const { head, columns, tile } = figure
    const t = columns.t ?? []
    const unknown = t.map(() => NAN)
    const data = { t }
    for (const name of figure.source.columns()) if (name !== "t") data[name] = columns[name]?.map(number) ?? unknown
    const values = Object.entries(data).filter(([n]) => n !== "t").flatMap(([, v]) => v.filter(Number.isFinite))
    figure.band = band(figure)
    figure.lone = tile.series.flatMap((_, i) => alone(data[`s${i}`] ?? []).map((at) => [at, i]))
    figure.hollow = !tile.series.some((_, i) => data[`s${i}`]?.some(Number.isFinite))
    return { x: line.span(head, t), y: line.rise(figure, [...values, ...reach(figure.band, values)]), data }
  },

  /** A span with room for its only point. */
  span({ start, end, grain_ms: grain }, t) {
    if (t.length === 1) return [start - (grain || 1000), Math.max(end, start + (grain || 1000))]
    return [start, Math.max(end, start + 1)]
  },

  /** Zero is in sight, there is air above, and the top moves only when it must: small changes do not shake the chart. */
  rise(figure, values) {
    const unit = figure.head.series?.[0]?.unit ?? ""
    const [low, high] = figure.board.shares.extent(figure.tile, values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0))
    const scale = figure.board.shares.scale(figure.tile)
    const wanted = high - low || ({ percent: 0.1, ms: 1000 }[unit] ?? 10)
    if (!scale.top || wanted > scale.top * 0.97 || wanted < scale.top * 0.55) {
      scale.step = roundStep(wanted / (figure.tile.height > 200 ? 6 : 3.5), unit)
      scale.top = Math.ceil((wanted * 1.06) / scale.step) * scale.step
      if (unit === "percent" && high <= 1 && low >= 0) scale.top = Math.min(scale.top, 1) // there is nothing above the whole
    }
    figure.step = scale.step
    const bottom = low < 0 ? Math.floor(low / scale.step) * scale.step : 0
    return [bottom, Math.max(bottom + scale.top, Math.ceil(high / scale.step) * scale.step)]
  },

  yTicks(figure, { start, end }) {
    const ticks = []
    for (let k = Math.round(start / figure.step); k * figure.step <= end + figure.step * 1e-4; k++) ticks.push(k * figure.step)
    const unit = figure.head.series?.[0]?.unit ?? ""
    const plain = figure.step >= 1e-6 && Math.max(...ticks.map(Math.abs)) < 1e15
    return [ticks, plain ? format.axis(ticks, figure.step, unit) : ticks.map((t) => powered(t, unit))]
  },

  marks(figure) {
    const { partial, end } = figure.head
    figure.find("partial").setv(known(partial) ? { left: partial, right: end, visible: true } : { visible: false })
    figure.find("zero").visible = figure.view.model.y_range.start < 0
  },

  /** What has colours of its own: points between two gaps, annotations, and what left its range. */
  notes(figure, palette) {
    const { head, columns, tile } = figure
    const tinted = (tone) => palette[tone === "bad" ? "bad" : tone === "good" ? "good" : "dim"]
    figure.circles = circled(figure)
    const dots = (figure.lone ?? []).map(([at, i]) => ({ t: columns.t[at], v: columns[`s${i}`][at], size: 6, fill: palette[tile.series[i]], line: null }))
    const circles = figure.circles.map(([at, m]) => ({ t: columns.t[at], v: columns.s0[at], size: 8 * figure.board.scale, fill: palette.card, line: tinted(m.tone) }))
    figure.put("points", table([...dots, ...circles], ["t", "v", "size", "fill", "line"]))
    if (!tile.by.length) {
      const { start, end } = figure.view.model.y_range
      const gaps = (head.marks ?? []).filter((m) => m.kind === "silence")
      figure.put("band", figure.band)
      figure.put("gaps", table(gaps.map((m) => ({ left: Math.max(m.t, head.start), right: m.until ?? head.end, low: start, high: end })), ["left", "right", "low", "high"]))
    }
    const found = figure.labels = labels(figure)
    figure.put("notes", table(found.map((label) => ({ ...label, line: label.line ?? NAN, color: tinted(label.tone) })), ["t", "y", "line", "text", "color", "align", "offset", "down"]))
  },

  times: (figure) => figure.columns?.t ?? [],
  depth: (figure) => figure.head.series?.length ?? 0,
  aim: () => ({}),

  read(figure, t, { rung } = {}) {
    const { head, columns, tile, board } = figure
    const times = columns?.t ?? []
    // the pointer takes the nearest point; a moment told by another chart the bucket it lies in
    const i = figure.at?.t === t ? nearest(times, t) : before(times, t)
    if (i < 0) return null
    const at = times[i]
    const end = until(at, head)
    if (figure.at?.t !== t && end !== null && t >= end && t > at) return { t, at: t, until: t, items: [], note: "No values here" }
    const items = (head.series ?? []).map((s, k) => {
      const [v, p] = [columns[`s${k}`]?.[i], columns[`p${k}`]?.[i]]
      return { name: named(s), ...worn(tile, k), text: precise(v, s.unit, s.per), top: known(v) ? figure.height(v) : null,
        before: known(p) ? precise(p, s.unit, s.per) : null, expected: k ? null : expected(figure, i) }
    })
    const incident = incidentAt(figure, i)
    const notes = [at === head.partial && "This bucket is not over yet", incident && words(incident, figure)].filter(Boolean)
    const base = { t: at, at, until: end, items, rung, note: notes.join(". ") }
    if (incident && board.why && incident.kind !== "silence") return { ...base, pick: () => askWhy(figure, incident), tip: "Click, or press Enter, to ask why", does: "Enter asks why" }
    const filter = rung !== undefined && head.series?.[rung] && filterOf(head.series[rung])
    return { ...base, pick: filter ? () => board.toggle(...filter) : null, tip: filter ? `Enter: ${board.filterTip(...filter, "")}` : "" }
  },
}

/** Rows as columns. */
const table = (rows, names) => Object.fromEntries(names.map((name) => [name, rows.map((row) => row[name])]))

/** A number too small or too large for digits alone: 2e16, 1.5e-9. */
const powered = (v, unit) => (v === 0 ? "0" : format.text(Number(v.toPrecision(3)), unit).replace(/\.?0+e/, "e"))

/** Where a value stands between two gaps: a line through it has no length. */
function alone(values) {
  const there = (i) => Number.isFinite(values[i])
  return values.flatMap((_, i) => (there(i) && !there(i - 1) && !there(i + 1) ? [i] : []))
}

const heatmap = {
  shape(figure) {
    const { head, columns } = figure
    const { t = [], low = [], high = [], n = [] } = columns
    const most = Math.max(1, head.max ?? 1)
    const edge = (v) => Math.log10(Math.max(v, 1e-9))
    const data = {
      left: t, right: t.map((x) => x + head.grain_ms), bottom: low.map(edge), top: high.map(edge),
      alpha: n.map((v) => 0.07 + 0.93 * Math.sqrt(v / most)), t, low, high, n,
    }
    // whole powers of ten around the data, kept while they fit
    const [floor, ceiling] = low.length ? figure.board.shares.extent(figure.tile, data.bottom.reduce((a, b) => Math.min(a, b)), data.top.reduce((a, b) => Math.max(a, b))) : [0, 1]
    const scale = figure.board.shares.scale(figure.tile)
    if (scale.floor === undefined || floor < scale.floor || ceiling > scale.ceiling || ceiling - floor < (scale.ceiling - scale.floor) * 0.6) {
      scale.floor = floor - 0.1
      scale.ceiling = ceiling + 0.1
    }
    figure.starts = t.filter((x, i) => x !== t[i - 1])
    figure.hollow = t.length === 0
    return { x: [head.start, Math.max(head.end, head.start + 1)], y: [scale.floor, scale.ceiling], data }
  },

  yTicks(figure, { start, end }) {
    const all = []
    const steps = end - start < 2.6 ? [1, 3] : [1] // one and three of each power of ten, or every other power when many
    for (let k = Math.floor(start); k <= end; k++) for (const s of steps) all.push(k + Math.log10(s))
    const few = all.filter((k) => k >= start && k <= end && (end - start < 6 || k % 2 === 0))
    return [few, few.map((k) => short(Number((10 ** k).toPrecision(1)), figure.head.unit))]
  },

  times: (figure) => figure.starts ?? [],
  depth: (figure, t) => heatmap.cells(figure, t).length,
  aim: (figure, py) => ({ level: 10 ** figure.view.frame.y_scale.invert(py) }),

  /** The rows of the bucket that begins at t, from the highest bin down. */
  cells(figure, t) {
    const times = figure.columns.t ?? []
    const found = []
    for (let i = before(times, t); i >= 0 && times[i] === t; i--) found.push(i)
    return found
  },

  read(figure, t, { level, rung }) {
    const { head, columns, board, tile } = figure
    const start = figure.starts?.[before(figure.starts, t)]
    const note = `No ${title(tile).toLowerCase()} here`
    if (start === undefined || t >= start + head.grain_ms) return { t, at: t, until: t, items: [], note }
    const cells = heatmap.cells(figure, start)
    const base = { t: start, at: start + head.grain_ms / 2, until: start + head.grain_ms }
    if (level === undefined && rung === undefined) return { ...base, items: column(cells, figure) }
    const k = rung ?? cells.findIndex((i) => columns.low[i] <= level && level < columns.high[i])
    const i = cells[k]
    if (i === undefined) return { ...base, items: [], note }
    const [low, high] = [columns.low[i], columns.high[i]]
    const item = { name: bin(low, high, head.unit), text: `${format.exact(columns.n[i])} ${title(tile).toLowerCase()}`,
      role: `c${tile.color}`, top: rung === undefined ? null : figure.height(Math.log10(Math.sqrt(low * high))) }
    const value = Number(low.toPrecision(6)) // as exact as a bin needs, and short in the address
    return { ...base, items: [item], pick: () => board.toggle(head.by, value), tip: board.filterTip(head.by, value, item.name) }
  },
}

const title = (tile) => tile.metrics[0]?.title ?? "Rows"
const bin = (low, high, unit) => `${format.text(low, unit)} – ${format.text(high, unit)}`

/** A whole column in short: how many there are, and where most of them lie. */
function column(cells, { head, columns, tile }) {
  const all = cells.reduce((sum, i) => sum + columns.n[i], 0)
  const most = cells.reduce((best, i) => (columns.n[i] > columns.n[best] ? i : best), cells[0])
  return [{ name: title(tile).toLowerCase(), text: format.exact(all), label: true },
    { name: "most in", text: bin(columns.low[most], columns.high[most], head.unit), label: true }]
}

export const KINDS = { line, heatmap }
