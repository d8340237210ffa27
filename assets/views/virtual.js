// Rows of one height in a box that scrolls: however many there are, only those near the sight are in the page.

import { arrange, h } from "../dom.js"

const SPARE = 10 // rows above and below those in sight

/**
 * `box` scrolls; what is in it already (a header that sticks) stays above the rows. `make()` gives a row element,
 * `paint(element, item, index)` fills it, `key(item)` names it over time. Returns what the caller steers.
 */
export class Virtual {
  constructor(box, { make, paint, key, role = "rowgroup" }) {
    Object.assign(this, { box, make, paint, key, items: [], elements: new Map(), height: 0 })
    this.band = h("div.sight", { role })
    this.space = h("div.space", { role: "presentation" }, this.band)
    box.append(this.space)
    box.addEventListener("scroll", () => this.soon(), { passive: true })
    new ResizeObserver(() => this.measure()).observe(box)
  }

  /** Show these. Rows keep their elements by key, so that focus and hover live on. */
  set(items) {
    this.items = items
    this.draw()
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw() })
  }

  /** Widths decide how a row is laid out, and so how high it is. */
  measure() {
    this.#sized()
    this.draw()
  }

  /** Learn the height of a row; there is none while the box is hidden. */
  #sized() {
    const height = this.band.firstElementChild?.getBoundingClientRect().height
    if (height) this.height = height
    return Boolean(height)
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / (this.height || 36)) - SPARE)
    const count = Math.ceil(this.box.clientHeight / (this.height || 36)) + 2 * SPARE
    const shown = this.items.slice(first, first + count)
    const kept = new Map()
    const elements = shown.map((item, i) => {
      const key = this.key(item)
      const element = this.elements.get(key) ?? this.make()
      kept.set(key, element)
      this.paint(element, item, first + i)
      return element
    })
    this.elements = kept
    arrange(this.band, elements)
    if (!this.height && elements.length && this.#sized()) return this.draw()
    this.band.style.transform = `translateY(${first * this.height}px)`
    this.space.style.height = `${this.items.length * this.height}px`
    this.drawn?.(first, shown.length)
  }

  /** The element of an item, while it is in the page. */
  element(item) {
    return item === undefined ? undefined : this.elements.get(this.key(item))
  }

  /** Scroll just as far as it takes to see the row. */
  show(index) {
    const top = index * this.height
    const room = this.box.clientHeight - this.space.offsetTop
    if (top < this.box.scrollTop) this.box.scrollTop = top
    else if (top + this.height > this.box.scrollTop + room) this.box.scrollTop = top + this.height - room
    this.draw()
  }

  /** How many whole rows are in sight: a page of PageDown. */
  page() {
    return Math.max(1, Math.floor((this.box.clientHeight - this.space.offsetTop) / this.height) - 1)
  }
}

/** Where a key moves the active row, or null when the key does not move it. */
export function moved(key, index, count, page) {
  const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: count - 1, PageDown: index + page, PageUp: index - page }[key]
  return to === undefined || !count ? null : Math.max(0, Math.min(count - 1, to))
}
