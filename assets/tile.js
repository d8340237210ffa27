// One tile: its frame of title, trust and age, its states, and the data it holds while it may not draw.

import { h, icon, mark, say } from "./dom.js"
import { enlarge } from "./enlarge.js"
import { FIGURES, Figure } from "./figures.js"
import * as format from "./format.js"
import { fit, legend } from "./legend.js"
import { menu } from "./menus.js"
import { SHEETS, sheet } from "./sheet.js"
import { summary } from "./summary.js"
import { ATTENTION, TILES, confidence, inWords, ring } from "./tiles.js"

const LATE_S = 15 // where a rhythm is not known yet, data older than this is late
const REDRAWS_PER_BUCKET = 20
const SLOWEST_MS = 5000 // between two redraws of a chart
const SOON_S = 5 // nothing younger is called late

/** Whether data of this age is late against the rhythm of its own source (the age that 99 % of its gaps stay under). */
export const isLate = (age, usual, times = 1) => age !== null && age > times * (typeof usual === "number" ? Math.max(SOON_S, 2 * usual) : LATE_S)
const VEILED = 3 // times as old as what is late
const HOLD_MS = 20_000 // a resting pointer holds a chart no longer than this
const ASKED = new Set(["kpi", "line"]) // types whose change can be asked about
const MOST_ASKED = 3 // metrics of one tile
const SUMMARY_MS = 10_000 // a sentence that changed each second could not be read to its end

