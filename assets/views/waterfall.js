// The waterfall of one flow: a row per span, indented as it was called, with its bar on the flow's own time.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { costOf } from "./cost.js"
import { kindOf, kindSign } from "./signs.js"
import { Virtual, moved } from "./virtual.js"

const STRAY = 0.25 // of the flow's duration: how far the axis follows spans that lie outside it
const DEEPEST = 14 // levels that are still indented
const TICK_PX = 62

/** hooks: {select(id), tz()}. `element` is a tree of rows that the arrow keys walk. */
export class Waterfall {
  constructor(hooks) {
    Object.assign(this, { hooks, folded: new Set(), spans: [], shown: [], selected: null })
    this.ticks = h("div.ticks", { "aria-hidden": "true" })
    this.lines = h("div.lines", { "aria-hidden": "true" })
    this.grid = h("div.rows", { role: "treegrid", tabindex: "0", "aria-label": "Spans", keydown: (event) => this.#walk(event),
      click: (event) => this.#clicked(event), focus: () => this.virtual.draw(), blur: () => this.virtual.draw() },
      h("div.heads", { role: "rowgroup" }, h("div.head", { role: "row" }, ["Span", "Time", "Tokens", "Cost"].map((title, i) =>
        h(`div.w${i}`, { role: "columnheader" }, i === 1 ? [h("span.visually-hidden", {}, title), this.ticks] : title)))))
    this.element = h("div.waterfall", {}, this.grid)
    this.virtual = new Virtual(this.grid, { make: () => this.#made(), paint: (row, span) => this.#paint(row, span), key: (span) => span.id })
    this.virtual.space.prepend(this.lines)
    this.virtual.drawn = () => mark(this.grid, "aria-activedescendant", this.virtual.element(this.#current())?.id ?? null)
    new ResizeObserver(() => this.#ruled()).observe(this.ticks)
  }

  /** Draw a flow; `selected` is a span's id, or null for the first. */
  show(flow, selected) {
    if (flow.flow_id !== this.flow?.flow_id) this.folded.clear()
    this.flow = flow
    this.spans = flow.spans
    this.known = new Map(this.spans.map((span) => [span.id, span]))
    this.below = new Map()
    for (const span of [...this.spans].reverse()) if (span.parent) this.below.set(span.parent, (this.below.get(span.parent) ?? 0) + 1 + (this.below.get(span.id) ?? 0))
    this.#bound()
    this.#ruled()
    this.select(this.known.has(selected) ? selected : this.spans[0]?.id)
  }

  /** The span whose facts are shown; its parents unfold. */
  select(id, { scroll = true } = {}) {
    this.selected = id
    for (let up = this.known.get(id)?.parent; up; up = this.known.get(up)?.parent) this.folded.delete(up)
    this.#list()
    const at = this.shown.findIndex((span) => span.id === id)
    if (scroll && at >= 0 && this.virtual.height) this.virtual.show(at)
  }

  get span() {
    return this.known?.get(this.selected)
  }

  focus() {
    this.grid.focus({ preventScroll: true })
  }

  /** From when to when the axis goes: the flow, and a little beyond where spans lie there. A wrong clock does not squeeze it. */
  #bound() {
    const roots = this.spans.filter((span) => span.depth === 0)
    const least = (list, name) => list.reduce((low, span) => Math.min(low, span[name]), Infinity)
    const most = (list, name) => list.reduce((high, span) => Math.max(high, span[name]), -Infinity)
    const all = [least(this.spans, "start"), most(this.spans, "end")]
    let [low, high] = [least(roots, "start"), most(roots, "end")]
    if (high <= low) [low, high] = all
    this.zero = low
    const stray = (high - low) * STRAY
    this.low = Math.max(all[0], low - stray)
    this.high = Math.max(Math.min(all[1], high + stray), this.low + 0.001)
  }

  #list() {
    const hidden = new Set()
    this.shown = this.spans.filter((span) => {
      const covered = span.parent && (hidden.has(span.parent) || this.folded.has(span.parent))
      if (covered) hidden.add(span.id)
      return !covered
    })
    mark(this.grid, "aria-rowcount", this.shown.length + 1)
    this.virtual.set(this.shown)
  }

  /** Ticks at round times of the flow, counted from its start. */
  #ruled() {
    const width = this.ticks.clientWidth
    if (!width || !this.flow) return
    const span = this.high - this.low
    const step = round(span / Math.max(3, Math.floor(width / TICK_PX)))
    const first = Math.ceil((this.low - this.zero) / step - 1e-9)
    const at = Array.from({ length: Math.floor((this.high - this.zero) / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step)
    const names = format.axis(at, step, "ms")
    const place = (t) => `left:${this.#place(this.zero + t)}%`
    this.ticks.replaceChildren(...at.map((t, i) => h("span", { style: place(t) }, names[i])))
    this.lines.replaceChildren(h("div", {}, at.map((t) => h("i", { style: place(t) }))))
  }

  #place(ms) {
    return (100 * (Math.max(this.low, Math.min(this.high, ms)) - this.low)) / (this.high - this.low)
  }

  #made() {
    this.made = (this.made ?? 0) + 1
    const fold = h("button.fold", { type: "button", tabindex: "-1" })
    const bar = h("u")
    return h("div.row", { role: "row", id: `span-${this.made}` },
      h("div.w0", { role: "gridcell" }, fold, h("span.sign"), h("span.label"), h("small"), h("span.flag.bad"), h("span.visually-hidden")),
      h("div.w1", { role: "gridcell" }, h("div.scale", {}, bar, h("i.path", { "aria-hidden": "true" }), h("span.took"))),
      h("div.w2", { role: "gridcell" }), h("div.w3", { role: "gridcell" }))
  }

  #paint(element, span) {
    element.span = span
    const count = this.below.get(span.id) ?? 0
    const open = count ? !this.folded.has(span.id) : null
    mark(element, "aria-level", span.depth + 1)
    mark(element, "aria-expanded", open === null ? null : String(open))
    mark(element, "aria-selected", String(span.id === this.selected))
    mark(element, "data-active", span.id === this.selected && document.activeElement === this.grid ? "" : null)
    const [tree, time, tokens, cost] = element.children
    this.#named(tree, span, open, count)
    this.#barred(time, span)
    const used = span.tokens_input === null && span.tokens_output === null ? null : (span.tokens_input ?? 0) + (span.tokens_output ?? 0)
    say(tokens, used === null ? "" : format.text(used))
    say(cost, span.cost === null ? "" : costOf(span)[0])
  }

  #named(cell, span, open, count) {
    const [fold, sign, label, more, flag, said] = cell.children
    cell.style.setProperty("--depth", Math.min(span.depth, DEEPEST))
    mark(fold, "data-open", open === null ? null : String(open))
    mark(fold, "aria-label", open === null ? null : open ? "Fold" : "Unfold")
    fold.style.visibility = open === null ? "hidden" : ""
    if (sign.dataset.kind !== span.kind) {
      sign.dataset.kind = span.kind
      sign.replaceChildren(kindSign(span.kind))
    }
    const name = span.name ?? span[span.kind] ?? "(none)"
    say(label, name)
    mark(label, "title", name)
    say(more, open === false ? `+${format.text(count)}` : "")
    const failed = span.status === "error"
    if (flag.dataset.failed !== String(failed)) {
      flag.dataset.failed = String(failed)
      flag.replaceChildren(...(failed ? [icon("warn"), h("span.visually-hidden", {}, "failed")] : []))
    }
    mark(label, "data-failed", failed ? "" : null)
    say(said, span.critical ? ", on the critical path" : "")
  }

  #barred(cell, span) {
    const [bar, path, took] = cell.firstElementChild.children
    const [left, right] = [this.#place(span.start), this.#place(span.end)]
    const out = span.end < this.low ? "before" : span.start > this.high ? "after" : null
    mark(bar, "data-out", out)
    mark(bar, "data-none", span.end > span.start ? null : "")
    mark(bar, "data-failed", span.status === "error" ? "" : null)
    bar.style.cssText = `left:${left}%;width:${right - left}%;background:var(--${kindOf(span.kind).role})`
    path.hidden = !span.critical
    path.style.cssText = `left:${left}%;width:${right - left}%`
    const away = out === "before" ? this.low - span.end : span.start - this.high
    say(took, out ? `${format.text(away, "ms")} ${out} the flow` : format.text(span.duration_ms, "ms"))
    took.style.cssText = out === "after" ? `right:${100 - left}%` : `left:${right}%` // there is room for it behind the longest bar
    mark(cell, "data-tip", this.#tip(span))
  }

  #tip(span) {
    const exact = (n, unit) => (n === null || n === undefined ? null : format.exact(n, unit))
    const at = span.start - this.zero
    return [
      span.name ?? kindOf(span.kind).word,
      `${kindOf(span.kind).word}, ${span.status ?? "no status"}${span.error_type ? `: ${span.error_type}` : ""}`,
      `begins at ${at < 0 ? format.MINUS : "+"}${format.text(Math.abs(at), "ms")} (${format.clock(span.start, this.hooks.tz(), "second")})`,
      span.duration_ms === null ? "no duration" : `takes ${exact(span.duration_ms, "ms")}`,
      span.critical ? `${format.text(span.critical_ms, "ms")} of its own on the critical path` : null,
      exact(span.tokens_input, "tokens in"), exact(span.tokens_output, "tokens out"), span.cost === null ? null : costOf(span)[1],
    ].filter(Boolean).join("\n")
  }

  #current() {
    return this.known?.get(this.selected)
  }

