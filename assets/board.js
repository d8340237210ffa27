// The board: mount(element, spec, transport, options) draws a spec and keeps it true to the transport's messages.
// It is the only rendering path: pages, walls and notebooks differ in their transport and nothing else.

import { h, icon, mark, say } from "./dom.js"
import { entries } from "./exports.js"
import * as format from "./format.js"
import { Hover } from "./hover.js"
import { anyOpen } from "./menus.js"
import { Scope } from "./scope.js"
import { Shares } from "./shares.js"
import { moment } from "./ticks.js"
import { TileView, command, isLate } from "./tile.js"
import { tips } from "./tips.js"

const DELAYED_MS = 3_000 // a frame comes every second, even when nothing changed
const STALE_MS = 8_000
const BUDGET_MS = 7 // of one animation frame

/**
 * options: {scope: Scope, bokeh: Promise of the Bokeh global, status(status), data(board), theme(),
 * request(scope): the standing request, where it is not that of the named board, actions(tile): more entries for the
 * menu of a tile, as menus.js takes them, shares(again): scales in common with another board, see shares.js,
 * files(tile): the ways out in that menu, brushed(tile, from, to) hears of a span that is zoomed into, in ms,
 * why(parts) is asked why a metric changed, see why_request.js, still: nothing can be asked any more}.
 * Returns {setScope(state), setTheme(theme), status(), destroy()}.
 */
export function mount(element, spec, transport, options = {}) {
  if (element.plumbline) return element.plumbline
  const view = new BoardView(element, spec, transport, options)
  element.plumbline = view.handle
  return view.handle
}

