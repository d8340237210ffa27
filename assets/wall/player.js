// What a wall plays: one living board per item of its playlist, kept once it was shown, of which one is seen.

import { mount } from "../board.js"
import { arrange, h, icon, say } from "../dom.js"
import { Feed } from "../feed.js"
import * as format from "../format.js"
import { Scope } from "../scope.js"
import { screens } from "./layout.js"
import { picture } from "./picture.js"

const EMBEDS_MOST = 60 // boards built in one life of the page; each that is thrown away leaves memory behind
const PICTURE_MS = 60_000

export class Player {
  constructor(stage, page, plan) {
    Object.assign(this, { stage, page, items: [], built: 0, pictured: 0 })
    this.title = h("strong")
    this.label = h("span.label")
    this.state = h("span.state", {}, h("i.dot"), h("span"))
    this.clock = h("time.clock")
    this.holder = h("div.boards")
    this.said_ = h("span")
    this.dots = h("span.turns", { "aria-hidden": "true" })
    stage.replaceChildren(h("header", {}, this.title, this.label, this.state, this.clock), this.holder,
      h("footer", {}, this.said_, this.dots))
    this.bokeh = new Promise((done, failed) => {
      const script = h("script", { src: page.scripts[0], load: () => done(globalThis.Bokeh), error: failed })
      document.head.append(script)
    })
    this.play(plan)
  }

  /** Another plan. Boards that are asked for as before live on. */
  play(plan) {
    const old = new Map(this.items.map((item) => [item.key, item]))
    this.plan = plan
    this.#themed()
    this.items = plan.playlist.map((entry) => {
      const key = JSON.stringify([entry.board, entry.scope, entry.specs])
      const kept = old.get(key)
      old.delete(key)
      return Object.assign(kept ?? { key }, { entry })
    })
    for (const item of old.values()) this.#end(item)
    this.at = { item: 0, page: 0 }
    this.#show()
  }

  async #build(item) {
    if (item.element) return
    this.built += 1
    item.element = h("section.board", { hidden: true, "aria-label": item.entry.title })
    this.holder.append(item.element)
    const reply = await fetch(item.entry.specs[this.theme]).catch(() => null)
    if (!reply?.ok) { // the server is away: the next turn tries again
      item.element.remove()
      item.element = null
      return
    }
    const spec = await reply.json()
    item.pages = screens(spec.tiles)
    const places = new Map(item.pages.flatMap((rows, p) => rows.flatMap((row, r) => row.map((t) => [t.id, { ...t, p, r, rows: rows.length }]))))
    item.scope = new Scope({ ...item.entry.scope, theme: this.theme }, { window: spec.window })
    item.feed = new Feed(new URL(this.page.feed_url, location.href).href.replace(/^http/, "ws"), { session: "/wall/me.json" })
    item.board = mount(item.element, { ...spec, note: "" }, item.feed, {
      scope: item.scope, bokeh: this.bokeh, scale: Math.max(1, 2 * Math.min(innerWidth / 1920, innerHeight / 1080)), data: (board) => { item.data = board; item.heard = Date.now() }, status: (s) => { item.status = s; if (item === this.item) this.#head() },
    })
    for (const tile of item.element.querySelectorAll(".tile")) {
      const place = places.get(tile.dataset.tile)
      Object.assign(tile.dataset, { page: place.p, row: place.r })
      tile.style.setProperty("--w", place.width)
    }
    if (item === this.item) this.#turn()
  }

  #end(item) {
    item.board?.destroy()
    item.element?.remove()
    Object.assign(item, { board: null, element: null, feed: null, data: null })
  }

  get item() {
    return this.items[this.at.item]
  }

  /** Show the present item, and make ready what comes next. */
  #show() {
    if (!this.item) return say(this.said_, "Nothing to play: the boards of this playlist are gone")
    this.since = Date.now()
    this.#build(this.item)
    this.#turn()
  }

  #turn() {
    for (const item of this.items) if (item.element) item.element.hidden = item !== this.item
    const { item, at } = this
    if (item.element) {
      item.element.dataset.shown = at.page
      item.element.dataset.rows = item.pages?.[at.page]?.length ?? 1
      for (const tile of item.element.querySelectorAll(".tile")) tile.hidden = Number(tile.dataset.page) !== at.page
    }
    const pages = this.items.flatMap((it, i) => Array.from({ length: it.pages?.length ?? 1 }, (_, p) => i === at.item && p === at.page))
    arrange(this.dots, pages.length > 1 ? pages.map((now, i) => Object.assign(this.dots.children[i] ?? h("i"), { className: now ? "now" : "" })) : [])
    this.#head()
  }

  #next() {
    const pages = this.item.pages?.length ?? 1
    const page = this.at.page + 1
    if (page < pages) this.at = { ...this.at, page }
    else this.at = { item: (this.at.item + 1) % this.items.length, page: 0 }
    this.#show()
  }

  second(now) {
    say(this.clock, new Date(now).toLocaleTimeString("en-GB"))
    if (!this.item) return
    this.#themed()
    const alone = this.items.length === 1 && (this.item.pages?.length ?? 1) === 1
    if (!this.item.element) this.#build(this.item)
    if (!alone && now - this.since >= this.item.entry.seconds * 1000) this.#next()
    this.#head()
    if (now - this.pictured > PICTURE_MS && this.item.data && !document.hidden) {
      this.pictured = now
      picture(this.stage).catch(() => {})
    }
  }

  #head() {
    const { item } = this
    const status = item?.status
    say(this.title, item?.data?.title ?? item?.entry.title ?? "")
    say(this.label, (item?.data?.label ?? "").toLowerCase())
    const [word, tone] = WORDS[status?.name] ?? ["Connecting", "dim"]
    this.state.dataset.tone = status?.late && status.name === "live" ? "warn" : tone
    say(this.state.lastChild, status?.late && status.name === "live" ? `Data ${format.age(status.age)} old` : word)
    const age = item?.heard ? (Date.now() - item.heard) / 1000 : null
    say(this.said_, `${age === null ? "Connecting" : `Refreshed ${format.age(age)} ago`}  ·  screen “${this.plan.name}”`)
  }

  /** Light by day, dark by night, on this screen's own clock; the same figures in other colours. */
  #themed() {
    const { theme, day: [from, to] } = this.plan
    const hour = new Date().getHours()
    const inDay = from <= to ? hour >= from && hour < to : hour >= from || hour < to
    const now = theme === "auto" ? (inDay ? "light" : "dark") : theme
    if (now === this.theme) return
    this.theme = now
    document.documentElement.dataset.theme = now
    for (const item of this.items) item.board?.setTheme(now)
  }

  /** This browser slept: sockets that look open are not. */
  woke() {
    for (const item of this.items) item.feed?.retry()
  }

  /** Whether so many boards were built and thrown away that the page should start afresh. */
  worn() {
    return this.built > EMBEDS_MOST
  }

  /** What the server is told every two seconds. */
  said(plan, version) {
    const { item, at } = this
    return {
      revision: plan.revision, version, board: item?.entry.board ?? "", page: at.page, state: item?.status?.name ?? "loading",
      frame_age_s: item?.heard ? (Date.now() - item.heard) / 1000 : null, viewport: [innerWidth, innerHeight],
    }
  }
}

const WORDS = {
  live: ["Live", "good"], loading: ["Connecting", "dim"], delayed: ["Delayed", "warn"], stale: ["Stale", "warn"],
  reconnecting: ["Reconnecting", "warn"], refused: ["No answer", "bad"], closed: ["Ended", "bad"], paused: ["Paused", "dim"],
}
