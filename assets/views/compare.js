// Compare: one board twice, each side with its own time and filters, and what differs above them.
// Side A is the page's own scope until it is changed here; side B is the period before A until it is.

import { mount as board } from "../board.js"
import { arrange, h, icon, mark, say } from "../dom.js"
import { Feed } from "../feed.js"
import { filters } from "../filters.js"
import * as format from "../format.js"
import { menu } from "../menus.js"
import { range } from "../range.js"
import { Scope, filtersOf } from "../scope.js"
import { Shares } from "../shares.js"
import * as times from "../times.js"
import { tone } from "../tiles.js"
import { SpecSource, shared } from "./inline.js"

const COMMON = ["tz", "grain", "as_of", "paused", "theme"] // of the page, for both sides
const SHIFTS = { period: "The period before", day: "Same time yesterday", week: "Same time last week" }

/** The window and the filters of one side, from the address. */
export function parsed(text) {
  const query = new URLSearchParams(text)
  const state = { window: query.get("window") ?? "now-1h", filters: [] }
  for (const name of new Set(query.keys())) if (name !== "window") state.filters.push(...filtersOf(name, query.getAll(name)))
  return state
}

/** The same, for the address: the window always stands, so that nothing is left out. */
export const encoded = ({ window, filters }) => new Scope({}, { window: "" }).query({ ...new Scope({}, { window: "" }).state, window, filters })

/** How B differs from A or A from B: {change, kind}, as the server says it of two periods. */
export function difference(a, b, unit) {
  const known = typeof a === "number" && typeof b === "number"
  if (unit === "percent") return { change: known ? a - b : null, kind: "pp" }
  if (!known) return { change: null, kind: "relative" }
  if (b === 0) return a === 0 ? { change: 0, kind: "relative" } : { change: a, kind: "absolute" }
  return { change: (a - b) / Math.abs(b), kind: "relative" }
}

/** The window of the same length before, a day before or a week before. */
export function shifted(window, by, now, tz) {
  if (by === "period") return times.panned(window, -2, now, tz)
  const span = times.tried(window, now, tz)
  if (!span) return window
  const ms = { day: 86_400_000, week: 604_800_000 }[by]
  return [span.from, span.to].map((t) => new Date(t - ms).toISOString().replace(/\.\d+Z/, "Z")).join(" to ")
}

export async function mount(main, context) {
  const view = new Compare(main, context)
  await view.start()
  return view
}

