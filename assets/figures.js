// Tiles that are Bokeh figures. A figure is embedded once, when it first comes into view, and kept: ticks, filters,
// ranges and themes change its data and properties (each embed that is thrown away leaks about 0.4 MB).

import { h } from "./dom.js"
import * as format from "./format.js"

const NAN = Number.NaN
const number = (v) => (typeof v === "number" ? v : NAN)

/** A value for a tip: counts in full, measurements to six digits; more would be noise of the interpolation. */
const precise = (v, unit, per) => format.exact(typeof v === "number" && !Number.isInteger(v) ? Number(v.toPrecision(6)) : v, unit, per)

export class Figure {
  constructor(tile, body, board) {
    this.tile = tile
    this.board = board
    this.kind = KINDS[tile.type]
    this.stage = h("div.figure", { style: `min-height:${tile.height + 26}px`, tabindex: "0", role: "img", "aria-label": tile.title })
    this.cross = h("div.cross", { hidden: true })
    this.stage.append(this.cross)
    body.append(this.stage)
    this.top = 0
    this.stage.addEventListener("pointermove", (event) => this.#point(event))
    this.stage.addEventListener("pointerleave", () => this.leave())
    this.stage.addEventListener("blur", () => this.leave())
    this.stage.addEventListener("keydown", (event) => this.#step(event))
    this.resize = new ResizeObserver(() => { if (this.view) requestAnimationFrame(() => this.#ticks()) })
    this.resize.observe(this.stage)
  }

  /** Embed on first use; what came meanwhile is drawn with it. */
  async update(head, columns) {
    this.head = head
    this.columns = columns
    if (this.view) return this.#draw()
    this.embedding ??= this.#embed()
    return this.embedding
  }

  async #embed() {
    const Bokeh = await this.board.bokeh
    const views = await Bokeh.embed.embed_item(this.tile.figure, this.stage)
    this.view = [...views][0]
    this.document = this.view.model.document
    this.source = this.find("tile")
    this.paint()
    this.#draw()
    this.stage.dataset.drawn = ""
  }

  find(kind) {
    return this.document.get_model_by_name(`${kind}:${this.tile.id}`)
  }

  paint() {
    if (!this.view) return
    const palette = this.board.palette()
    for (const [name, prop, role] of this.tile.paints) this.document.get_model_by_name(name).setv({ [prop]: palette[role] })
    if (this.head) this.kind.notes?.(this, palette)
  }

  #draw() {
    const { x, y, data } = this.kind.shape(this)
    const plot = this.view.model
    sync(this.source, data)
    plot.x_range.setv({ start: x[0], end: x[1] })
    plot.y_range.setv({ start: y[0], end: y[1] })
    this.kind.marks?.(this)
    this.kind.notes?.(this, this.board.palette())
    this.#ticks()
    if (this.at !== undefined) this.show(this.at)
  }

  #ticks() {
    if (!this.head) return
    const { x_range, y_range } = this.view.model
    const zone = this.board.tz
    const wide = Math.max(2, Math.floor(this.view.frame.bbox.width / 92))
    const times = timeTicks(x_range.start, x_range.end, wide, zone)
    const edge = this.view.frame.x_scale.invert(this.view.frame.bbox.right - 12) // a label at the very edge would be cut
    times.ticks = times.ticks.filter((t) => t <= edge)
    label(this.find("axis:x"), times.ticks, times.ticks.map((t) => times.label(t, zone)))
    const [ticks, labels] = this.kind.yTicks(this, y_range)
    label(this.find("axis:y"), ticks, labels)
  }

  #point(event) {
    if (!this.view || event.pointerType === "touch" && event.buttons === 0) return
    const box = this.stage.getBoundingClientRect()
    const frame = this.view.frame
    const [px, py] = [event.clientX - box.left, event.clientY - box.top]
    const { left, right, top, bottom } = frame.bbox
    if (px < left - 4 || px > right + 4 || py < top || py > bottom) return this.leave()
    this.show({ x: frame.x_scale.invert(px), y: frame.y_scale.invert(py), px, py })
  }

  #step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key]
    if (!move || !this.view || !this.columns.t?.length) return
    event.preventDefault()
    const times = this.kind.times(this)
    const now = this.at ? nearest(times, this.at.x) : times.length
    const t = times[Math.max(0, Math.min(times.length - 1, now + move))]
    const frame = this.view.frame
    this.show({ x: t, y: null, px: frame.x_scale.compute(t), py: frame.bbox.top + 8 })
  }

