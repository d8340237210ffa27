// A place for boards that no file declares: their spec comes from POST /specs, their data over the page's own feed.
// The picture before stays until the next one is drawn.

import { mount } from "../board.js"
import { h } from "../dom.js"
import { askWhy } from "../why_request.js"

const KEPT = 40 // specs remembered in this page
const PATIENCE_MS = 1500 // a chart that is not drawn by then is shown as it is

/** Asks for specs and remembers them. `body`: {tiles, title} or {board}. Rejects with the server's own words. */
export class SpecSource {
  constructor() {
    this.known = new Map()
  }

  get(body) {
    const key = JSON.stringify([body, document.documentElement.dataset.theme])
    if (!this.known.has(key)) {
      const asked = this.#ask(body)
      asked.catch(() => this.known.delete(key))
      this.known.set(key, asked)
      if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value)
    }
    return this.known.get(key)
  }

  async #ask(body) {
    const reply = await fetch("/specs", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    const said = await reply.json().catch(() => ({}))
    if (!reply.ok) throw new Error(reply.status === 401 ? "You are signed out" : said.detail ?? `The server answered ${reply.status}`)
    const spec = await fetch(said[document.documentElement.dataset.theme] ?? said.light)
    if (!spec.ok) throw new Error("The charts did not load")
    return spec.json()
  }
}

/** A transport over a feed that others use too: once `off`, it neither asks nor listens, and it never closes the feed. */
export function shared(feed) {
  let on = true
  return {
    get request() { return feed.request },
    ask: (request) => { if (on) feed.ask(request) },
    listen: (listener) => { if (on) feed.listen({ message: (m) => { if (on) listener.message(m) }, state: (s) => { if (on) listener.state(s) } }) },
    retry: () => feed.retry(),
    close() {},
    off() { on = false },
  }
}

/**
 * Keep the header alive on a page that shows no board (yet): the connection and the senders, which `heard` gets too.
 * Returns the way to end it.
 */
export function present(feed, bar, heard) {
  let age = null
  let state = feed.state
  const tell = () => {
    const name = { connected: "live", closed: "closed", reconnecting: "reconnecting" }[state.name] ?? "loading"
    bar.status({ name, age, late: false, waiting: 0, connection: state })
  }
  feed.listen({ message() {}, state: (now) => { state = now; tell() } })
  return feed.stand({ type: "sources" }, ({ analytics }) => {
    if (!analytics) return
    const { sources = [], events_per_min, dropped, watermark } = analytics
    const late = sources.filter((s) => s.late).map(({ source, age_s }) => ({ source, age_s }))
    const seen = Math.min(...sources.map((s) => s.age_s))
    age = Number.isFinite(seen) ? seen : null
    bar.data({ sources: { reporting: sources.length - late.length, late }, events_per_min, dropped, watermark })
    tell()
    heard?.(analytics)
  })
}

export class Stage {
  constructor(place, { scope, feed, bokeh, specs, data, status }) {
    Object.assign(this, { place, scope, feed, bokeh, specs, hooks: { data, status }, shown: null, coming: null, key: "" })
  }

  get empty() { return !this.shown && !this.coming }

  /** The tiles on the screen, as board.js has them. */
  get tiles() {
    return this.shown ? [...this.shown.holder.querySelectorAll(".tile")].map((element) => element.tile).filter(Boolean) : []
  }

  /** Draw these tiles as the board `name`; resolves when they stand. A later call takes the place of an earlier one. */
  async show(tiles, title, name) {
    const key = JSON.stringify([tiles, title, name])
    if (key === this.key) return
    this.key = key
    const spec = await this.specs.get({ tiles, title }).catch((error) => {
      if (this.key === key) this.key = ""
      throw error
    })
    if (this.key !== key) return
    this.#drop(this.coming)
    this.shown?.wire.off()
    const holder = h("div.inline.coming", { inert: true })
    const wire = shared(this.feed)
    const part = { holder, wire }
    this.coming = part
    this.place.append(holder)
    const drawn = new Promise((done) => {
      const first = () => { done(); return true }
      part.board = mount(holder, spec, wire, {
        scope: this.scope, bokeh: this.bokeh,
        request: (scope) => scope.request(name, { tiles }),
        why: askWhy,
        data: (fields) => { first(); if (this.#mine(part)) this.hooks.data?.(fields) },
        status: (status) => { if (status.name === "refused" || status.name === "closed") first(); if (this.#mine(part)) this.hooks.status?.(status) },
      })
    })
    await drawn
    await painted(holder)
    if (this.coming !== part) return
    this.#drop(this.shown)
    this.shown = part
    this.coming = null
    holder.classList.remove("coming")
    holder.inert = false
  }

  clear() {
    this.key = ""
    this.#drop(this.coming)
    this.#drop(this.shown)
    this.coming = this.shown = null
    this.feed.ask(null)
  }

  #mine(part) {
    return part === this.coming || (part === this.shown && !this.coming)
  }

  #drop(part) {
    if (!part) return
    part.wire.off()
    part.board?.destroy()
    part.holder.remove()
  }
}

/** Until every tile has something to show, or patience ends. */
async function painted(holder) {
  const started = performance.now()
  const ready = () => !holder.querySelector(".tile[data-state=loading]")
    && [...holder.querySelectorAll(".figure")].every((f) => "drawn" in f.dataset || f.closest("[hidden]"))
  while (!ready() && performance.now() - started < PATIENCE_MS) await new Promise(requestAnimationFrame)
}