class Compare {
  constructor(main, { scope, feed, bar, page, bokeh, restarted }) {
    Object.assign(this, { main, scope, bar, page, bokeh, restarted, specs: new SpecSource(), rows: new Map(), turn: 0 })
    const second = new Feed(feed.url)
    this.sides = { a: this.#side("a", feed), b: this.#side("b", second) }
    this.scope.on((state, patch) => this.#followed(patch))
  }

  async start() {
    const boards = await fetch("/api/boards").then((reply) => (reply.ok ? reply.json() : [])).catch(() => [])
    this.boards = boards.filter((b) => b.tiles.some((t) => t.type !== "changes"))
    this.#frame()
    await this.#draw()
  }

  get board() {
    const { board } = this.scope.state.args
    return board || (this.boards.find((b) => b.name === "overview") ?? this.boards[0])?.name || "overview"
  }

  // sides

  #side(name, feed) {
    const scope = new Scope({ ...this.#wanted(name), compare: "off", ...this.#common() }, { window: "" })
    const side = { name, feed, scope, wire: null, fields: null, status: null }
    scope.on((state, patch) => { if ("window" in patch || "filters" in patch) this.#edited(side) })
    return side
  }

  #common() {
    return Object.fromEntries(COMMON.map((part) => [part, this.scope.state[part]]))
  }

  /** What a side shows: what its argument says, else the page's scope (A), else the period before A (B). */
  #wanted(name) {
    const { args, window, filters, tz } = this.scope.state
    if (args[name]) return parsed(args[name])
    if (name === "a") return { window, filters }
    const a = this.#wanted("a")
    return { window: shifted(a.window, "period", this.scope.now(), tz), filters: a.filters }
  }

  /** A side was changed by hand: into the address with it. */
  #edited(side) {
    const now = encoded(side.scope.state)
    if (now !== encoded(this.#wanted(side.name))) this.scope.put({ [side.name]: now })
    this.#show()
  }

  #followed(patch) {
    for (const side of Object.values(this.sides)) side.scope.set({ ...this.#wanted(side.name), ...this.#common() })
    this.#show()
    if (patch.args) this.#draw()
  }

  // drawing

  #frame() {
    const choose = h("select", { "aria-label": "Board", change: () => this.scope.put({ board: choose.value }) },
      this.boards.map((b) => h("option", { value: b.name }, b.title || b.name)))
    this.choose = choose
    const swap = h("button.btn", { type: "button", click: () => this.#put(this.sides.b.scope.state, this.sides.a.scope.state) }, h("b", { "aria-hidden": "true" }, "⇄"), "Swap")
    const same = h("button.btn", { type: "button", click: () => this.#put(null, this.sides.a.scope.state) }, "Copy A to B")
    this.fault = h("div.banner", { role: "alert", hidden: true })
    this.strip = h("div.strip", { role: "table", "aria-label": "Figures side by side" })
    this.pair = h("div.pair")
    this.holders = { a: h("div.side.side-a"), b: h("div.side.side-b") }
    const bars = Object.values(this.sides).map((side) => this.#bar(side))
    this.main.append(h("section.compare", {},
      h("div.compare-bar", { role: "group", "aria-label": "Comparison" }, h("label", {}, h("span", {}, "Board"), choose), swap, same),
      this.fault, this.pair, this.strip))
    this.pair.append(...bars, this.strip, this.holders.a, this.holders.b)
    this.#show()
  }

  /** Its letter, its time, its filters, and a menu of sensible others. */
  #bar(side) {
    const window = h("button.btn.small", { type: "button" }, h("span"), h("b.caret", { "aria-hidden": "true" }))
    range(window, side.scope, { travel: () => {} })
    const chips = h("span.chips")
    const add = h("button.btn.ghost.small.add", { type: "button" }, "+ Filter")
    const nothing = h("p.nothing", { role: "status", hidden: true })
    filters({ holder: chips, button: add, note: nothing }, side.scope, side.feed, () => side.fields?.dataset)
    const other = side.name === "a" ? "b" : "a"
    const set = h("button.btn.ghost.small", { type: "button", "aria-label": `Set ${side.name.toUpperCase()} to` }, "Set to", h("b.caret", { "aria-hidden": "true" }))
    menu(set, () => this.#ways(side, this.sides[other]))
    side.window = window
    return h(`div.side-bar.of-${side.name}`, { role: "group", "aria-label": `Side ${side.name.toUpperCase()}` }, h("b.letter", {}, side.name.toUpperCase()), window, chips, add, nothing, set)
  }

  #ways(side, other) {
    const { state } = other.scope
    const letter = other.name.toUpperCase()
    const go = (fresh) => () => this.#put(...(side.name === "a" ? [fresh, null] : [null, fresh]))
    const shift = Object.entries(SHIFTS).map(([by, text]) => ({ text: by === "period" ? `${text} ${letter}` : `${text} as ${letter}`, act: go({ ...state, window: shifted(state.window, by, this.scope.now(), state.tz) }) }))
    const domains = (other.fields?.domains ?? []).filter((d) => d !== null).slice(0, 8)
    const within = domains.map((domain) => ({ text: `${domain}`, note: `the time of ${letter}`, act: go({ ...state, filters: [...state.filters.filter((f) => f.dim !== "domain"), { dim: "domain", op: "is", values: [domain] }] }) }))
    return [{ heading: "Another time" }, ...shift, ...(within.length ? [{ heading: "Another domain" }, ...within] : []),
      { heading: "Otherwise" }, { text: `The same as ${letter}`, act: go(state) }, { text: "Everything", note: "no filters", act: go({ ...side.scope.state, filters: [] }) }]
  }

  /** Set one side or both, as one step; null leaves a side as it is. */
  #put(a, b) {
    this.scope.put({ ...(a ? { a: encoded(a) } : {}), ...(b ? { b: encoded(b) } : {}) })
  }

  #show() {
    if (!this.choose) return
    this.choose.value = this.board
    for (const side of Object.values(this.sides)) {
      const { window, tz } = side.scope.state
      say(side.window.firstChild, times.said(window, side.scope.now(), tz))
    }
  }

  async #draw() {
    const name = this.board
    if (name === this.drawn) return
    this.drawn = name
    const turn = ++this.turn
    mark(this.pair, "aria-busy", "true")
    try {
      const whole = await this.specs.get({ board: name })
      if (turn !== this.turn) return
      this.fault.hidden = true
      this.#mount({ ...whole, tiles: whole.tiles.filter((t) => t.type !== "changes").map((t) => ({ ...t, width: 6 })) })
    } catch (error) {
      if (turn !== this.turn) return
      this.drawn = null
      this.fault.hidden = false
      this.fault.replaceChildren(icon("warn"), h("span", {}, h("b", {}, "The board did not load. "), format.sentence(error.message)), h("button.btn", { type: "button", click: () => this.#draw() }, "Try again"))
    }
  }

  #mount(spec) {
    this.strip.replaceChildren()
    this.rows.clear()
    const pairs = new Map()
    const common = new Shares((id) => pairs.get(id)?.())
    for (const side of Object.values(this.sides)) {
      side.wire?.off()
      side.board?.destroy()
      side.fields = null
      const holder = this.holders[side.name]
      side.wire = shared(side.feed)
      side.board = board(holder, spec, side.wire, {
        scope: side.scope, bokeh: this.bokeh,
        shares: (again) => paired(common, side.name, (id) => pairs.set(`${side.name} ${id}`, () => again(id))),
        request: (scope) => scope.request(spec.board),
        data: (fields) => this.#heard(side, fields),
        status: (status) => this.#said(side, status),
      })
      holder.querySelectorAll(".tile").forEach((tile, i) => { tile.style.order = 2 + i })
    }
    this.kpis = spec.tiles.filter((t) => t.type === "kpi")
    this.strip.hidden = !this.kpis.length
  }

  #heard(side, fields) {
    side.fields = fields
    if (side.name === "a") this.bar.data(fields)
    mark(this.pair, "aria-busy", null)
    this.restarted?.()
    this.pending ??= requestAnimationFrame(() => { this.pending = null; this.#figures() })
  }

  /** The header tells of the worse of both sides. */
  #said(side, status) {
    side.status = status
    const [a, b] = [this.sides.a.status, this.sides.b.status]
    const worse = !a || !b ? a ?? b : WORSE.indexOf(b.name) < WORSE.indexOf(a.name) ? { ...b, age: a.age } : a
    this.bar.status({ ...worse, waiting: (a?.waiting ?? 0) + (b?.waiting ?? 0) })
  }

  // the strip

  #figures() {
    arrange(this.strip, this.kpis.map((tile) => {
      if (!this.rows.has(tile.id)) this.rows.set(tile.id, figure(tile))
      const row = this.rows.get(tile.id)
      const [a, b] = ["a", "b"].map((s) => this.holders[s].querySelector(`[data-tile="${CSS.escape(tile.id)}"]`)?.tile.head ?? null)
      row.fill(a, b)
      return row.element
    }))
  }
}

const WORSE = ["closed", "refused", "reconnecting", "stale", "delayed", "loading", "paused", "live"]

/** One figure of the strip: both values, and A against B. */
function figure(tile) {
  const metric = tile.metrics[0] ?? {}
  const cells = ["a", "b"].map((s) => h(`span.figure-of.of-${s}`, { role: "cell" }, h("b.letter", {}, s.toUpperCase()), h("em")))
  const change = h("b")
  const element = h("div.card.figures", { role: "row" }, h("h3", { role: "rowheader" }, tile.title), ...cells, h("span.versus", { role: "cell" }, change, h("small", {}, "A against B")))
  return {
    element,
    fill(...heads) {
      const values = heads.map((head) => (head && (head.state ?? "ok") === "ok" ? head.value ?? null : null))
      heads.forEach((head, i) => {
        const em = cells[i].lastElementChild
        say(em, format.text(values[i], metric.unit, metric.per))
        mark(em, "title", format.exact(values[i], metric.unit, metric.per))
      })
      const { change: moved, kind } = difference(...values, metric.unit)
      say(change, moved === null ? format.DASH : kind === "absolute" ? `from ${format.text(0, metric.unit)}` : moved === 0 ? "the same" : format.change(moved, kind))
      mark(change, "class", tone(moved, kind, metric.good))
    },
  }
}

/** The scales of one side's tiles, common with the tile of the same name on the other side. */
function paired(common, side, told) {
  const own = (tile) => { told(tile.id); return { id: `${side} ${tile.id}`, share: tile.share || `pair ${tile.id}` } }
  return {
    clear() { // only its own: the other side has not changed
      for (const group of common.extents.values()) for (const id of group.keys()) if (id.startsWith(`${side} `)) group.delete(id)
    },
    scale: (tile) => common.scale(own(tile)),
    extent: (tile, low, high) => common.extent(own(tile), low, high),
  }
}
