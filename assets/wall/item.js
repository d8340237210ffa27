// One item of a playlist: a living board with a feed of its own, in screens of at most six tiles. It is built once,
// and kept while others are shown.

import { mount } from "../board.js"
import { h } from "../dom.js"
import { Feed } from "../feed.js"
import { Scope } from "../scope.js"
import { fit, unfit } from "./fit.js"
import { screens } from "./layout.js"
import { Since } from "./since.js"

const REVIVE_MS = 5_000
const BUILD_MS = 10_000 // a server that has not given a board by then does not give it

export class Item {
  /** hooks: {bokeh, theme(), told(item): it has something new to say, outdated(): its spec is of an old workspace}. */
  constructor(entry, page, hooks) {
    Object.assign(this, { entry, page, hooks, pages: [[]], spec: null })
  }

  /** What two items must have in common to be the same. */
  static key({ board, scope, specs }) {
    return JSON.stringify([board, scope, specs])
  }

  /** Put it into `holder`, hidden. Whether it is there now; false where the server did not give it. */
  async build(holder) {
    this.fetching = true
    const reply = await fetch(this.entry.specs[this.hooks.theme()], { signal: AbortSignal.timeout(BUILD_MS) }).catch(() => null)
    const spec = reply?.ok ? await reply.json().catch(() => null) : null
    this.fetching = false
    this.failed = !spec
    if (this.ended || !spec) {
      if (reply?.status === 404) this.hooks.outdated()
      return false
    }
    this.spec = spec
    this.pages = screens(spec.tiles)
    this.element = h("section.board", { hidden: true, "aria-label": this.entry.title })
    holder.append(this.element)
    this.feed = new Feed(new URL(this.page.feed_url, location.href).href.replace(/^http/, "ws"), { session: "/wall/me.json" })
    this.board = mount(this.element, { ...spec, note: "", empty: "" }, this.feed, {
      scope: new Scope({ ...this.entry.scope, theme: this.hooks.theme() }, { window: spec.window }), bokeh: this.hooks.bokeh, scale: scale(),
      data: (data) => this.#data(data), status: (status) => { this.status = status; this.hooks.told(this) },
    })
    this.tiles = new Map([...this.element.querySelectorAll(".tile")].map((tile) => [tile.dataset.tile, tile]))
    this.pages.flat(2).forEach(({ id, width }, i) => {
      this.tiles.get(id).style.setProperty("--w", width)
      this.tiles.get(id).style.order = i
    })
    return true
  }

  #data(data) {
    this.data = data
    if (this.heard) this.heard.again()
    else this.heard = new Since()
    if (data.layout && data.layout !== this.spec.layout) this.hooks.outdated()
  }

  /** Show one of its screens. */
  show(page) {
    if (!this.element) return
    const rows = this.pages[page] ?? []
    const seen = new Set(rows.flat().map((tile) => tile.id))
    for (const [id, tile] of this.tiles) {
      tile.hidden = !seen.has(id)
      unfit(tile)
    }
    this.element.dataset.rows = rows.length
    this.element.hidden = false
    this.fit()
  }

  hide() {
    if (this.element) this.element.hidden = true
  }

  /** A feed that was closed for good, or a board that was refused: nobody presses "try again" here. */
  revive() {
    if (!["closed", "refused"].includes(this.status?.name)) return this.dead = null
    this.dead ??= new Since()
    if (this.dead.ms < REVIVE_MS) return
    this.dead.again()
    this.hooks.outdated() // its board may be gone
    this.feed.retry()
  }

  fit() {
    if (this.element && !this.element.hidden) for (const tile of this.tiles.values()) if (!tile.hidden) fit(tile)
  }

  end() {
    this.ended = true
    this.board?.destroy()
    this.element?.remove()
  }
}

/** How much larger than on a desk charts are drawn. */
const scale = () => Math.max(0.7, 2 * (innerWidth < innerHeight ? Math.min(innerWidth / 1180, innerHeight / 1920) : Math.min(innerWidth / 1920, innerHeight / 1080)))
