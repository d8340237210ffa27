// /sources: who sends, how regularly, what of it has a column and what was refused; and how to connect another tool.

import { arrange, h, icon } from "../dom.js"
import * as format from "../format.js"
import { anyOpen } from "../menus.js"
import { present } from "./inline.js"
import { Connect } from "./sources_connect.js"
import { SenderPanel, drop } from "./sources_detail.js"
import { SenderList } from "./sources_list.js"
import { named } from "./sources_words.js"

const DETAIL_MS = 10_000 // how often the slow part is asked for: minutes, ways, attributes, the record
const DETAIL = ["minutes", "sampled", "ways", "mapped", "unmapped", "unmapped_names"]

export function mount(main, tools) {
  return new SourcesView(main, tools)
}

class SourcesView {
  constructor(main, { scope, feed, bar, page, restarted }) {
    Object.assign(this, { main, scope, feed, restarted, senders: null, drops: [], details: new Map(), ledger: null, asked: 0 })
    this.list = new SenderList({ open: (source) => this.#toggle(source), search: (text) => scope.put({ search: text }, { step: false }) })
    this.panel = new SenderPanel({ close: () => this.#close() })
    this.connect = new Connect({ admin: page.scopes.includes("admin"), hooks: {
      choose: (id) => scope.put({ connect: id }, { step: false }),
      sources: async () => (await feed.question({ type: "sources" })).analytics,
      open: (source) => this.#open(source),
    } })
    this.refused = h("ul.plain")
    this.losses = h("section.card.losses", { "aria-labelledby": "losses-title" }, h("header", {}, h("h2", { id: "losses-title" }, "Refused in the last hour"), h("span.sub", {}, h("a", { href: "/docs/send-data#dropped-events" }, "What the reasons mean"))), this.refused)
    this.split = h("div.split", {}, this.list.element, this.panel.element)
    this.first = h("div.card.first", {}, h("h2", {}, icon("empty"), "No source has sent anything in the last hour"), h("p", {}, "Choose a tool below, put its lines where they say, and it appears here by itself within seconds of its first event."))
    this.holder = h("div.sources-page", {}, this.split)
    main.append(this.holder)
    this.list.tell("loading")
    this.end = present(feed, bar, (analytics) => this.#heard(analytics))
    this.off = scope.on(() => this.#draw())
    this.beat = setInterval(() => this.#tick(), 1000)
    this.keys = (event) => this.#key(event)
    addEventListener("keydown", this.keys)
    this.#look()
    this.connect.show(scope.state.args.connect)
  }

  destroy() {
    clearInterval(this.beat)
    clearTimeout(this.later)
    removeEventListener("keydown", this.keys)
    this.off()
    this.end()
    this.holder.remove()
  }

  /** The quick part, as often as the server says it. */
  #heard({ sources, drops }) {
    this.restarted?.()
    const at = performance.now()
    const strange = sources.some(({ source }) => !this.details.has(source))
    this.senders = sources.map((sender) => ({ ...sender, ...this.details.get(sender.source), at }))
    this.drops = drops
    this.list.tell("ok")
    this.#draw()
    if (strange && this.looked) this.#look()
  }

  /** The slow part, and the record where the server keeps one. At most once a second. */
  async #look() {
    clearTimeout(this.later)
    if (this.looking) return
    this.looking = true
    try {
      const [{ analytics }, record] = await Promise.all([
        this.feed.question({ type: "sources", detail: true }),
        this.feed.question({ type: "ledger" }).catch(() => null), // an older server keeps none
      ])
      this.details = new Map(analytics.sources.map((s) => [s.source, Object.fromEntries(DETAIL.filter((part) => part in s).map((part) => [part, s[part]]))]))
      this.ledger = record && byWho(record.analytics.ways)
      this.#heard(analytics)
    } catch (error) {
      if (!this.senders) this.list.tell("error", format.sentence(error.message), () => { this.list.tell("loading"); this.#look() })
    }
    this.looking = false
    this.looked = false
    setTimeout(() => { this.looked = true }, 1000)
    this.later = setTimeout(() => this.#look(), DETAIL_MS)
  }

  #draw() {
    const { search = "", sender = "", connect } = this.scope.state.args
    this.connect.show(connect)
    if (!this.senders) return
    const empty = !this.senders.length
    arrange(this.holder, empty ? [this.first, this.connect.element, ...(this.drops.length ? [this.losses] : [])] : [this.split, this.losses, this.connect.element])
    const found = this.senders.find((s) => named(s.source) === sender)
    const source = sender ? found?.source ?? sender : null
    this.split.toggleAttribute("data-open", Boolean(sender))
    this.list.show(this.senders, { text: search, open: source, ledger: this.ledger })
    this.panel.show(sender ? found : null, { source, drops: this.drops, ledger: this.ledger })
    if (this.awaited && this.split.isConnected) {
      this.awaited = false
      this.panel.focus()
    }
    const words = JSON.stringify(this.drops)
    if (words === this.told) return
    this.told = words
    this.refused.replaceChildren(...(this.drops.length ? this.drops.map((lost) => withSenders(lost, (name) => this.#open(name))) : [h("li.quiet", {}, icon("check"), "Nothing: every event that came was kept.")]))
  }

  #tick() {
    this.list.tick()
    this.panel.tick()
  }

  #toggle(source) {
    if (this.scope.state.args.sender === named(source)) this.#close()
    else this.#open(source)
  }

  #open(source) {
    this.scope.put({ sender: named(source) })
    this.awaited = !this.split.isConnected // the list may not have heard of its first source yet
    this.panel.focus()
  }

  #close() {
    const { sender } = this.scope.state.args
    this.scope.put({ sender: "" })
    this.list.focus(this.senders?.find((s) => named(s.source) === sender)?.source)
  }

  #key(event) {
    const typing = event.target.closest?.("input, textarea, select, dialog, .menu")
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || anyOpen()) return
    if (event.key === "Escape" && this.scope.state.args.sender && this.split.contains(event.target)) this.#close()
    else if (event.key === "l" && !typing && this.list.element.isConnected) this.list.field.focus()
    else return
    event.preventDefault()
  }
}

/** The ways of the record by source. */
function byWho(told) {
  const found = new Map()
  for (const way of told) found.set(way.source ?? "", [...(found.get(way.source ?? "") ?? []), way])
  return found
}

function withSenders(lost, open) {
  const item = drop(lost)
  if (lost.sources?.length) item.append(h("span.who", {}, "in a batch of ", lost.sources.flatMap((name, i) => [i ? ", " : "", h("button.link", { type: "button", click: () => open(name) }, named(name))])))
  return item
}