  /** Show what is under a point; called again after each change of data, so an open tip never goes stale. */
  show(at) {
    this.at = at
    const found = this.kind.under(this, at)
    if (!found) return this.#hide()
    const { top, height } = this.view.frame.bbox
    const px = this.view.frame.x_scale.compute(found.t)
    this.cross.hidden = false
    this.cross.style.cssText = `left:${px}px;top:${top}px;height:${height}px`
    this.cross.replaceChildren(...(found.dots ?? []).map((dot) =>
      h("i", { style: `top:${this.view.frame.y_scale.compute(dot.v) - top}px;border-color:var(--${dot.role})` })))
    const box = this.stage.getBoundingClientRect()
    this.board.tip.show(found.content, box.left + px, box.top + Math.max(top, at.py))
  }

  leave() {
    this.at = undefined
    this.#hide()
  }

  #hide() {
    this.cross.hidden = true
    this.board.tip.hide()
  }

  destroy() {
    this.resize.disconnect()
    this.view?.model.document.clear()
    this.view?.remove()
  }
}

/** Bring a source to `data`: patch what changed, stream what is new; replace only when nothing lines up. */
export function sync(source, data) {
  const old = source.data instanceof Map ? Object.fromEntries(source.data) : source.data
  const names = Object.keys(data)
  const key = names[0]
  const [a, b] = [old[key] ?? [], data[key]]
  const dropped = a.length && b.length ? a.indexOf(b[0]) : -1
  const kept = dropped < 0 ? 0 : a.length - dropped
  let lines = dropped >= 0 && kept <= b.length && b.length - kept < b.length / 2
  for (let i = 0; lines && i < kept; i++) lines = a[dropped + i] === b[i]
  if (!lines) { source.data = data; return "replace" }
  const patches = []
  let work = "none"
  for (const name of names) {
    const changes = []
    for (let i = 0; i < kept; i++) if (!Object.is(old[name][dropped + i], data[name][i])) changes.push([dropped + i, data[name][i]])
    if (changes.length) patches.push([name, changes])
  }
  if (patches.some(([, changes]) => changes.length > b.length / 3)) { source.data = data; return "replace" }
  if (patches.length) { source.patch(new Map(patches)); work = "patch" }
  if (b.length > kept || dropped > 0) {
    source.stream(Object.fromEntries(names.map((n) => [n, data[n].slice(kept)])), b.length)
    work = "stream"
  }
  return work
}

function label(axis, ticks, labels) {
  if (axis.ticker.ticks.length === ticks.length && ticks.every((t, i) => t === axis.ticker.ticks[i] && axis.labels_shown?.[i] === labels[i])) return
  axis.labels_shown = labels
  axis.major_label_overrides = new Map(ticks.map((t, i) => [t, labels[i]]))
  axis.ticker.ticks = ticks
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000]

/** The first line for each label on which it touches no label before it. */
function stacked(spans) {
  const lines = []
  return spans.map(([left, right]) => {
    let line = lines.findIndex((taken) => taken.every(([l, r]) => right < l || left > r))
    if (line < 0) line = lines.push([]) - 1
    lines[line].push([left, right])
    return line
  })
}

/** Ticks on round wall-clock times of a zone, at most `most` of them. */
function timeTicks(start, end, most, zone) {
  const step = 1000 * (STEPS_S.find((s) => (end - start) / (s * 1000) <= most) ?? STEPS_S.at(-1))
  const shift = zoneShift(start, zone)
  const ticks = []
  for (let t = Math.ceil((start + shift) / step) * step - shift; t <= end; t += step) ticks.push(t)
  const style = step >= 86_400_000 ? "day" : step < 60_000 ? "second" : "minute"
  const midnight = (t) => style === "minute" && (t + shift) % 86_400_000 === 0
  return { ticks, label: (t) => format.clock(t, zone, midnight(t) ? "day" : style) }
}

