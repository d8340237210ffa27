// Selecting a span of a time chart: by dragging with the pointer, or by keys from bucket to bucket. By touch, a drag on
// the plot reads values, so there the strip of the axis is where a span is selected.

import { h, icon } from "./dom.js"
import { STEPS_S, moment, spanText } from "./ticks.js"
import * as format from "./format.js"

const LEAST_PX = 6 // a shorter drag is a click

export class Brush {
  constructor(chart) {
    this.chart = chart
    this.band = h("div.band", { hidden: true })
    this.label = h("span.chosen", { hidden: true })
    chart.cross.append(this.band, this.label)
    this.after = null // what can be done about the span that was selected last
    this.chosen = null // [from, to] in ms
    this.dragging = false
    const on = (name, act) => chart.stage.addEventListener(name, act)
    on("pointerdown", (event) => this.#begin(event))
    on("pointermove", (event) => this.#move(event))
    on("pointerup", (event) => this.#end(event))
    on("pointercancel", () => this.#stop())
    this.pressed = (event) => {
      const { chosen } = this
      const why = event.key === "w" && chosen && this.asks
      if (event.key !== "Escape" && !why) return
      event.preventDefault()
      event.stopImmediatePropagation()
      this.#stop()
      if (why) this.why(chosen)
    }
  }

  #begin(event) {
    const frame = this.chart.frame()
    if (!frame || event.button !== 0 || !event.isPrimary) return
    const box = this.chart.stage.getBoundingClientRect()
    const [px, py] = [event.clientX - box.left, event.clientY - box.top]
    if (px < frame.left - 4 || px > frame.right + 4 || py < frame.top) return
    if (event.pointerType === "touch" && py <= frame.bottom) return
    if (this.after?.contains(event.target)) return
    this.cancel()
    this.from = px
    this.left = box.left
    this.above = box.top
    this.chart.stage.setPointerCapture(event.pointerId)
  }

  #move(event) {
    if (this.from === undefined) return
    const px = event.clientX - this.left
    if (!this.dragging && Math.abs(px - this.from) < LEAST_PX) return
    if (!this.dragging) {
      this.dragging = true
      this.chart.leave()
      document.addEventListener("keydown", this.pressed, true)
    }
    const { left, right } = this.chart.frame()
    const within = (x) => this.chart.time(Math.max(left, Math.min(right, x)))
    const step = this.#grid()
    const [a, b] = [within(Math.min(this.from, px)), within(Math.max(this.from, px))].map((t) => Math.round(t / step) * step)
    this.chosen = [a, Math.max(b, a + step)]
    this.released = [Math.max(left, Math.min(right, px)), event.clientY - this.above]
    this.draw()
  }

  #end() {
    const { dragging, chosen } = this
    const clicked = this.from !== undefined && !dragging
    this.#stop()
    if (dragging && chosen) this.#zoomed(chosen)
    else if (clicked) this.chart.clicked()
  }

  #stop() {
    document.removeEventListener("keydown", this.pressed, true)
    this.from = undefined
    this.dragging = false
    this.cancel()
  }

  /** Round times no further apart than three pixels, so that addresses stay short. */
  #grid() {
    const { left, right } = this.chart.frame()
    const ms = (3 * (this.chart.time(right) - this.chart.time(left))) / Math.max(1, right - left)
    return 1000 * (STEPS_S.findLast((s) => s * 1000 <= ms) ?? 1)
  }

  /** From the bucket where it began to the bucket `t`, both whole. */
  extend(start, t) {
    this.anchor ??= start
    const until = (at) => this.chart.read(at, {})?.until ?? at
    this.chosen = [Math.min(this.anchor, t), until(Math.max(this.anchor, t))]
    this.draw()
  }

  zoom() {
    const chosen = this.chosen
    this.cancel()
    this.chart.leave()
    if (chosen) this.#zoomed(chosen)
  }

  /** Zoom into a span, and beside it offer to say why the metric changed in it. */
  #zoomed(chosen) {
    this.chart.board.zoom(...chosen, this.chart.tile.id)
    this.#offer(chosen)
  }

  get asks() {
    const { board, tile, head } = this.chart
    return Boolean(board.why) && ["line", "kpi"].includes(tile.type) && head?.request?.type === "query"
  }

  /** Ask why the metric of this chart changed in a span, against the same length before it. */
  why([from, to] = this.chosen) {
    const { board, tile, head } = this.chart
    const [{ name, title }] = tile.metrics
    this.cancel()
    this.#settle()
    board.why({ metric: name, title: title || name, dataset: head.request.dataset, filters: head.request.filters, baseline: "previous", window: `${moment(from)} to ${moment(to)}` })
  }

  /** Leave a way to ask why where the span was, for as long as the board shows it. */
  #offer(chosen) {
    this.#settle()
    if (!this.asks) return
    const span = spanText(...chosen, this.chart.board.tz)
    this.after = h("div.after-brush", { "data-picture": "none" },
      h("button", { type: "button", "aria-label": `Why? ${span}`, title: `What changed in ${span}, against the same length before`, click: () => this.why(chosen) }, "Why?"),
      h("button", { type: "button", "aria-label": "Do not ask why", click: () => { this.#settle(); this.chart.stage.focus() } }, icon("cross")))
    this.after.window = this.chart.board.window
    this.chart.stage.append(this.after)
    this.draw()
  }

  #settle() {
    this.after?.remove()
    this.after = null
  }

  cancel() {
    this.chosen = null
    this.anchor = undefined
    this.draw()
  }

  #follow() {
    const frame = this.chart.frame()
    if (this.after.window !== this.chart.board.window) return this.#settle()
    if (!frame) return
    const [px, py] = this.released ?? [frame.right, frame.top]
    this.after.style.top = `${Math.max(frame.top + 4, Math.min(frame.bottom - 32, py - 14))}px`
    this.chart.settle(this.after, px)
  }

  text() {
    const [a, b] = this.chosen
    return `${spanText(a, b, this.chart.board.tz)} · ${format.text(b - a, "ms")}${this.dragging && this.asks ? " · w: why?" : ""}`
  }

  draw() {
    if (this.after) this.#follow()
    this.band.hidden = this.label.hidden = !this.chosen
    const frame = this.chosen && this.chart.frame()
    if (!frame) return
    const [a, b] = this.chosen.map((t) => Math.max(frame.left, Math.min(frame.right, this.chart.place(t))))
    this.band.style.cssText = `left:${a}px;width:${Math.max(1, b - a)}px;top:${frame.top}px;height:${frame.bottom - frame.top}px`
    this.label.textContent = this.text()
    this.label.style.top = `${frame.top + 4}px`
    this.chart.settle(this.label, (a + b) / 2)
  }
}