class BoardView {
  constructor(element, spec, transport, { scope, bokeh, status, data, theme, request, actions, shares, brushed, why, files = entries, still = false, scale = 1 }) {
    Object.assign(this, { element, spec, transport, scale, hooks: { status, data, theme, actions, brushed, why, files, still } })
    this.request = () => request?.(this.scope) ?? this.scope.request(spec.board)
    this.scope = scope ?? new Scope({}, { window: spec.window })
    this.board = null
    this.offset = null
    this.heard = Date.now()
    this.connection = { name: "connecting", attempt: 0 }
    this.waiting = 0
    this.dirty = new Set()
    this.live = h("p.visually-hidden", { role: "status" })
    this.voice = h("p.visually-hidden", { role: "status" })
    this.banner = h("div.banner", { hidden: true, role: "alert" })
    element.classList.add("plumbline")
    this.tip = tips(element)
    this.hover = new Hover(element)
    this.shares = shares?.((id) => this.#again(id)) ?? new Shares((id) => this.#again(id))
    this.common = this.#common(bokeh, still)
    this.grid = element.querySelector(".grid") ?? element.appendChild(h("div.grid"))
    this.tiles = new Map(spec.tiles.map((tile) => [tile.id, new TileView(this, tile)]))
    this.grid.replaceChildren(...[...this.tiles.values()].map((tile) => tile.element))
    element.append(this.live, this.voice)
    this.escape = (event) => this.#escape(event)
    document.addEventListener("keydown", this.escape)
    this.grid.before(this.banner)
    this.seen = new IntersectionObserver((entries) => this.#sight(entries), { rootMargin: "120px" })
    for (const tile of this.tiles.values()) this.seen.observe(tile.element)
    this.off = this.scope.on((state, patch) => this.#scoped(patch))
    this.beat = setInterval(() => this.#heartbeat(), 1000)
    this.paused = this.scope.state.paused
    transport.ask(this.request())
    transport.listen({ message: (m) => this.#message(m), state: (s) => this.#connected(s) })
    this.handle = {
      setScope: (state) => this.scope.set(state, { step: false }),
      setTheme: (name) => this.setTheme(name),
      status: () => this.status,
      destroy: () => this.destroy(),
    }
  }

  /** What every tile may know of its board. */
  #common(bokeh, still) {
    const view = this
    const boards = document.querySelectorAll(".plumbline .tile[data-tile]").length
    return {
      bokeh: bokeh ?? Promise.resolve(globalThis.Bokeh),
      tip: this.tip,
      hover: this.hover,
      shares: this.shares,
      unbanded: new Set(), // tiles without the band of what is expected
      redraw: (id) => { view.tiles.get(id).held = 0; view.#again(id) }, // by hand, so also under the pointer
      prefix: boards ? `tile${boards}-` : "tile-", // of element ids: two boards may have tiles of the same name
      palette: () => view.spec.palettes[view.theme],
      get tz() { return view.scope.state.tz },
      get window() { return view.scope.state.window },
      why: view.hooks.why ?? null,
      get label() { return view.board?.label ?? "" },
      get previous_label() { return view.board?.previous_label ?? "previous period" },
      get span() { return Date.parse(view.board?.window?.to) - Date.parse(view.board?.window?.from) || 0 },
      toggle: (dim, value) => view.scope.toggle(dim, value),
      toggleAll: (filters) => view.#toggleAll(filters),
      filtered: (dim, value) => view.scope.has(dim, value),
      filterTip: (dim, value, shown = value ?? "(none)") => (still ? "" : `${view.scope.has(dim, value) ? "Take away the filter" : "Filter"} ${dim} = ${shown}`),
      address: (path, dim, value) => {
        const others = view.scope.state.filters.filter((f) => f !== view.scope.kept(dim))
        return view.scope.href({ filters: [...others, { dim, op: "is", values: [value === null ? null : String(value)] }], args: {} }, path)
      },
      page: (path) => view.scope.href({ args: {} }, path),
      now: () => view.now(),
      scale: view.scale,
      zoom: (from, to, tile) => {
        view.hooks.brushed?.(tile, from, to)
        view.scope.set({ window: `${moment(from)} to ${moment(to)}` })
      },
      undo: () => view.scope.undo(),
      speak: (text) => say(view.voice, text),
    }
  }

  /** Filter by all values of a row at once, as one step; a row that is filtered by is let go. */
  #toggleAll(filters) {
    const all = filters.every(([dim, value]) => this.scope.has(dim, value))
    const dims = filters.map(([dim]) => dim)
    const others = this.scope.state.filters.filter((f) => !dims.includes(f.dim))
    const kept = filters.map(([dim, value]) => ({ dim, op: "is", values: [value === null ? null : String(value)] }))
    this.scope.set({ filters: all ? others : [...others, ...kept] })
  }

  /** The menu of a tile: what every tile can do, what the page adds, and the ways out. */
  actions(tile) {
    return [...tile.actions(), ...(this.hooks.actions?.(tile) ?? []), ...this.hooks.files(tile)]
  }

  /** Escape makes a large tile small, and otherwise takes back the last step of the scope. */
  #escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented || anyOpen()) return
    const target = event.composedPath()[0]
    if (target.closest?.("input, textarea, select, dialog, .menu") || !(target === document.body || this.element.contains(target))) return
    if (!this.large && !this.scope.canUndo) return
    event.preventDefault()
    if (this.large) this.large()
    else this.scope.undo()
  }

  /** Draw a tile anew soon, whatever its pace: another one moved the range they share. */
  #again(id) {
    const tile = this.tiles.get(id)
    if (!tile?.head) return
    tile.paced = false
    this.touch(tile)
  }

  get theme() {
    return this.hooks.theme?.() ?? this.element.closest("[data-theme]")?.dataset.theme ?? this.spec.theme
  }

  setTheme() {
    for (const tile of this.tiles.values()) tile.drawer.paint?.()
  }

  destroy() {
    clearInterval(this.beat)
    document.removeEventListener("keydown", this.escape)
    this.large?.()
    this.off()
    this.seen.disconnect()
    for (const tile of this.tiles.values()) tile.destroy()
    this.tip.remove()
    this.transport.close()
    this.element.replaceChildren()
    delete this.element.plumbline
  }

  #message(message) {
    this.heard = Date.now()
    if (message.type === "error") return this.#refused(message.error)
    if (message.type === "analytics_update") this.#snapshot(message.analytics)
    else this.#frame(message)
    this.hooks.data?.(this.board)
    if (this.paused && this.board.drawn) this.waiting += 1
    this.#schedule()
    this.#heartbeat()
  }

  #snapshot(board) {
    const windowed = JSON.stringify([this.board?.label, this.board?.window?.grain]) !== JSON.stringify([board.label, board.window?.grain])
    const asked = this.fresh
    this.refused = this.fresh = false
    if (windowed) this.shares.clear()
    this.board = { ...board, drawn: !asked && this.board?.drawn }
    if (!board.as_of) this.#clock(board.now) // of the past its own clock is told
    this.#warned()
    this.element.removeAttribute("aria-busy")
    for (const [id, tile] of this.tiles) tile.take(board.tiles[id], windowed || asked)
    const all = [...this.tiles.values()]
    this.#emptied(all.every((t) => t.head?.state === "empty") && this.scope.state.filters.length === 0)
  }

  #frame({ at, board, tiles }) {
    if (!this.board) return
    Object.assign(this.board, board)
    this.#clock(at)
    if (board && "workspace_error" in board) this.#warned()
    for (const [id, change] of Object.entries(tiles ?? {})) this.tiles.get(id)?.merge(change)
    if (this.empty && [...this.tiles.values()].some((t) => t.head?.state !== "empty")) this.#emptied(false)
  }

