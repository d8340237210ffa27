// The list of flows: any window, any order, as long as it is, with what is new on top and nothing moved under the eye.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { command } from "../tile.js"
import { COLUMNS, cells, fill, isToday } from "./flow_row.js"
import { Virtual, moved } from "./virtual.js"

const PAGE = 100
const HOLD_MS = 20_000 // a resting pointer holds the list no longer than this
const AHEAD = 30 // rows before the end at which the next page is asked for
const TYPING_MS = 250

/** hooks: {open(flow_id, {focus}), data(analytics), href(flow_id)}; `mount` puts `element` where it belongs. */
export class FlowList {
  constructor({ scope, feed, hooks }) {
    Object.assign(this, { scope, feed, hooks, rows: [], known: new Map(), next: null, active: 0, held: 0, latest: null })
    this.#build()
    this.virtual = new Virtual(this.grid, { make: () => this.#made(), paint: (row, item, i) => this.#paint(row, item, i), key: (row) => row.event_id })
    this.virtual.drawn = (first, count) => this.#drawn(first + count)
    this.renew()
  }

  #build() {
    this.search = h("input", { type: "search", placeholder: "Search name, agent, id or error", "aria-label": "Search the flows", maxlength: 200,
      autocomplete: "off", spellcheck: "false", "aria-keyshortcuts": "l", input: () => this.#typed(), keydown: (event) => this.#searching(event) })
    this.search.value = this.scope.state.args.search ?? ""
    this.order = h("select", { "aria-label": "Sort by", change: () => this.#sort(this.order.value) },
      COLUMNS.filter((c) => c.sorts).map((c) => h("option", { value: c.name }, c.title)))
    this.way = h("button.btn.small.square", { type: "button", click: () => this.#sort(this.sorted().by) })
    this.count = h("span.count")
    this.old = h("span.tag.old", { hidden: true }, icon("warn"), h("span"))
    this.pill = h("button.btn.primary.pill", { type: "button", hidden: true, click: () => this.#caughtUp() })
    const heads = COLUMNS.map((c) => h(`div.c-${c.name}`, { role: "columnheader", "data-tip": c.about },
      c.sorts ? h("button", { type: "button", tabindex: "-1", click: () => this.#sort(c.name) }, c.title, h("i.way", { "aria-hidden": "true" })) : c.title))
    this.heads = new Map(COLUMNS.map((c, i) => [c.name, heads[i]]))
    this.grid = h("div.rows", { role: "grid", tabindex: "0", "aria-label": "Flows", "aria-colcount": COLUMNS.length, keydown: (event) => this.#walk(event),
      pointermove: () => { this.held = Date.now() }, pointerleave: () => this.release(), scroll: () => this.#scrolled(),
      click: (event) => this.#clicked(event), focus: () => this.virtual.draw(), blur: () => { this.virtual.draw(); this.release() } },
      h("div.heads", { role: "rowgroup" }, h("div.head", { role: "row", "aria-rowindex": 1 }, heads)))
    this.note = h("div.state", { hidden: true })
    this.more = h("p.more", { hidden: true })
    this.element = h("section.card.list", { "aria-label": "Flows", "data-state": "loading" },
      h("header.bar-top", {}, h("div.find", {}, this.search, h("kbd", { "aria-hidden": "true" }, "L")), h("div.sorting", {}, this.order, this.way), this.count, this.old),
      h("div.frame", {}, this.grid, this.note, this.pill), this.more)
  }

  /** The order in the address: "-tokens" is most tokens first. */
  sorted() {
    const text = this.scope.state.args.sort || "-time"
    const by = text.replace(/^-/, "").replace(/^cost_usd$/, "cost") // as older addresses call it
    return COLUMNS.some((c) => c.sorts && c.name === by) ? { by, descending: text.startsWith("-") } : { by: "time", descending: true }
  }

  request() {
    const { by, descending } = this.sorted()
    return { type: "flows", ...this.scope.question(), search: (this.scope.state.args.search ?? "").trim(), sort: by, descending, limit: PAGE }
  }

  /** The scope changed: start over where the question did, else only show what else did. */
  sync() {
    const { search = "" } = this.scope.state.args
    if (document.activeElement !== this.search && this.search.value !== search) this.search.value = search
    if (JSON.stringify(this.request()) !== JSON.stringify(this.asked)) this.renew()
    else if (this.latest && !this.holding()) this.#take()
    this.virtual.draw()
  }

  renew() {
    this.end?.()
    this.asked = this.request()
    this.fresh = true
    this.latest = this.failed = null
    mark(this.element, "aria-busy", "true")
    this.#headed()
    const asked = this.asked
    this.end = this.feed.stand(asked, (message) => { if (asked === this.asked) this.#heard(message) })
  }

  #heard(message) {
    this.element.removeAttribute("aria-busy")
    if (message.type === "error") return this.#failed(message.error)
    const { columns, rows, ...rest } = message.analytics
    const page = { next: rest.next, rows: rows.map((values) => Object.fromEntries(columns.map((name, i) => [name, values[i]]))) }
    this.refused = null
    this.hooks.data(rest)
    this.label = rest.label
    this.latest = page
    if (this.fresh) {
      this.fresh = false
      this.active = 0
      this.grid.scrollTop = 0
      this.#take()
    } else if (!this.holding()) this.#take()
    else this.#wait()
  }

  /** Whether somebody reads here: scrolled down, at work with the pointer or the keys, or paused. */
  holding() {
    const resting = this.held > 0 && Date.now() - this.held < HOLD_MS
    return this.scope.state.paused || this.grid.scrollTop > 4 || resting || (document.activeElement === this.grid && this.active > 0)
  }

  release() {
    this.held = 0
    if (this.latest && !this.holding()) this.#take()
  }

  get waiting() {
    return this.latest ? this.latest.rows.filter((row) => !this.known.has(row.event_id)).length : 0
  }

  /** Put the newest page in place of all that is shown. */
  #take() {
    if (!this.latest) return
    const { rows, next } = this.latest
    const active = this.rows[this.active]?.event_id
    this.latest = null
    this.rows = rows
    this.next = next
    this.known = new Map(rows.map((row) => [row.event_id, row]))
    this.active = Math.max(0, rows.findIndex((row) => row.event_id === active))
    this.#changed()
  }

  /** Keep every row where it is: refresh the numbers of those that are shown, count those that are not. */
  #wait() {
    if (!this.scope.state.paused) for (const row of this.latest.rows) {
      const shown = this.known.get(row.event_id)
      if (shown) Object.assign(shown, row)
    }
    this.#told()
    this.virtual.draw()
  }

  #caughtUp() {
    this.held = 0
    this.active = 0
    this.grid.scrollTop = 0
    this.#take()
    this.grid.focus({ preventScroll: true })
  }

  #changed() {
    const empty = !this.rows.length
    mark(this.element, "data-state", empty ? "empty" : "ok")
    this.note.hidden = !empty
    if (empty) this.#emptied()
    mark(this.grid, "aria-rowcount", this.next ? -1 : this.rows.length + 1)
    mark(this.grid, "data-days", this.rows.some((row) => !isToday(row, this.scope.state.tz)) ? "" : null)
    this.#told()
    this.virtual.set(this.rows)
  }

  #told() {
    const { waiting } = this
    const all = this.latest && waiting === this.latest.rows.length && waiting === PAGE
    this.pill.hidden = !waiting || this.scope.state.paused
    if (waiting) say(this.pill, `${format.text(waiting)}${all ? "+" : ""} new flow${waiting > 1 ? "s" : ""}`)
    const n = this.rows.length
    say(this.count, !n ? "" : this.next ? `${format.text(n)} shown, more below` : `${format.text(n)} flow${n > 1 ? "s" : ""}`)
  }

  #emptied() {
    const words = JSON.stringify([this.asked.search, this.scope.state.filters, this.label])
    if (this.note.dataset.words === words) return
    this.note.dataset.words = words
    const narrowed = Boolean(this.asked.search || this.scope.state.filters.length)
    const span = (this.label ?? "this window").replace(/^Last (1 )?/, "the last ").replace(/^./, (c) => c.toLowerCase())
    const fits = [this.asked.search ? `“${this.asked.search}”` : "", this.scope.state.filters.length ? "the filters" : ""].filter(Boolean)
    const why = narrowed ? `Nothing in ${span} fits ${fits.join(" and ")}.` : `No flow ended in ${span}.`
    this.note.replaceChildren(h("p.what", {}, icon("empty"), h("b", {}, "No flows")), h("p", {}, why),
      narrowed ? h("button.btn.small", { type: "button", click: () => this.#widen() }, "Clear search and filters") : "")
    if (!narrowed) this.#howToFill()
  }

  #widen() {
    this.search.value = ""
    this.scope.set({ filters: [], args: { ...this.scope.state.args, search: "" } })
  }

  /** The command of the overview, which a workspace may have changed. */
  async #howToFill() {
    const told = await this.feed.question({ type: "board", board: "overview", compare: "off" }).catch(() => null)
    const text = told?.analytics.empty
    if (text && !this.rows.length && !this.note.querySelector(".command")) this.note.append(h("p", {}, "To send one:"), command(text))
  }

  #failed(error) {
    this.refused = error ?? { message: "The server refused this view" }
    this.hooks.refused(this.refused)
    if (this.rows.length && !this.fresh) return // what is shown stays; the header says that nothing follows
    this.rows = []
    this.virtual.set([])
    mark(this.element, "data-state", "error")
    this.note.hidden = false
    delete this.note.dataset.words
    const { message, hint } = this.refused
    this.note.replaceChildren(h("p.what", {}, icon("warn"), h("b", {}, "The flows could not be listed")), h("p", {}, [message, hint].filter(Boolean).map(format.sentence).join(" ")),
      h("button.btn.small", { type: "button", click: () => this.renew() }, icon("retry"), "Try again"))
  }

  // further pages

  #drawn(last) {
    const element = this.virtual.element(this.rows[this.active])
    mark(this.grid, "aria-activedescendant", element?.id ?? null)
    if (this.next && last > this.rows.length - AHEAD && !this.loading && !this.trouble) this.#further()
    this.#tail()
  }

  async #further() {
    const { asked, next } = this
    this.loading = true
    this.#tail()
    try {
      const { analytics } = await this.feed.question({ ...asked, after: next })
      if (asked !== this.asked || next !== this.next) return
      const names = analytics.columns
      const rows = analytics.rows.map((values) => Object.fromEntries(names.map((name, i) => [name, values[i]]))).filter((row) => !this.known.has(row.event_id))
      for (const row of rows) this.known.set(row.event_id, row)
      this.rows = [...this.rows, ...rows]
      this.next = analytics.next
      this.trouble = null
    } catch (error) {
      this.trouble = error
    } finally {
      this.loading = false
    }
    this.#changed()
  }

  /** What stands below the last row while it is in sight. */
  #tail() {
    const { grid } = this
    const bottom = grid.scrollTop + grid.clientHeight > grid.scrollHeight - 60
    this.more.hidden = !(bottom && this.next && (this.loading || this.trouble))
    if (this.more.hidden) return
    const words = this.trouble ? `Could not load more: ${this.trouble.message}` : "Loading more …"
    if (this.more.firstChild?.textContent === words) return
    this.more.replaceChildren(h("span", {}, words))
    if (this.trouble) this.more.append(h("button.btn.small", { type: "button", click: () => { this.trouble = null; this.#further() } }, icon("retry"), "Try again"))
  }

  #scrolled() {
    if (this.latest && this.grid.scrollTop <= 4 && !this.holding()) this.#take()
  }

  // order and search

  #sort(name) {
    const { by, descending } = this.sorted()
    const down = name === by ? !descending : COLUMNS.find((c) => c.name === name).falling ?? true
    const text = `${down ? "-" : ""}${name}`
    this.scope.put({ sort: text === "-time" ? "" : text })
  }

  #headed() {
    const { by, descending } = this.sorted()
    for (const [name, head] of this.heads) mark(head, "aria-sort", name !== by ? null : descending ? "descending" : "ascending")
    this.order.value = by
    say(this.way, descending ? "↓" : "↑")
    mark(this.way, "aria-label", descending ? "Falling; press for rising" : "Rising; press for falling")
  }

  #typed() {
    clearTimeout(this.typing)
    this.typing = setTimeout(() => this.scope.put({ search: this.search.value }, { step: false }), TYPING_MS)
  }

  #searching(event) {
    if (event.key === "Escape" && this.search.value) {
      event.stopPropagation()
      this.search.value = ""
    } else if (event.key === "ArrowDown") this.grid.focus()
    else if (event.key !== "Enter") return
    event.preventDefault()
    clearTimeout(this.typing)
    this.scope.put({ search: this.search.value }, { step: false })
  }

  // rows

  #made() {
    this.made = (this.made ?? 0) + 1
    return h("div.row", { role: "row", id: `flow-${this.made}` }, cells())
  }

  #paint(element, row, index) {
    element.flow = row
    const focused = document.activeElement === this.grid && index === this.active
    mark(element, "aria-rowindex", index + 2)
    mark(element, "aria-selected", String(row.flow_id === this.scope.state.args.flow))
    mark(element, "data-active", focused ? "" : null)
    fill(element, row, { max: this.max(), tz: this.scope.state.tz, href: this.hooks.href(row.flow_id) })
  }

  /** The longest duration of the rows that are loaded, which the bars are relative to. */
  max() {
    if (this.measured !== this.rows) {
      this.measured = this.rows
      this.longest = this.rows.reduce((most, row) => Math.max(most, row.duration_ms ?? 0), 0)
    }
    return this.longest
  }

  #clicked(event) {
    const row = event.target.closest(".row")
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey || getSelection()?.toString()) return
    event.preventDefault() // the link in it is for a new tab
    this.active = this.rows.indexOf(row.flow)
    this.hooks.open(row.flow.flow_id, { focus: false })
  }

  #walk(event) {
    if (event.target !== this.grid || event.ctrlKey || event.metaKey || event.altKey) return
    const row = this.rows[this.active]
    if (event.key === "Enter" && row) {
      event.preventDefault()
      return this.hooks.open(row.flow_id, { focus: true })
    }
    const to = moved(event.key, this.active, this.rows.length, this.virtual.page())
    if (to === null) return
    event.preventDefault()
    this.active = to
    this.virtual.show(to)
  }

  /** The keys come here from anywhere on the page. */
  focus() {
    this.grid.focus({ preventScroll: true })
    this.virtual.draw()
  }

  /** How old what is shown is, where that is too old to be called live. */
  aged(text) {
    this.old.hidden = !text
    if (text) say(this.old.lastChild, text)
  }
}