  #clicked(event) {
    const row = event.target.closest(".row")
    if (!row) return
    if (event.target.closest(".fold")) this.#fold(row.span, !this.folded.has(row.span.id))
    else this.hooks.select(row.span.id)
  }

  #fold(span, fold) {
    if (!this.below.has(span.id)) return
    if (fold) this.folded.add(span.id)
    else this.folded.delete(span.id)
    let inside = this.#current()
    while (inside && inside.id !== span.id) inside = this.known.get(inside.parent)
    if (fold && inside && this.selected !== span.id) this.hooks.select(span.id)
    this.#list()
  }

  #walk(event) {
    const span = this.#current()
    if (event.target !== this.grid || !span || event.ctrlKey || event.metaKey || event.altKey) return
    const at = this.shown.indexOf(span)
    const open = this.below.has(span.id) && !this.folded.has(span.id)
    let to = moved(event.key, at, this.shown.length, this.virtual.page())
    if (event.key === "ArrowRight" && !open) this.#fold(span, false)
    else if (event.key === "ArrowRight") to = at + 1
    else if (event.key === "ArrowLeft" && open) this.#fold(span, true)
    else if (event.key === "ArrowLeft" && span.parent) to = this.shown.findIndex((s) => s.id === span.parent)
    else if (to === null) return
    event.preventDefault()
    if (to !== null) this.hooks.select(this.shown[to].id)
  }
}

/** The next of 1, 2, 5 times a power of ten; above a minute the next of what clocks are divided into. */
function round(step) {
  if (step > 20_000) return [30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21600e3].find((s) => s >= step) ?? 86_400e3 * Math.ceil(step / 86_400e3)
  const power = 10 ** Math.floor(Math.log10(step))
  return [1, 2, 5, 10].find((n) => n * power >= step * 0.999) * power
}
