// The board: mount(element, spec, transport, options) draws a spec and keeps it true to the transport's messages.
// It is the only rendering path: pages, walls and notebooks differ in their transport and nothing else.

import { h, icon, mark, say } from "./dom.js"
import { FIGURES, Figure, legend } from "./figures.js"
import * as format from "./format.js"
import { Scope } from "./scope.js"
import { TILES, confidence, ring } from "./tiles.js"
import { tips } from "./tips.js"

const DELAYED_MS = 3_000 // a frame comes every second, even when nothing changed
const STALE_MS = 8_000
const LATE_S = 15 // data older than this shows its age on the tile
const HOLD_MS = 20_000 // a resting pointer holds a chart no longer than this
const BUDGET_MS = 7 // of one animation frame

/**
 * options: {scope: Scope, bokeh: Promise of the Bokeh global, status(status), data(board), theme()}.
 * Returns {setScope(state), setTheme(theme), status(), destroy()}.
 */
export function mount(element, spec, transport, options = {}) {
  if (element.plumbline) return element.plumbline
  const view = new BoardView(element, spec, transport, options)
  element.plumbline = view.handle
  return view.handle
}

class BoardView {
  constructor(element, spec, transport, { scope, bokeh, status, data, theme }) {
    Object.assign(this, { element, spec, transport, hooks: { status, data, theme } })
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
    this.beat = setInterval(() => this.#heartbeat(), 400)
    this.paused = this.scope.state.paused
    transport.ask(this.scope.request(spec.board))
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
      get compared() { return view.scope.state.compare !== "off" },
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
    this.board = { ...board, drawn: this.board?.drawn }
    if (this.fresh) { this.fresh = false; this.board.drawn = false }
    this.#clock(board.now)
    this.#bannered(board.workspace_error ? ["The workspace file has an error", board.workspace_error] : null)
    this.element.removeAttribute("aria-busy")
    for (const [id, tile] of this.tiles) tile.take(board.tiles[id], windowed)
    const all = [...this.tiles.values()]
    this.#emptied(all.every((t) => t.head?.state === "empty") && this.scope.state.filters.length === 0)
  }

  #frame({ at, board, tiles }) {
    if (!this.board) return
    Object.assign(this.board, board)
    this.#clock(at)
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
    this.#bannered([error?.message ?? "The server refused this view", error?.hint], true)
    for (const tile of this.tiles.values()) if (!tile.head) tile.fail(error?.message)
  }

  #bannered(words, retry) {
    this.banner.hidden = !words
    if (!words) return
    this.banner.replaceChildren(icon("warn"), h("span", {}, h("b", {}, words[0]), words[1] ? ` ${words[1]}` : ""),
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
    const request = this.scope.request(this.spec.board)
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
      if ((!tile.visible && tile.drawn) || tile.holding()) continue
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
    const age = this.age(this.board?.watermark)
    const name = this.connection.name === "closed" ? "closed"
      : !this.board ? (this.connection.name === "reconnecting" ? "reconnecting" : "loading")
      : this.paused ? "paused"
      : silent > STALE_MS ? "stale"
      : silent > DELAYED_MS ? "delayed"
      : this.connection.name === "reconnecting" ? "reconnecting" : "live"
    const old = name === "stale" || name === "delayed" ? Math.max(age ?? 0, silent / 1000) : age
    const status = { name, age: old, late: old !== null && old > LATE_S, waiting: this.waiting, connection: this.connection }
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
  reconnecting: "Reconnecting", closed: "Disconnected",
}

class TileView {
  constructor(view, spec) {
    Object.assign(this, { view, spec, head: null, columns: {}, visible: false, held: 0, waiting: 0 })
    const id = `tile-${spec.id}`
    this.legend = h("span.legend")
    this.sub = h("span.sub", {}, spec.subtitle)
    this.trust = h("button.trust", { type: "button", hidden: true })
    this.title = h("h2", { id }, spec.title)
    this.body = h("div.body", spec.note ? { "data-note": spec.note } : {})
    this.state = h("div.state", { hidden: true })
    this.old = h("span.tag.old", { hidden: true }, icon("warn"), h("span"))
    this.tag = h("span.tag.held", { hidden: true }, icon("pause"), h("span"))
    this.element = h(`section.card.tile.t-${spec.type}`, { "aria-labelledby": id, "data-tile": spec.id, "data-state": "loading",
      style: `--w:${spec.width};--h:${spec.height}px` },
      h("header", {}, this.title, this.sub, this.legend, this.old, this.trust), this.body, this.state, this.tag)
    this.element.tile = this
    if (spec.type !== "kpi") this.element.addEventListener("pointermove", () => { this.held = Date.now() })
    if (spec.type !== "kpi") this.element.addEventListener("pointerleave", () => this.release())
    const make = TILES[spec.type]
    this.drawer = FIGURES.has(spec.type) ? new Figure(spec, this.body, view.common) : make(spec, this.body, view.common)
  }

