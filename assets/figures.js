// Tiles that are Bokeh figures. A figure is embedded once, when it first comes into view, and kept: ticks, filters,
// ranges and themes change its data and properties (each embed that is thrown away leaks about 0.4 MB).

import { h } from "./dom.js"
import { Spots } from "./incidents.js"
import { KINDS } from "./kinds.js"
import { TimeChart } from "./timechart.js"
import { timeTicks } from "./ticks.js"

const DAY_MS = 86_400_000
const LETTERS = "bold 11px Inter" // of labels in the plot

export class Figure extends TimeChart {
  constructor(tile, body, board) {
    const stage = h("div.figure", { style: `min-height:${tile.height + 26}px`, tabindex: "0", role: "application",
      "aria-roledescription": "chart", "aria-label": tile.title })
    body.append(stage)
    super(tile, stage, board)
    this.kind = KINDS[tile.type]
    this.empty = h("p.hollow", { hidden: true }, "No values in this window")
    this.cross.append(this.empty)
    this.spots = new Spots(this)
    this.resize = new ResizeObserver(() => { if (this.view) requestAnimationFrame(() => this.#resized()) })
    this.resize.observe(stage)
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
    if (!this.stage.isConnected) return // taken away while the library was on its way
    const [view] = [...await Bokeh.embed.embed_item(this.tile.figure, this.stage)]
    if (this.gone) return gone(view)
    this.view = view
    this.view.canvas_view.events_el.removeAttribute("tabindex") // the stage around it takes the focus
    this.document = this.view.model.document
    this.source = this.find("tile")
    this.paint()
    if (this.board.scale !== 1) scaled(this, this.board.scale)
    this.#draw()
    this.#lettered()
    this.stage.dataset.drawn = ""
  }

  /** Labels that were measured before their font was there have boxes of another width: draw them anew. */
  async #lettered() {
    if (document.fonts.check(LETTERS)) return
    await document.fonts.load(LETTERS).catch(() => { /* another font is fine too */ })
    if (!this.view) return
    this.given.notes = null
    this.#resized()
  }

  find(kind) {
    return this.document.get_model_by_name(`${kind}:${this.tile.id}`)
  }

  /** Give one of its small sources new data, only where it differs. */
  put(kind, data) {
    const words = JSON.stringify(data)
    this.given ??= {}
    if (this.given[kind] === words) return
    this.given[kind] = words
    this.find(kind).data = data
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
    this.empty.hidden = !this.hollow
    this.#ticks()
    this.#settle()
    this.refresh()
  }

  #resized() {
    if (!this.view || !this.head) return
    this.#ticks()
    this.kind.notes?.(this, this.board.palette()) // labels stand to the left or the right as there is room
    this.#settle()
  }

  /** Put what stands over the plot to its place, once the plot has its own. */
  #settle() {
    if (this.head && this.view) requestAnimationFrame(() => { if (this.view) this.spots.place(this.labels ?? []) })
  }

  #ticks() {
    if (!this.head) return
    const { x_range, y_range } = this.view.model
    const zone = this.board.tz
    const wide = Math.max(2, Math.floor(this.view.frame.bbox.width / (92 * this.board.scale)))
    const times = timeTicks(x_range.start, x_range.end, wide, zone)
    const edge = this.view.frame.x_scale.invert(this.view.frame.bbox.right - 12 * this.board.scale) // a label at the very edge would be cut
    times.ticks = times.ticks.filter((t) => t <= edge)
    label(this.find("axis:x"), times.ticks, times.ticks.map((t) => times.label(t, zone)))
    const [ticks, labels] = this.kind.yTicks(this, y_range)
    label(this.find("axis:y"), ticks, labels)
  }

  frame() {
    return this.view && this.head ? this.view.frame.bbox : null
  }

  time(px) { return this.view.frame.x_scale.invert(px) }
  place(t) { return this.view.frame.x_scale.compute(t) }
  height(v) { return this.view.frame.y_scale.compute(v) }
  wide() { return this.head.end - this.head.start > DAY_MS }
  times() { return this.kind.times(this) }
  depth(t) { return this.kind.depth(this, t) }
  aim(py) { return this.kind.aim(this, py) }
  read(t, at) { return this.kind.read(this, t, { ...at?.aim, rung: at?.rung }) }

  destroy() {
    super.destroy()
    this.gone = true
    this.resize.disconnect()
    if (this.view) gone(this.view)
    this.view = null
  }
}

function gone(view) {
  view.model.document.clear()
  view.remove()
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

/** Text, margins and lines of a chart that is read from afar. */
function scaled(figure, scale) {
  const plot = figure.view.model
  const margins = ["left", "right", "top", "bottom"].map((side) => `min_border_${side}`)
  plot.setv(Object.fromEntries(margins.map((name) => [name, Math.round(plot[name] * scale)])))
  const size = (text) => `${Math.round(Number.parseFloat(text) * scale)}px`
  for (const kind of ["axis:x", "axis:y"]) {
    const axis = figure.find(kind)
    axis.setv({ major_label_text_font_size: size(axis.major_label_text_font_size), major_label_standoff: Math.round(axis.major_label_standoff * scale) })
  }
  for (const { glyph } of plot.renderers) {
    if (glyph?.type === "Line") glyph.line_width = { value: glyph.line_width.value * Math.max(1, scale * 0.8) }
    if (glyph?.type === "Text") glyph.text_font_size = { value: size(glyph.text_font_size.value) }
  }
}

/** Label ticks with words. By its formatter: of `major_label_overrides` an axis keeps every one it ever had. */
function label(axis, ticks, labels) {
  if (axis.ticker.ticks.length === ticks.length && ticks.every((t, i) => t === axis.ticker.ticks[i] && axis.labels_shown?.[i] === labels[i])) return
  axis.labels_shown = labels
  const words = new Map(ticks.map((t, i) => [t, labels[i]]))
  axis.formatter.doFormat = (shown) => shown.map((t) => words.get(t) ?? "")
  axis.ticker.ticks = ticks
  axis.formatter.change.emit() // other words on the same ticks
}

export const FIGURES = new Set(Object.keys(KINDS))