/** How far a zone's wall clock is ahead of UTC at a moment, in ms. */
function zoneShift(ms, zone) {
  const parts = new Intl.DateTimeFormat("en-US", { timeZone: zone || undefined, hourCycle: "h23", year: "numeric", month: "numeric",
    day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(ms)
  const at = Object.fromEntries(parts.map((p) => [p.type, Number(p.value)]))
  return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second) - Math.floor(ms / 1000) * 1000
}

/** A round step of about `rough`; durations step by seconds, minutes and hours as people do. */
function roundStep(rough, unit) {
  if (unit === "ms" && rough > 10_000) {
    const steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400]
    return 1000 * (steps.find((s) => s * 1000 >= rough) ?? 86400 * Math.ceil(rough / 86_400_000))
  }
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].find((m) => m * power >= rough * 0.999) * power
}

function nearest(times, t) {
  let best = 0
  for (let i = 1; i < times.length; i++) if (Math.abs(times[i] - t) < Math.abs(times[best] - t)) best = i
  return best
}

const rows = (...lines) => h("table", {}, lines.map(([swatch, name, value]) => h("tr", {}, h("td", {}, swatch), h("td", {}, name), h("td.n", {}, value))))

const line = {
  shape(figure) {
    const { head, columns } = figure
    const t = columns.t ?? []
    const unknown = t.map(() => NAN)
    const data = { t }
    for (const name of ["lo", "hi"]) data[name] = columns[name]?.map(number) ?? unknown
    figure.tile.series.forEach((_, i) => {
      for (const kind of ["s", "p"]) data[kind + i] = columns[kind + i]?.map(number) ?? unknown
    })
    const values = Object.entries(data).filter(([n]) => n !== "t").flatMap(([, v]) => v.filter(Number.isFinite))
    return { x: [head.start, head.end], y: line.span(figure, values), data }
  },

  /** Zero is in sight, there is air above, and the top moves only when it must: small changes do not shake the chart. */
  span(figure, values) {
    const high = values.reduce((a, b) => Math.max(a, b), 0)
    const low = values.reduce((a, b) => Math.min(a, b), 0)
    const unit = figure.head.series?.[0]?.unit ?? ""
    const wanted = high - low || ({ percent: 0.1, ms: 1000 }[unit] ?? 10)
    if (!figure.top || wanted > figure.top * 0.97 || wanted < figure.top * 0.55) {
      figure.step = roundStep(wanted / (figure.tile.height > 200 ? 6 : 3.5), unit)
      figure.top = Math.ceil((wanted * 1.06) / figure.step) * figure.step
      if (unit === "percent" && high <= 1) figure.top = Math.min(figure.top, 1) // there is nothing above the whole
    }
    const bottom = low < 0 ? Math.floor(low / figure.step) * figure.step : 0
    return [bottom, Math.max(bottom + figure.top, Math.ceil(high / figure.step) * figure.step)]
  },

  yTicks(figure, { start, end }) {
    const ticks = []
    for (let k = Math.round(start / figure.step); k * figure.step <= end * 1.0001; k++) ticks.push(k * figure.step)
    return [ticks, format.axis(ticks, figure.step, figure.head.series?.[0]?.unit ?? "")]
  },

  marks(figure) {
    const { partial, end } = figure.head
    figure.find("partial").setv(typeof partial === "number" ? { left: partial, right: end, visible: true } : { visible: false })
  },

  notes(figure, palette) {
    const { annotations = [], start, end } = figure.head
    const shown = annotations.slice(-8)
    const early = shown.map((a) => a.t < start + (end - start) * 0.35)
    const texts = shown.map((a) => `${format.clock(a.t, figure.board.tz)} ${String(a.text).slice(0, 60)}`)
    const lines = stacked(shown.map((a, i) => {
      const at = ((a.t - start) / (end - start)) * figure.view.model.inner_width
      const width = texts[i].length * 6.6 + 22
      return early[i] ? [at, at + width] : [at - width, at]
    }))
    const data = {
      t: shown.map((a) => a.t),
      y: shown.map(() => figure.view.model.y_range.end),
      text: texts,
      color: shown.map((a) => palette[a.tone === "bad" ? "bad" : a.tone === "good" ? "good" : "dim"]),
      align: early.map((e) => (e ? "left" : "right")),
      offset: early.map((e) => (e ? 9 : -9)),
      down: lines.map((line) => 6 + 25 * line),
    }
    const now = JSON.stringify(data)
    if (now === figure.noted) return
    figure.noted = now
    figure.find("notes").data = data
  },

  times: (figure) => figure.columns.t,

  under(figure, at) {
    const { head, columns, board } = figure
    if (!columns.t?.length) return null
    const i = nearest(columns.t, at.x)
    const t = columns.t[i]
    const found = (head.series ?? []).map((s, k) => ({ s, role: figure.tile.series[k], v: columns[`s${k}`]?.[i] ?? null, p: columns[`p${k}`]?.[i] ?? null }))
    const lines = found.flatMap(({ s, role, v, p }) => [
      [h("i.key", { style: `background:var(--${role})` }), s.title, precise(v, s.unit, s.per)],
      ...(p === null ? [] : [[h("i.key.dashed"), board.previous_label, precise(p, s.unit, s.per)]]),
    ])
    const until = head.grain_ms ? Math.min(t + head.grain_ms, Math.max(head.end, t)) : null
    const style = head.grain_ms && head.grain_ms < 60_000 ? "second" : "minute"
    const span = format.clock(t, board.tz, style) + (until ? `–${format.clock(until, board.tz, style)}` : "")
    const content = [h("strong", {}, span), rows(...lines)]
    if (t === head.partial) content.push(h("p", {}, "This bucket is not over yet"))
    return { t, content, dots: found.filter((f) => f.v !== null) }
  },
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
    const floor = low.length ? Math.min(...data.bottom) : 0
    const ceiling = low.length ? Math.max(...data.top) : 1
    if (figure.floor === undefined || floor < figure.floor || ceiling > figure.ceiling || ceiling - floor < (figure.ceiling - figure.floor) * 0.6) {
      figure.floor = floor - 0.1
      figure.ceiling = ceiling + 0.1
    }
    return { x: [head.start, head.end], y: [figure.floor, figure.ceiling], data }
  },

  yTicks(figure, { start, end }) {
    const all = []
    const steps = end - start < 2.6 ? [1, 3] : [1] // one and three of each power of ten, or every other power when many
    for (let k = Math.floor(start); k <= end; k++) for (const s of steps) all.push(k + Math.log10(s))
    const few = all.filter((k) => k >= start && k <= end && (end - start < 6 || k % 2 === 0))
    return [few, few.map((k) => short(Number((10 ** k).toPrecision(1)), figure.head.unit))]
  },

  times: (figure) => [...new Set(figure.columns.t)],

  under(figure, at) {
    const { head, columns, board } = figure
    if (!columns.t?.length) return null
    const level = at.y === null ? null : 10 ** at.y
    const from = columns.t.findLast?.((t) => t <= at.x)
    if (from === undefined || at.x >= from + head.grain_ms) return null
    const cells = columns.t.flatMap((t, i) => (t === from && (level === null || (columns.low[i] <= level && level < columns.high[i])) ? [i] : []))
    const style = head.grain_ms < 60_000 ? "second" : "minute"
    const span = `${format.clock(from, board.tz, style)}–${format.clock(from + head.grain_ms, board.tz, style)}`
    const title = figure.tile.metrics[0]?.title ?? "Rows"
    const lines = cells.slice(0, 8).map((i) => [null,
      `${format.text(columns.low[i], head.unit)} – ${format.text(columns.high[i], head.unit)}`, `${format.exact(columns.n[i])} ${title.toLowerCase()}`])
    return { t: from + head.grain_ms / 2, content: [h("strong", {}, span), lines.length ? rows(...lines) : h("p", {}, `No ${title.toLowerCase()} here`)] }
  },
}

/** A power of ten with its unit and no idle zeros: 100 ms, 1 s, 10 s, 1 m 40 s. */
function short(v, unit) {
  if (unit === "ms" && v >= 1000) return v >= 60_000 ? format.text(v, unit) : `${v / 1000} s`
  if (unit === "ms") return `${Number(v.toPrecision(1))} ms`
  return format.axis([v], v, unit)[0]
}

const KINDS = { line, heatmap }
export const FIGURES = new Set(Object.keys(KINDS))

/** The legend of a line tile, in its header. */
export function legend(element, tile, head, columns, board) {
  if (tile.type !== "line" || !head.series) return
  const compared = head.series.some((_, i) => columns[`p${i}`]?.some((v) => v !== null))
  const words = JSON.stringify([head.series.map((s) => s.title), compared && board.previous_label])
  if (element.dataset.words === words) return
  element.dataset.words = words
  element.replaceChildren(
    ...head.series.map((s, i) => h("span", {}, h("i.key", { style: `background:var(--${tile.series[i]})` }), s.title)),
    ...(compared ? [h("span.dim", {}, h("i.key.dashed"), board.previous_label)] : []))
}