  /** The whole of it, from a snapshot. */
  take(tile, windowed) {
    if (!tile) return
    this.head = tile.head
    this.columns = tile.columns ?? {}
    if (windowed) this.drawer.top = this.drawer.floor = undefined
    if (windowed) this.held = 0
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
    this.view.touch(this)
  }

  /** Whether the pointer is at work in it: then it keeps still. */
  holding() {
    return this.held > 0 && Date.now() - this.held < HOLD_MS
  }

  release() {
    this.held = this.waiting = 0
    if (this.view.dirty.has(this)) this.view.touch(this)
    this.aged(this.view.status)
  }

  draw() {
    const { head } = this
    this.drawn = true
    this.waiting = 0
    mark(this.element, "data-state", head.state ?? "ok")
    const ok = (head.state ?? "ok") === "ok"
    this.body.hidden = !ok
    this.state.hidden = ok
    if (!ok) return this.#explain(head)
    this.failed = null
    this.explained = null
    legend(this.legend, this.spec, head, this.view.common)
    this.#trusted(head)
    this.drawer.update(head, this.columns)
    if (!this.spec.subtitle) say(this.sub, subtitle(this.spec.type, head))
  }

  fail(reason) {
    this.head = { state: "error", reason: reason ?? "the server refused it" }
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
        wide && !this.view.empty && this.view.spec.empty ? command(this.view.spec.empty) : null].filter(Boolean))
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
    const lines = Object.entries(parts ?? {}).map(([name, v]) => `${name}: ${confidence(v)}`)
    mark(this.trust, "aria-label", `Confidence ${words}`)
    mark(this.trust, "data-tip", [`Confidence ${words}: the least of`, ...lines, typeof n === "number" ? `from ${format.exact(n)} rows` : ""].filter(Boolean).join("\n"))
  }

  /** Its age when old, in place of a confidence that was true then; and what waits while it is held. */
  aged(status) {
    if (!status) return
    const age = this.view.age(this.head?.watermark ?? this.view.board?.watermark)
    const stale = status.name === "stale" || status.name === "closed"
    const late = this.head && age !== null && age > LATE_S && status.name !== "paused"
    const old = Boolean(this.head) && (stale || late)
    this.old.hidden = !old
    mark(this.element, "data-old", old ? (stale ? "stale" : "late") : null)
    if (old) say(this.old.lastChild, `${format.age(stale ? Math.max(age ?? 0, status.age ?? 0) : age)} old`)
    const waiting = !old && this.waiting > 0 && this.holding()
    this.tag.hidden = !waiting
    if (waiting) say(this.tag.lastChild, `${this.waiting} update${this.waiting > 1 ? "s" : ""} waiting`)
  }
}

/** What a tile says of itself beside its title, unless the workspace says something. */
function subtitle(type, head) {
  if (type === "changes") return head.since ? `since ${head.since}` : ""
  if (type === "bars") return `${head.per ? `per ${head.per} · ` : ""}click to filter`
  return ""
}

/** A command to copy. `{url}` in it becomes this server's address. */
function command(text) {
  const filled = text.replaceAll("{url}", location.origin)
  const button = h("button.btn.small", { type: "button", "aria-label": "Copy the command" }, icon("copy"), "Copy")
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(filled)
    button.replaceChildren(icon("check"), "Copied")
    setTimeout(() => button.replaceChildren(icon("copy"), "Copy"), 1600)
  })
  return h("div.command", {}, h("code", {}, filled), button)
}

/**
 * The component's way in (see dashboard/board.py). On a page the board stands already and only its scope is tied to
 * the session; elsewhere it is mounted here, with messages from the feed socket or from the component itself.
 */
export async function adopt(model, el) {
  const page = globalThis.Plumbline?.page
  const scope = page ? (await page).scope : new Scope(model.scope, {})
  const tie = () => { if (JSON.stringify(model.scope) !== JSON.stringify(scope.state)) model.scope = { ...scope.state } }
  scope.on(tie)
  model.on("scope", () => scope.set(model.scope, { step: false }))
  tie()
  if (page) return
  const spec = await (await fetch(new URL(model.spec_url, document.baseURI))).json()
  const transport = model.feed_url ? new (await import("./feed.js")).Feed(model.feed_url) : channel(model)
  const sheet = h("link", { rel: "stylesheet", href: new URL("./app.css", import.meta.url).href })
  const host = h("div", { "data-theme": model.scope.theme || "light" })
  el.append(sheet, host)
  await new Promise((done) => setTimeout(done)) // Bokeh embeds only into elements that are in the page
  const handle = mount(host, spec, transport, { scope })
  model.on("remove", () => handle.destroy())
}

/** The transport of a notebook: the component's own messages. */
function channel(model) {
  const send = (data) => model.send_msg(data)
  return {
    request: null,
    ask(request) { this.request = request; send({ type: "ask", request }) },
    listen({ message, state }) {
      state({ name: "connected", attempt: 0 })
      model.on("msg:custom", message)
    },
    retry() { send({ type: "ask", request: this.request }) },
    close() { send({ type: "close" }) },
  }
}

globalThis.Plumbline = { ...globalThis.Plumbline, format, mount }
