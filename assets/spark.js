// Small lines of SVG: under a number, where they are charts over time like the large ones, and in the rows of a table.

import { h, mark, svg } from "./dom.js"
import * as format from "./format.js"
import { precise } from "./kinds.js"
import { before } from "./ticks.js"
import { TimeChart } from "./timechart.js"

const WIDE = 160
const HIGH = 40

/**
 * Paths through the known values in a box of 160 x 40, broken where values are unknown: {line, area, dots}, and
 * place(i), level(v) from row and value into the box. `dots` are the values between two gaps, which no line shows.
 */
export function drawn(values, times) {
  const known = values.filter((v) => typeof v === "number")
  const low = known.reduce((a, b) => Math.min(a, b), Infinity)
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity)
  // a flat line sits in the middle, and noise of a hundredth is not blown up to a mountain range
  const span = Math.max(high - low, Math.abs(high) * 0.05, 1e-300)
  const middle = low / 2 + high / 2
  const [first, last] = times?.length ? [times[0], times.at(-1)] : [0, values.length - 1]
  const place = (i) => (last > first ? (((times?.[i] ?? i) - first) * WIDE) / (last - first) : WIDE / 2)
  const level = (v) => HIGH / 2 - ((v - middle) / span) * (HIGH - 10)
  const runs = []
  values.forEach((v, i) => {
    if (typeof v !== "number") return
    if (i === 0 || typeof values[i - 1] !== "number") runs.push([])
    runs.at(-1).push([place(i).toFixed(1), level(v).toFixed(1)])
  })
  const long = runs.filter((run) => run.length > 1)
  const path = (run) => `M${run.map((point) => point.join(",")).join("L")}`
  return {
    place, level,
    line: long.map(path).join(""),
    area: long.map((run) => `M${run[0][0]},${HIGH}${path(run).replace("M", "L")}L${run.at(-1)[0]},${HIGH}Z`).join(""),
    dots: runs.filter((run) => run.length === 1).map(([[x, y]]) => `M${x},${y}h0`).join(""),
  }
}

/** The elements of a small line and a way to fill them. */
export function sparkline() {
  const [area, line, dots] = ["area", "line", "dots"].map((name) => svg("path", { class: `spark-${name}` }))
  const element = svg("svg.spark", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, line, dots)
  const fill = (values, times) => {
    const paths = drawn(values, times)
    mark(line, "d", paths.line)
    mark(area, "d", paths.area)
    mark(dots, "d", paths.dots)
    return paths
  }
  return { element, fill }
}

/** The line under a number: it shows and is asked for moments as every chart is. */
export class Spark extends TimeChart {
  constructor(tile, body, board) {
    const stage = h("div.mini", { tabindex: "0", role: "application", "aria-roledescription": "chart", "aria-label": `${tile.title}, over time` })
    const { element, fill } = sparkline()
    stage.append(element)
    body.append(stage)
    super(tile, stage, board)
    Object.assign(this, { svg: element, fill })
    const delta = body.querySelector(".delta") // what is read takes its place, and that of all below it
    this.resize = new ResizeObserver((entries) => {
      this.size = entries.find(({ target }) => target === element)?.contentRect ?? this.size
      if (delta) stage.style.setProperty("--above", `${stage.offsetTop - delta.offsetTop}px`)
      if (this.at) this.show(this.at)
    })
    this.resize.observe(element)
    this.resize.observe(body)
  }

  update(head, columns) {
    Object.assign(this, { head, columns })
    this.paths = this.fill(columns.v ?? [], columns.t)
    this.refresh()
  }

  frame() {
    if (!this.size?.width || !this.columns?.t?.length) return null
    return { left: 0, right: this.size.width, top: 0, bottom: this.size.height }
  }

  /** Its first and last bucket stand at its edges. */
  ends() {
    const { t } = this.columns
    return t.length > 1 ? [t[0], t.at(-1)] : [t[0] - 500, t[0] + 500]
  }

  time(px) { const [a, b] = this.ends(); return a + (px / this.size.width) * (b - a) }
  place(t) { const [a, b] = this.ends(); return ((t - a) / (b - a)) * this.size.width }
  wide() { return this.columns.t.at(-1) - this.columns.t[0] > 86_400_000 }
  brief({ t }) { return format.clock(t, this.board.tz, this.wide() ? "day" : "minute") }
  times() { return this.columns?.t ?? [] }
  depth() { return 1 }
  aim() { return {} }

  read(t) {
    const { t: times, v } = this.columns
    const grain = times.length > 1 ? times[1] - times[0] : 0
    // by half a bucket more: under the pointer the nearest point counts, and the last bucket has no room to its right
    const i = before(times, this.at?.t === t ? t + grain / 2 : t)
    if (i < 0) return null
    const [at, { unit, per, title }] = [times[i], this.head]
    if (i === times.length - 1 && t > at + grain && this.at?.t !== t) return { t, at: Math.min(t, at), until: t, items: [] }
    return { t: at, at, until: grain ? at + grain : null, items: [{ name: title ?? this.tile.title, text: precise(v[i], unit, per), role: "c1",
      top: typeof v[i] === "number" ? (this.paths.level(v[i]) / HIGH) * this.size.height : null }] }
  }

  destroy() {
    super.destroy()
    this.resize.disconnect()
  }
}
