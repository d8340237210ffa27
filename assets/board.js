// The board: mount(element, spec, transport, options) draws a spec and keeps it true to the transport's messages.
// It is the only rendering path: pages, walls and notebooks differ in their transport and nothing else.

import { h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { Scope } from "./scope.js"
import { TileView, command, isLate } from "./tile.js"
import { tips } from "./tips.js"

const DELAYED_MS = 3_000 // a frame comes every second, even when nothing changed
const STALE_MS = 8_000
const BUDGET_MS = 7 // of one animation frame

/**
 * options: {scope: Scope, bokeh: Promise of the Bokeh global, status(status), data(board), theme(),
 * request(scope): the standing request, where it is not that of the named board}.
 * Returns {setScope(state), setTheme(theme), status(), destroy()}.
 */
export function mount(element, spec, transport, options = {}) {
  if (element.plumbline) return element.plumbline
  const view = new BoardView(element, spec, transport, options)
  element.plumbline = view.handle
  return view.handle
}

class BoardView {
  constructor(element, spec, transport, { scope, bokeh, status, data, theme, request }) {
    Object.assign(this, { element, spec, transport, hooks: { status, data, theme } })
    this.request = () => request?.(this.scope) ?? this.scope.request(spec.board)
    this.scope = scope ?? new Scope({}, { window: spec.window })
    this.board = null
    this.offset = null
    this.heard = Date.now()
    this.connection = { name: "connecting", attempt: 0 }
    this.waiting = 0
    this.dirty = new Set()
    this.live = h("p.visually-hidden", { role: "status" })
    this.banner = h("div.banner", { hidden: true, role: "alert" })
    element.classList.add("plumbline")
    this.tip = tips(element)
    this.common = this.#common(bokeh)
    this.grid = element.querySelector(".grid") ?? element.appendChild(h("div.grid"))
    this.tiles = new Map(spec.tiles.map((tile) => [tile.id, new TileView(this, tile)]))
    this.grid.replaceChildren(...[...this.tiles.values()].map((tile) => tile.element))
    element.append(this.live)
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
  #common(bokeh) {
    const view = this
    return {
      bokeh: bokeh ?? Promise.resolve(globalThis.Bokeh),
      tip: this.tip,
      palette: () => view.spec.palettes[view.theme],
      get tz() { return view.scope.state.tz },
      get previous_label() { return view.board?.previous_label ?? "previous period" },
      toggle: (dim, value) => view.scope.toggle(dim, value),
      filtered: (dim, value) => view.scope.state.filters.some((f) => f.dim === dim && f.values.includes(value)),
    }
  }

  get theme() {
    return this.hooks.theme?.() ?? this.element.closest("[data-theme]")?.dataset.theme ?? this.spec.theme
  }

  setTheme() {
    for (const tile of this.tiles.values()) tile.drawer.paint?.()
  }

  destroy() {
    clearInterval(this.beat)
    this.off()
    this.seen.disconnect()
    for (const tile of this.tiles.values()) tile.drawer.destroy?.()
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
    this.refused = false
    this.board = { ...board, drawn: this.board?.drawn }
    if (this.fresh) { this.fresh = false; this.board.drawn = false }
    this.#clock(board.now)
    this.#warned()
    this.element.removeAttribute("aria-busy")
    for (const [id, tile] of this.tiles) tile.take(board.tiles[id], windowed)
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

  /** How old something is by the server's clock, in seconds; null where unknown. */
  age(watermark) {
    return typeof watermark === "number" ? Math.max(0, (Date.now() + (this.offset ?? 0) - watermark) / 1000) : null
  }

  #heartbeat() {
    const silent = Date.now() - this.heard
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
