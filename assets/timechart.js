// What every chart over time can do, whatever draws it: show a moment, with all other charts of the board; be walked
// by keys and read aloud; have a span selected in it. A subclass says where things are and what is there:
//   frame()        {left, right, top, bottom} of the plot inside the stage in px, null while nothing is drawn
//   time(px), place(t)  from px to ms and back, along the plot
//   times()        the starts of its buckets, ascending
//   read(t, aim)   what is at t: {t, at, until, items, note?, pick?, tip?, where?}, or null where it shows no time at all
//   brief(found)   its time in fewer words, where there is little room
//   aim(py)        what a pointer at that height means, for read(); depth(t) how many things up and down walk through
// An item is {name, text, role, dash, top (px inside the stage, null where it has no place), before: text, expected: text}.

import { Brush } from "./brush.js"
import { h, mark } from "./dom.js"
import { range, swatch } from "./legend.js"
import { hang } from "./summary.js"
import { nearest, spanText } from "./ticks.js"

const MANY = 3 // more series than this take more than a line
const CLICK_MS = 260 // a second click within this makes it a double click

export class TimeChart {
  constructor(tile, stage, board) {
    Object.assign(this, { tile, stage, board, at: null, mirrored: null })
    this.line = h("div.line", { hidden: true })
    this.marks = h("div.marks")
    this.readout = h("div.readout", { hidden: true })
    this.cross = h("div.cross", { "aria-hidden": "true" }, this.line, this.marks, this.readout)
    stage.prepend(this.cross)
    this.brush = new Brush(this)
    const on = (name, act) => stage.addEventListener(name, act)
    on("pointermove", (event) => this.#point(event))
    on("pointerdown", (event) => { if (event.pointerType === "touch") this.#tap(event) })
    on("pointerleave", (event) => { if (event.pointerType !== "touch") this.leave() })
    on("blur", () => this.leave())
    on("keydown", (event) => this.#key(event))
    on("dblclick", () => { clearTimeout(this.clicking); board.undo() })
    board.hover.charts.add(this)
  }

  #point(event) {
    const frame = this.frame()
    if (!frame || this.brush.dragging) return
    const box = this.stage.getBoundingClientRect()
    const [px, py] = [event.clientX - box.left, event.clientY - box.top]
    if (px < frame.left - 4 || px > frame.right + 4 || py < frame.top || py > frame.bottom) return this.leave()
    this.show({ t: this.time(px), py, aim: this.aim(py) })
  }

  /** The first tap shows what is there, a second one on the same place is a click. */
  #tap(event) {
    const words = () => this.board.tip.words()
    const shown = this.at ? words() : null
    this.#point(event)
    if (this.at && shown === words()) this.clicked()
  }

  #key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key]
    const rise = { ArrowUp: -1, ArrowDown: 1 }[event.key]
    if (step) this.#walk(step, event.shiftKey)
    else if (rise) this.#climb(rise)
    else if (event.key === "Enter" && this.brush.chosen) this.brush.zoom()
    else if (event.key === "w" && this.brush.chosen && this.brush.asks) this.brush.why()
    else if (event.key === "Enter" && this.at) this.clicked()
    else if (event.key === "Escape" && this.brush.chosen) this.brush.cancel()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  #walk(step, selecting) {
    const times = this.times()
    if (!times.length || !this.frame()) return
    this.spot ??= this.at?.t
    const now = this.spot === undefined ? (step < 0 || step > 1 ? times.length : -1) : nearest(times, this.spot)
    const i = Math.max(0, Math.min(times.length - 1, now + step))
    if (selecting) this.brush.extend(this.spot ?? times[i], times[i])
    else this.brush.cancel()
    this.spot = times[i]
    this.#stand()
    if (selecting) this.board.speak(`${this.brush.text()} selected`)
  }

  #climb(rise) {
    if (this.spot === undefined) return this.#walk(Infinity)
    const depth = this.depth(this.spot)
    this.rung = Math.max(0, Math.min(depth - 1, (this.rung ?? 0) + rise))
    this.#stand()
  }