  /** The server's clock against ours. Travel only ever makes it look slower, so the fastest message is right. */
  #clock(at) {
    if (typeof at !== "number") return
    const seen = at - Date.now()
    this.offset = this.offset === null ? seen : Math.max(seen, this.offset - 5) // forget slowly: clocks get corrected
  }

  #refused(error) {
    this.element.removeAttribute("aria-busy")
    this.refused = true
    this.#bannered([error?.message ?? "The server refused this view", format.sentence(error?.hint ?? "")], true)
    for (const tile of this.tiles.values()) if (!tile.head) tile.refuse()
    this.#heartbeat()
  }

  #warned() {
    const error = this.board.workspace_error
    this.#bannered(error ? ["The workspace file has an error; the last good one stays.", error] : null)
  }

  #bannered(words, retry) {
    this.banner.hidden = !words
    if (!words) return
    this.banner.replaceChildren(icon("warn"), h("span", {}, h("b", {}, format.sentence(words[0])), " ", words[1] ?? ""),
      retry ? h("button.btn", { type: "button", click: () => this.transport.retry() }, "Try again") : "")
  }

  /** All of it is empty: say once, above the tiles, how to fill it. */
  #emptied(empty) {
    this.empty = empty
    this.welcome?.remove()
    if (!empty || !this.spec.empty) return
    this.welcome = h("section.card.welcome", {}, h("h2", {}, "Nothing has arrived yet"),
      h("p", {}, "This board fills itself as soon as events come in. To send some:"), command(this.spec.empty))
    this.grid.before(this.welcome)
  }

  #scoped(patch) {
    this.paused = this.scope.state.paused
    if ("theme" in patch) this.setTheme()
    const request = this.request()
    if (JSON.stringify(request) !== JSON.stringify(this.transport.request)) {
      this.fresh = true // an answer to a question just asked is drawn even while paused
      mark(this.element, "aria-busy", "true")
      this.transport.ask(request)
    }
    if (!this.paused) this.waiting = 0
    this.#schedule()
    this.#heartbeat()
  }

  #connected(state) {
    this.connection = state
    this.#heartbeat()
  }

  #sight(entries) {
    for (const { target, isIntersecting } of entries) target.tile.visible = isIntersecting
    this.#schedule()
  }

  touch(tile) {
    this.dirty.add(tile)
    this.#schedule()
  }

  #schedule() {
    if (this.dirty.size && !this.frame) this.frame = requestAnimationFrame(() => this.#flush())
  }

  /** Redraw what changed and is in sight, as much as fits one animation frame; the rest in the next. */
  #flush() {
    this.frame = null
    if (this.paused && this.board?.drawn) return
    const started = performance.now()
    let left = false
    // in sight first; then, once, what is not, so that scrolling meets finished tiles
    const order = [...this.dirty].sort((a, b) => b.visible - a.visible)
    for (const tile of order) {
      if ((!tile.visible && tile.drawn) || tile.holding() || tile.early(started)) continue
      if (performance.now() - started > BUDGET_MS) { left = true; break }
      this.dirty.delete(tile)
      tile.draw()
    }
    if (left) this.#schedule()
    else if (this.board) this.board.drawn = true
  }

  /** The server's clock, or the moment of the past that is shown, in ms. */
  now() {
    return Date.parse(this.scope.state.as_of) || Date.now() + (this.offset ?? 0)
  }

  /** How old something is by the server's clock, in seconds; null where unknown. */
  age(watermark) {
    return typeof watermark === "number" ? Math.max(0, (this.now() - watermark) / 1000) : null
  }

  #heartbeat() {
    const silent = Date.now() - this.heard
    if (silent < 0) this.heard = Date.now() // this device's clock was set back
    const age = this.age(this.board?.newest)
    const name = this.connection.name === "closed" ? "closed"
      : this.refused ? "refused"
      : !this.board ? (this.connection.name === "reconnecting" ? "reconnecting" : "loading")
      : this.paused ? "paused"
      : silent > STALE_MS ? "stale"
      : silent > DELAYED_MS ? "delayed"
      : this.connection.name === "reconnecting" ? "reconnecting" : "live"
    const old = name === "stale" || name === "delayed" ? Math.max(age ?? 0, silent / 1000) : age
    const status = { name, age: old, late: isLate(old, this.board?.usual_s), waiting: this.waiting, connection: this.connection }
    const changed = this.status?.name !== name
    this.status = status
    mark(this.element, "data-state", name)
    if (changed && this.board) say(this.live, SPOKEN[name] ?? "")
    for (const tile of this.tiles.values()) tile.aged(status)
    this.hooks.status?.(status)
    if ([...this.dirty].some((t) => t.visible && !t.holding())) this.#schedule()
  }
}

const SPOKEN = {
  live: "Live", paused: "Paused", delayed: "Updates are delayed", stale: "The data is stale: no updates arrive",
  reconnecting: "Reconnecting", refused: "The server refused this view", closed: "Disconnected",
}

globalThis.Plumbline = { ...globalThis.Plumbline, format, mount }
