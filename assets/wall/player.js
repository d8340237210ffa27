// What a wall plays: the items of its playlist, of which one screen is seen, with the header and the footer around it.

import { arrange, h, say } from "../dom.js"
import * as format from "../format.js"
import { Item } from "./item.js"
import { sent } from "./picture.js"
import { Since } from "./since.js"

const BUILT_MOST = 60 // boards built in one life of the page; each that is thrown away leaves memory behind
const PICTURE_MS = 60_000
const FIRST_PICTURE_MS = 8_000 // it has drawn itself by then
const AHEAD_MS = 6_000 // what comes next is built so long before it is seen
const WORDS = {
  live: ["Live", "good"], loading: ["Connecting", "dim"], delayed: ["Delayed", "warn"], stale: ["Stale", "warn"],
  reconnecting: ["Reconnecting", "warn"], refused: ["No answer", "bad"], closed: ["Ended", "bad"], paused: ["Paused", "dim"],
}

export class Player {
  /** hooks: {now(): the server's time in ms, outdated(): the plan should be asked for again, ended(): a feed was closed for good}. */
  constructor(stage, page, plan, hooks) {
    Object.assign(this, { stage, page, hooks, items: [], built: 0, at: { item: 0, page: 0 }, since: new Since(), pictured: new Since() })
    this.due = FIRST_PICTURE_MS
    this.title = h("strong")
    this.label = h("span.label")
    this.state = h("span.state", {}, h("i.dot"), h("span"))
    this.clock = h("time.clock")
    this.holder = h("div.boards")
    this.nothing = h("p.idle", { hidden: true })
    this.footing = h("span")
    this.turns = h("span.turns", { "aria-hidden": "true" })
    stage.replaceChildren(h("header", {}, this.title, this.label, this.state, this.clock), this.holder, this.nothing, h("footer", {}, this.footing, this.turns))
    this.bokeh = new Promise((done, failed) => {
      document.head.append(h("script", { src: page.scripts[0], load: () => done(globalThis.Bokeh), error: () => failed(new Error("the charts did not load")) }))
    })
    this.bokeh.catch(() => hooks.broken())
    this.play(plan)
  }

  /** Another plan. What is asked for as before lives on; what is shown stays where it still has a place. */
  play(plan) {
    this.plan = plan
    this.#themed()
    const old = [...this.items]
    const shown = this.item
    this.items = plan.playlist.map((entry) => {
      const same = old.findIndex((item) => Item.key(item.entry) === Item.key(entry))
      return same < 0 ? this.#made(entry) : Object.assign(old.splice(same, 1)[0], { entry })
    })
    for (const item of old) item.end()
    const place = this.items.indexOf(shown)
    this.at = place < 0 ? { item: 0, page: 0 } : { ...this.at, item: place }
    this.#show()
  }

  /** Everything anew: this screen has another size, for which charts are drawn differently. */
  resized() {
    for (const item of this.items) item.end()
    this.items = this.items.map((item) => this.#made(item.entry))
    this.#show()
  }

  end() {
    for (const item of this.items.splice(0)) item.end()
    this.stage.replaceChildren()
  }

  #made(entry) {
    return new Item(entry, this.page, {
      bokeh: this.bokeh, theme: () => this.theme, outdated: () => this.hooks.outdated(), told: (item) => {
        if (item.status.name === "closed") this.hooks.ended()
        if (item === this.item) this.#head()
      },
    })
  }

  get item() {
    return this.items[this.at.item]
  }