  /** Show the point the keys stand on, and say it. */
  #stand() {
    const depth = this.depth(this.spot)
    const rung = Math.min(this.rung ?? 0, Math.max(0, depth - 1))
    const { top, bottom } = this.frame()
    this.show({ t: this.spot, py: (top + bottom) / 2, rung })
    const found = this.read(this.spot, { rung })
    if (!found) return
    const item = found.items[found.rung ?? 0]
    this.board.speak([item ? `${item.name} ${item.text}` : "Nothing here", item?.expected && `expected ${item.expected}`, this.span(found), found.note, found.pick && (found.does ?? "Enter filters")].filter(Boolean).join(", "))
  }

  /** A click on the point that is shown, unless it turns out to be the first half of a double click. */
  clicked() {
    const pick = this.at && this.read(this.at.t, this.at)?.pick
    clearTimeout(this.clicking)
    if (pick) this.clicking = setTimeout(pick, CLICK_MS)
  }

  /** Show what is at a point, here in full and in every other chart in short. */
  show(at) {
    this.at = at
    this.mirrored = null
    const found = this.read(at.t, at)
    if (!found) return this.leave()
    this.#draw(found)
    this.readout.hidden = true
    mark(this.stage, "data-pick", found.pick ? "" : null)
    this.board.hover.point(this, found.t)
    const box = this.stage.getBoundingClientRect()
    this.board.tip.show(this.#full(found), box.left + this.place(found.at), box.top + Math.max(this.frame().top, at.py))
  }

  /** Show the moment another chart is pointed at; null ends it. */
  mirror(t) {
    if (t === this.mirrored && t === null) return
    this.mirrored = t
    const found = t !== null && this.frame() ? this.read(t, {}) : null
    const { left, right } = this.frame() ?? {}
    const px = found && this.place(found.at)
    if (!found || px < left - 1 || px > right + 1) return this.#clear()
    this.#draw(found)
    this.#short(found, px)
  }

  /** After a change of data or size: nothing that is shown may be of before. */
  refresh() {
    this.brush.draw()
    if (this.at) this.show(this.at)
    else if (this.mirrored !== null) this.mirror(this.mirrored)
  }

  leave() {
    if (!this.at) return
    this.at = null
    mark(this.stage, "data-pick", null)
    this.#clear()
    this.board.tip.hide()
    this.board.hover.leave(this)
  }

  /** The bucket of a reading in words; with its day where the chart spans more than one. */
  span({ t, until }) {
    return spanText(t, until ?? t, this.board.tz, this.wide?.())
  }

  #draw(found) {
    const { top, bottom } = this.frame()
    this.line.hidden = false
    this.line.style.cssText = `transform:translateX(${this.place(found.at)}px);top:${top}px;height:${bottom - top}px`
    const placed = found.items.filter((item) => item.top !== null && item.top !== undefined)
    while (this.marks.children.length < placed.length) this.marks.append(h("i"))
    while (this.marks.children.length > placed.length) this.marks.lastElementChild.remove()
    placed.forEach((item, i) => {
      this.marks.children[i].style.cssText = `transform:translate(${this.place(found.at)}px,${item.top}px);border-color:var(--${item.role})`
      mark(this.marks.children[i], "class", found.items.indexOf(item) === found.rung && found.items.length > 1 ? "on" : null)
    })
  }

  #clear() {
    this.line.hidden = this.readout.hidden = true
    this.marks.replaceChildren()
  }

  /** The tip: every series with all its digits; of few series what was before stands below, of many beside. */
  #full(found) {
    const beside = found.items.length > 2
    const last = h("td", {}, swatch({ role: "ghost", dash: [3, 3] }))
    const rows = found.items.flatMap((item, i) => [
      h("tr", { class: i === found.rung && found.items.length > 1 ? "on" : null }, h("td", {}, swatch(item)), h("td", {}, item.name), h("td.n", {}, item.text),
        beside && item.before ? h("td.n.then", {}, item.before) : null),
      item.expected ? h("tr.then", {}, h("td", {}, range()), h("td", {}, "expected"), h("td.n", {}, item.expected)) : null,
      !beside && item.before ? h("tr.then", {}, last.cloneNode(true), h("td", {}, this.board.previous_label), h("td.n", {}, item.before)) : null])
    const head = beside && found.items.some((item) => item.before) ? h("tr.then", {}, h("td.n", { colspan: 4 }, this.board.previous_label)) : null
    return [h("strong", {}, this.span(found)), rows.length ? h("table", {}, head, rows) : null, ...[found.note, found.pick && found.tip].filter(Boolean).map((text) => h("p", {}, text))].filter(Boolean)
  }

  /** The same in short below the plot, or of many series above it on their legend, where it covers no data. It is moved
   *  by its own size, so it is never measured. */
  #short(found, px) {
    const words = [this.span(found), ...found.items.map((item) => `${item.name}${item.text}`)].join("|")
    if (this.readout.dataset.words !== words) {
      this.readout.dataset.words = words
      const alone = found.items.length < 2
      this.readout.replaceChildren(h("b", {}, this.brief?.(found) ?? this.span(found)), ...found.items.map((item) =>
        h("span", {}, item.role ? swatch(item) : null, alone && !item.label ? null : h("em", {}, item.name), item.text)))
    }
    this.readout.hidden = false
    this.settle(this.readout, px)
    const many = found.items.length > MANY
    this.readout.style.top = `${many ? this.frame().top - 3 : this.frame().bottom + 3}px`
    if (many) this.readout.style.transform += " translateY(-100%)"
  }

  /** Put a box at `px` so that it stays within the stage at both ends. */
  settle(box, px) {
    const { left, right } = this.frame()
    const share = Math.max(0, Math.min(1, (px - left) / Math.max(1, right - left)))
    box.style.left = `${left + share * (right - left)}px`
    box.style.maxWidth = `${right - left}px`
    box.style.transform = `translateX(${-100 * share}%)`
  }

  /** The one sentence about it that a screen reader finds with it. */
  describe(text) {
    hang(this.stage, `${this.board.prefix}${this.tile.id}-summary`, text)
  }

  destroy() {
    clearTimeout(this.clicking)
    this.leave()
    this.board.hover.charts.delete(this)
  }
}
