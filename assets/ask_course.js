// A line of SVG with its axes, for an answer: read, walked and selected in as every chart over time. A forecast adds
// its interval, the limit it may reach, and when.

import { h, mark, svg } from "./dom.js"
import * as format from "./format.js"
import { precise } from "./kinds.js"
import { swatch } from "./legend.js"
import { before, nearest, roundStep, timeTicks } from "./ticks.js"
import { TimeChart } from "./timechart.js"

const HIGH = 168
const EDGE = { left: 50, right: 10, top: 8, bottom: 22 }

export class Course extends TimeChart {
  /** what: {id, title, unit, per, times, until, series: [{name, role, dash?, values}], band?, limit?, moment?}. */
  constructor(what, place, board) {
    const stage = h("div.course-of", { tabindex: "0", role: "application", "aria-roledescription": "chart", "aria-label": `${what.title}, over time`, style: `height:${HIGH}px` })
    place.append(stage)
    super({ id: what.id, title: what.title, type: "answer", metrics: [] }, stage, board)
    Object.assign(this, { what, picture: svg("svg", { width: "100%", height: HIGH, "aria-hidden": "true" }) })
    stage.append(this.picture)
    const worn = what.series.length > 1 || what.band ? what.series.map((s) => h("span", {}, swatch(s), s.name)) : []
    if (what.band) worn.push(h("span", {}, h("i.band-key"), what.band.name))
    if (worn.length) place.prepend(h("p.legend", {}, worn))
    this.resize = new ResizeObserver(() => { if (stage.isConnected) this.draw() })
    this.resize.observe(stage)
  }

  draw() {
    const { times, series, band, limit, unit, moment } = this.what
    this.wideness = this.stage.clientWidth
    if (!this.frame()) return
    const all = [...series.flatMap((s) => s.values), ...(band?.low ?? []), ...(band?.high ?? []), ...(typeof limit === "number" ? [limit] : [])].filter((v) => typeof v === "number")
    const [low, high] = [Math.min(0, ...all), Math.max(...all, 0)]
    const step = roundStep((high - low || ({ percent: 0.1, ms: 1000 }[unit] ?? 10)) / 3.5, unit)
    this.range = [Math.floor(low / step) * step, high > 0 ? Math.max(high * 1.06, step) : step]
    const { left, right, top, bottom } = this.frame()
    const ticks = []
    for (let v = this.range[0]; v <= this.range[1] + step * 1e-6; v += step) ticks.push(v)
    const names = format.axis(ticks, step, unit)
    const clock = timeTicks(times[0], this.end, Math.max(2, Math.floor((right - left) / 80)), this.board.tz)
    const path = (values) => runs(values).map((run) => `M${run.map((i) => `${this.place(times[i]).toFixed(1)},${this.level(values[i]).toFixed(1)}`).join("L")}`).join("")
    this.picture.replaceChildren(...[
      ...ticks.map((v, i) => svg("g", {}, svg("line", { class: "grid-of", x1: left, x2: right, y1: this.level(v), y2: this.level(v) }), svg("text", { class: "tick", x: left - 8, y: this.level(v), "text-anchor": "end", "dominant-baseline": "central" }, names[i]))),
      ...clock.ticks.filter((t) => this.place(t) < right - 14).map((t) => svg("text", { class: "tick", x: this.place(t), y: bottom + 15, "text-anchor": "middle" }, clock.label(t))),
      band && svg("path", { class: "interval", d: runs(band.low).map((run) => `M${run.map((i) => `${this.place(times[i])},${this.level(band.high[i])}`).join("L")}L${run.toReversed().map((i) => `${this.place(times[i])},${this.level(band.low[i])}`).join("L")}Z`).join("") }),
      ...series.map((s) => svg("path", { class: "course-line", d: path(s.values), style: `stroke:var(--${s.role})`, "stroke-dasharray": s.dash?.join(" ") })),
      typeof limit === "number" && svg("g", {}, svg("line", { class: "limit", x1: left, x2: right, y1: this.level(limit), y2: this.level(limit) }), svg("text", { class: "tick limit-of", x: left + 4, y: this.level(limit) + 12 }, `limit ${format.text(limit, unit, this.what.per)}`)),
      moment && moment <= this.end && svg("line", { class: "reach", x1: this.place(moment), x2: this.place(moment), y1: top, y2: bottom }),
    ].filter(Boolean))
    mark(this.stage, "data-drawn", "")
    this.refresh()
  }

  get end() { return Math.max(this.what.until ?? 0, this.what.times.at(-1), this.what.times[0] + 1) }

  frame() {
    if (!this.wideness || !this.what?.times.length) return null
    return { left: EDGE.left, right: this.wideness - EDGE.right, top: EDGE.top, bottom: HIGH - EDGE.bottom }
  }

  time(px) { const { left, right } = this.frame(); return this.what.times[0] + ((px - left) / (right - left)) * (this.end - this.what.times[0]) }
  place(t) { const { left, right } = this.frame(); return left + ((t - this.what.times[0]) / (this.end - this.what.times[0])) * (right - left) }
  level(v) { const { top, bottom } = this.frame(); return bottom - ((v - this.range[0]) / (this.range[1] - this.range[0])) * (bottom - top) }
  wide() { return this.end - this.what.times[0] > 86_400_000 }
  times() { return this.what.times }
  depth() { return this.what.series.length }
  aim() { return {} }

  read(t, { rung } = {}) {
    const { times, series, band, unit, per } = this.what
    const i = this.at?.t === t ? nearest(times, t) : before(times, t)
    if (i < 0) return null
    const items = series.filter((s) => typeof s.values[i] === "number").map((s) => ({ name: s.name, role: s.role, dash: s.dash ?? [], text: precise(s.values[i], unit, per), top: this.level(s.values[i]) }))
    const note = band && typeof band.low[i] === "number" && band.low[i] !== band.high[i] ? `between ${format.text(band.low[i], unit, per)} and ${format.text(band.high[i], unit, per)}` : ""
    return { t: times[i], at: times[i], until: times[i + 1] ?? (times.length > 1 ? times[i] + times[1] - times[0] : null), items, rung: Math.min(rung ?? 0, Math.max(0, items.length - 1)), note }
  }

  destroy() {
    super.destroy()
    this.resize.disconnect()
  }
}

/** Where values are known without a gap: lists of indices; a lone one is told twice, so that a line has length. */
function runs(values) {
  const found = []
  values.forEach((v, i) => {
    if (typeof v !== "number") return
    if (i === 0 || typeof values[i - 1] !== "number") found.push([])
    found.at(-1).push(i)
  })
  return found.map((run) => (run.length > 1 ? run : [run[0], run[0]]))
}