  #show() {
    this.since.again()
    this.nothing.hidden = !(this.holder.hidden = !this.item)
    if (!this.item) say(this.nothing, `Nothing to play: the boards of this playlist are gone. Choose others on ${location.host}/screens.`)
    else this.#build(this.item)
    this.#turn()
  }

  async #build(item) {
    if (item.element || item.fetching || !await item.build(this.holder)) return
    this.built += 1
    if (item === this.item) this.#turn()
  }

  #turn() {
    const { item, at } = this
    at.page = Math.min(at.page, (item?.pages.length ?? 1) - 1)
    for (const other of this.items) if (other !== item) other.hide()
    item?.show(at.page)
    const all = this.items.flatMap((it, i) => it.pages.map((_, p) => i === at.item && p === at.page))
    arrange(this.turns, all.length > 1 ? all.map((now, i) => Object.assign(this.turns.children[i] ?? h("i"), { className: now ? "now" : "" })) : [])
    this.#head()
  }

  /** On to the next screen. A board that is still on its way is waited for, one that does not come is passed over. */
  #next() {
    const { item, page } = this.at
    if (page + 1 < this.item.pages.length) this.at = { item, page: page + 1 }
    else {
      const others = this.items.map((_, i) => (item + 1 + i) % this.items.length)
      for (const i of others) this.#build(this.items[i])
      const next = others.find((i) => this.items[i].element || !this.items[i].failed)
      if (!this.items[next]?.element) return
      this.at = { item: next, page: 0 }
    }
    this.#show()
  }

  /** Once a second. */
  second() {
    say(this.clock, new Date(this.hooks.now()).toLocaleTimeString("en-GB"))
    this.#themed()
    const { item } = this
    if (!item) return
    const left = item.entry.seconds * 1000 - this.since.ms
    const last = this.at.page + 1 >= item.pages.length
    this.#build(item)
    if (left < AHEAD_MS && last) this.#build(this.items[(this.at.item + 1) % this.items.length])
    if (left <= 0 && (this.items.length > 1 || item.pages.length > 1)) this.#next()
    this.item.fit()
    for (const each of this.items) each.revive()
    this.#head()
    if (this.pictured.ms > this.due && this.item.data && !document.hidden) {
      this.pictured.again()
      this.due = PICTURE_MS
      sent(this.stage).catch(() => { /* the next one may succeed */ })
    }
  }

  #head() {
    const { item } = this
    const status = item?.status
    say(this.title, item?.data?.title ?? item?.entry.title ?? "")
    const { label = "", previous_label: previous = "" } = item?.data ?? {}
    say(this.label, [label.toLowerCase(), item?.entry.scope.compare !== "off" && previous && `vs ${previous}`].filter(Boolean).join(", "))
    const late = status?.name === "live" && status.late
    const [word, tone] = late ? [`Data ${format.age(status.age)} old`, "warn"] : WORDS[status?.name] ?? WORDS.loading
    this.state.hidden = !item
    this.state.dataset.tone = tone
    say(this.state.lastChild, word)
    const fresh = item?.heard ? `Refreshed ${format.age(item.heard.ms / 1000)} ago` : item ? "Connecting" : ""
    say(this.footing, [fresh, `screen “${this.plan.name}”`].filter(Boolean).join("  ·  "))
  }

  /** Light by day, dark by night, by the hour where this screen hangs; the same charts in other colours. */
  #themed() {
    const { theme, day: [from, to] } = this.plan
    const hour = new Date(this.hooks.now()).getHours()
    const light = from <= to ? hour >= from && hour < to : hour >= from || hour < to
    const now = theme === "auto" ? (light ? "light" : "dark") : theme
    if (now === this.theme) return
    this.theme = now
    document.documentElement.dataset.theme = now
    for (const item of this.items) item.board?.setTheme(now)
  }

  /** This browser slept: sockets that look open may not be. */
  woke() {
    for (const item of this.items) item.feed?.retry()
  }

  /** Whether so many boards were built and thrown away that the page should start afresh. */
  get worn() {
    return this.built > BUILT_MOST
  }

  /** What the server is told with each sign of life. */
  said() {
    const { item, at } = this
    return { board: item?.entry.board ?? "", page: at.page, state: item?.status?.name ?? "loading", frame_age_s: item?.heard ? item.heard.ms / 1000 : null, viewport: [innerWidth, innerHeight] }
  }
}