export class TileView {
  constructor(view, spec) {
    Object.assign(this, { view, spec, head: null, columns: {}, visible: false, held: 0, waiting: 0 })
    const id = `${view.common.prefix}${spec.id}`
    this.legend = h("span.legend")
    this.sub = h("span.sub", {}, spec.subtitle)
    this.trust = h("button.trust", { type: "button", hidden: true })
    this.title = h("h2", { id }, spec.title)
    this.body = h("div.body", spec.note ? { "data-note": spec.note } : {})
    this.state = h("div.state", { hidden: true })
    this.alert = spec.type === "kpi" ? null : h("em.attention", { hidden: true }, icon("warn"), h("span")) // a number says it beside its change
    this.old = h("span.tag.old", { hidden: true }, icon("warn"), h("span"))
    this.tag = h("span.tag.held", { hidden: true }, icon("pause"), h("span"))
    this.element = h(`section.card.tile.t-${spec.type}`, { "aria-labelledby": id, "data-tile": spec.id, "data-state": "loading",
      style: `--w:${spec.width};--h:${spec.height}px` },
      h("header", {}, this.title, this.sub, this.alert, this.legend, this.old, this.trust), this.body, this.state, this.tag)
    this.element.append(this.#menu())
    this.element.tile = this
    if (spec.type !== "kpi") this.element.addEventListener("pointermove", () => { this.held = Date.now() })
    if (spec.type !== "kpi") this.element.addEventListener("pointerleave", () => this.release())
    if (spec.type === "line") this.#fitting()
    const make = TILES[spec.type]
    this.drawer = FIGURES.has(spec.type) ? new Figure(spec, this.body, view.common) : make(spec, this.body, view.common)
  }

  /** The legend finds its place again when the tile gets another width. */
  #fitting() {
    let width = 0
    this.sized = new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width !== width && this.legend.childElementCount) requestAnimationFrame(() => fit(this.legend))
      width = contentRect.width
    })
    this.sized.observe(this.element)
  }

  #menu() {
    const button = h("button.tile-menu", { type: "button", "aria-label": `Menu of ${this.spec.title}` }, h("b.dots", { "aria-hidden": "true" }))
    menu(button, () => this.view.actions(this))
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return
      event.preventDefault()
      button.click()
    })
    return button
  }

  /** What can be done with any tile: entries of its menu. */
  actions() {
    const table = SHEETS.has(this.spec.type) ? [{ text: this.sheet ? "Show as chart" : "Show as table", act: () => this.toggleSheet() }] : []
    const why = this.why().map((parts, i, all) => ({ text: all.length > 1 ? `Why did ${parts.title} change?` : "Why did it change?", act: () => this.#asked(parts) }))
    return [...why, ...table, { text: this.large ? "Back to the board" : "Full screen", hint: this.large ? "Esc" : undefined, act: () => this.toggleLarge() }]
  }

  /** What can be asked about the changes it shows: parts of explain requests, one for each of its metrics. */
  why() {
    const { request } = this.head ?? {}
    const metrics = ASKED.has(this.spec.type) && this.view.common.why && request?.type === "query" ? this.spec.metrics : []
    return metrics.slice(0, this.head.series?.[0]?.dim ? 1 : MOST_ASKED).map(({ name, title }) => ({ metric: name, title: title || name, dataset: request.dataset ?? "", filters: request.filters ?? [] }))
  }

  #asked(parts) {
    this.large?.()
    this.view.common.why(parts)
  }

  /** The chart, or the table behind it. */
  toggleSheet() {
    if (this.sheet) this.sheet.element.remove()
    this.sheet = this.sheet ? null : sheet(this.spec, this.view.common)
    this.body.hidden = Boolean(this.sheet)
    if (this.sheet) this.body.after(this.sheet.element)
    if (this.head) this.draw()
    this.view.common.speak(this.sheet ? "Shown as a table" : "Shown as a chart")
  }

  toggleLarge() {
    if (this.large) return this.large()
    this.large = enlarge(this.element, () => { this.large = this.view.large = null })
    this.view.large = this.large
    this.element.querySelector(".tile-menu").focus()
  }

  /** Whether a chart was drawn so lately that drawing it again would show nothing new: buckets of a minute
   *  need no redraw each second. Its numbers, and all that is not a chart, follow every tick. */
  early(now) {
    if (!this.drawn || !this.paced) return false
    return now - this.drawnAt < Math.min(SLOWEST_MS, (this.head.grain_ms ?? 0) / REDRAWS_PER_BUCKET) - 200
  }

  /** The whole of it, from a snapshot; what was asked for just now is drawn under the pointer too. */
  take(tile, asked) {
    if (!tile) return
    this.paced = false
    this.head = tile.head
    this.columns = tile.columns ?? {}
    if (asked) this.held = this.told = 0
    this.view.touch(this)
  }

  /** What changed, from a frame: `drop` rows off the front, then `columns` in place of everything from row `from`. */
  merge({ drop = 0, from = 0, columns, head }) {
    if (!this.head) return
    if (head) this.head = { ...this.head, ...head }
    if (columns) {
      const next = from ? { ...this.columns } : {} // from the first row on is a full replacement
      for (const [name, values] of Object.entries(columns)) next[name] = (this.columns[name] ?? []).slice(drop, drop + from).concat(values)
      this.columns = next
    }
    if (this.holding()) this.waiting += 1
    this.paced = FIGURES.has(this.spec.type)
    this.view.touch(this)
  }

  /** Whether the pointer is at work in its picture: then it keeps still. */
  holding() {
    return this.state.hidden && this.held > 0 && Date.now() - this.held < HOLD_MS
  }

  release() {
    this.held = this.waiting = 0
    if (this.view.dirty.has(this)) this.view.touch(this)
    this.aged(this.view.status)
  }

  draw() {
    const { head } = this
    this.drawn = true
    this.drawnAt = performance.now()
    this.waiting = 0
    mark(this.element, "data-state", head.state ?? "ok")
    const ok = (head.state ?? "ok") === "ok"
    this.body.hidden = !ok || Boolean(this.sheet)
    this.state.hidden = ok
    if (this.sheet) this.sheet.element.hidden = !ok
    mark(this.element, "data-attention", ok ? head.attention : null)
    if (this.alert) this.#alerted(ok ? head.attention : null)
    if (!ok) return this.#explain(head)
    this.failed = null
    this.explained = null
    this.#trusted(head)
    legend(this.legend, this.spec, head, this.columns, this.view.common) // last in the header: it takes the room that is left
    if (this.sheet) this.sheet.update(head, this.columns)
    else this.drawer.update(head, this.columns)
    this.#summed()
    if (!this.spec.subtitle) say(this.sub, this.sheet ? "" : subtitle(this.spec.type, head, this.view.hooks.still))
  }

  /** That it wants to be looked at, in a word. */
  #alerted(level) {
    this.alert.hidden = !level
    mark(this.alert, "data-level", level)
    say(this.alert.lastChild, ATTENTION[level] ?? "")
  }

  /** The sentence that stands for the picture, at the pace of reading. */
  #summed() {
    if (this.told && Date.now() - this.told < SUMMARY_MS) return
    this.told = Date.now()
    this.drawer.describe?.(summary(this.spec, this.head, this.columns, this.view.common))
  }

  destroy() {
    this.sized?.disconnect()
    this.drawer.destroy?.()
  }

  /** There is no answer for the whole board; the banner says why. */
  refuse() {
    this.head = { state: "empty", reason: "no answer", quiet: true }
    this.view.touch(this)
  }

  #explain(head) {
    const words = JSON.stringify([head.state, head.reason, this.view.empty])
    if (head.state === "error") this.failed ??= Date.now()
    this.trust.hidden = true
    this.legend.replaceChildren()
    delete this.legend.dataset.words
    if (this.explained === words) return
    this.explained = words
    const wide = this.spec.type !== "kpi"
    if (head.state === "error") {
      this.state.replaceChildren(h("p.what", {}, icon("warn"), h("b", {}, wide ? "This could not be computed" : "Not computed")), h("p", {}, head.reason ?? ""),
        h("p.since", {}, `since ${format.clock(this.failed, this.view.common.tz, "second")}`,
          h("button.btn.small", { type: "button", click: () => this.view.transport.retry() }, icon("retry"), "Retry")))
    } else {
      this.state.replaceChildren(...[h("p.what", {}, icon("empty"), h("b", {}, "No data")), h("p", {}, head.reason ?? "Nothing in this window"),
        wide && !head.quiet && !this.view.empty && this.view.spec.empty ? command(this.view.spec.empty) : null].filter(Boolean))
    }
  }

  #trusted({ confidence: c, parts = {}, n }) {
    this.trust.hidden = c === undefined
    if (c === undefined) return
    const words = confidence(c)
    if (this.trust.dataset.c !== words) {
      this.trust.dataset.c = words
      this.trust.replaceChildren(ring(c), words)
    }
    mark(this.trust, "aria-label", `Confidence ${words}`)
    mark(this.trust, "data-tip", [`Confidence ${words}: the least of`, ...inWords(parts), typeof n === "number" ? `from ${format.exact(n)} rows` : ""].filter(Boolean).join("\n"))
  }

  /** Its age when old, in place of a confidence that was true then; and what waits while it is held. */
  aged(status) {
    if (!status) return
    const age = this.view.age(this.head?.newest ?? null)
    const stale = status.name === "stale" || status.name === "closed"
    const late = this.head && isLate(age, this.head.usual_s) && status.name !== "paused"
    const old = Boolean(this.head) && (stale || late)
    this.old.hidden = !old
    mark(this.element, "data-old", old ? (stale ? "stale" : "late") : null)
    mark(this.element, "data-veiled", old && (stale || isLate(age, this.head.usual_s, VEILED)) ? "" : null)
    if (old) say(this.old.lastChild, `${format.age(stale ? Math.max(age ?? 0, status.age ?? 0) : age)} old`)
    const waiting = !old && this.waiting > 0 && this.holding()
    this.tag.hidden = !waiting
    if (waiting) say(this.tag.lastChild, `${this.waiting} update${this.waiting > 1 ? "s" : ""} waiting`)
  }
}

/** What a tile says of itself beside its title, unless the workspace says something. */
function subtitle(type, head, still) {
  if (type === "changes") return !head.since ? "" : /^\d/.test(head.since) ? `since ${head.since}` : `against ${head.since}`
  const per = type === "bars" && head.per ? `per ${head.per}` : ""
  if (type === "bars" || type === "heatmap") return [per, still ? "" : "click to filter"].filter(Boolean).join(" · ")
  return ""
}

/** A command to copy. `{url}` in it becomes this server's address. */
export function command(text) {
  const filled = text.replaceAll("{url}", location.origin)
  const button = h("button.btn.small", { type: "button", "aria-label": "Copy the command" }, icon("copy"), "Copy")
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(filled)
    button.replaceChildren(icon("check"), "Copied")
    setTimeout(() => button.replaceChildren(icon("copy"), "Copy"), 1600)
  })
  return h("div.command", {}, h("code", {}, filled), button)
}
