// /flows: the list of flows, and beside it the one that is open. The address says which.

import { h, mark } from "../dom.js"
import * as format from "../format.js"
import { anyOpen } from "../menus.js"
import { isLate } from "../tile.js"
import { tips } from "../tips.js"
import { FlowDetail } from "./flow_detail.js"
import { FlowList } from "./flow_list.js"

const DELAYED_MS = 6_000 // the server says something every four seconds, if only a pong
const STALE_MS = 9_000

/** A view: draws into `main` and keeps it true. Returns {status(), destroy()}. */
export function mount(main, tools) {
  const view = new FlowsView(main, tools)
  const exported = () => ({ request: { ...view.list.request(), limit: undefined } }) // a file has all pages
  return { status: () => view.status, destroy: () => view.destroy(), exported }
}

class FlowsView {
  constructor(main, { scope, feed, bar, restarted }) {
    Object.assign(this, { main, scope, feed, bar, connection: { name: "connecting", attempt: 0 }, facts: null, refused: false })
    this.tip = tips(main)
    this.list = new FlowList({ scope, feed, hooks: {
      open: (id, how) => this.#open(id, how),
      href: (id) => this.#href(id),
      data: (facts) => { restarted(); this.#heard(facts) },
      refused: () => { this.refused = true; this.#heartbeat() },
    } })
    this.detail = new FlowDetail({ scope, feed, hooks: { close: () => this.#close() } })
    this.holder = h("div.flows-page", {}, this.list.element, this.detail.element)
    main.append(this.holder)
    feed.listen({ message: () => {}, state: (state) => { this.connection = state; this.#heartbeat() } })
    this.off = scope.on(() => this.#sync())
    this.beat = setInterval(() => this.#heartbeat(), 1000)
    this.keys = (event) => this.#key(event)
    addEventListener("keydown", this.keys, true)
    this.#sync()
  }

  destroy() {
    clearInterval(this.beat)
    removeEventListener("keydown", this.keys, true)
    this.off()
    this.list.end?.()
    this.tip.remove()
    this.holder.remove()
  }

  #sync() {
    const { flow = "" } = this.scope.state.args
    mark(this.holder, "data-open", flow ? "" : null)
    this.list.sync()
    this.detail.open(flow)
    this.detail.sync()
    this.#heartbeat()
  }

  #open(id, { focus }) {
    const { flow } = this.scope.state.args
    // from flow to flow is no step of its own: back closes
    if (flow !== id) this.scope.put({ flow: id, span: "" }, { step: !flow })
    if (focus || this.#alone()) this.detail.focus()
  }

  #close() {
    this.scope.put({ flow: "", span: "" })
    this.list.focus()
  }

  /** Whether there is room for the open flow only. */
  #alone() {
    return !this.list.element.offsetParent
  }

  #href(id) {
    const { args } = this.scope.state
    const address = new URLSearchParams(this.scope.href().split("?")[1] ?? "")
    address.set("flow", id)
    address.delete("span")
    return args.flow === id ? this.scope.href() : `${location.pathname}?${address}`
  }

  /** Keys of the whole page: those that mean something elsewhere are left alone. */
  #key(event) {
    const typing = event.target.closest?.("input, textarea, select, dialog, .menu")
    if (typing || event.ctrlKey || event.metaKey || event.altKey || anyOpen() || "wall" in document.documentElement.dataset) return
    const here = event.target === document.body || this.main.contains(event.target)
    const open = Boolean(this.scope.state.args.flow)
    if (event.key === "l") this.#find()
    else if (event.key === "Escape" && here && open) this.#close()
    else if (["ArrowDown", "ArrowUp"].includes(event.key) && event.target === document.body) (this.#alone() ? this.detail : this.list).focus()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  #find() {
    if (this.#alone()) this.#close()
    this.list.search.focus()
    this.list.search.select()
  }

  #heard(facts) {
    this.refused = false
    this.ok = Date.now()
    const ms = (text) => (text ? Date.parse(text) : null)
    const newest = typeof facts.freshness_s === "number" ? Date.now() - 1000 * facts.freshness_s : null
    this.facts = { ...facts, watermark: ms(facts.watermark), newest }
    this.bar.data(this.facts)
    this.#heartbeat()
  }

  /** How the page stands, in the words of the header. */
  #heartbeat() {
    if (this.connection.name === "connected") this.ok = Math.max(this.ok ?? 0, this.feed.heard ?? 0)
    const silent = this.ok ? Date.now() - this.ok : 0
    const age = typeof this.facts?.newest === "number" ? Math.max(0, (Date.now() - this.facts.newest) / 1000) : null
    const name = this.connection.name === "closed" ? "closed"
      : this.refused ? "refused"
      : !this.facts ? (this.connection.name === "reconnecting" ? "reconnecting" : "loading")
      : this.scope.state.paused ? "paused"
      : silent > STALE_MS ? "stale"
      : silent > DELAYED_MS ? "delayed"
      : this.connection.name === "reconnecting" ? "reconnecting" : "live"
    const old = name === "stale" || name === "delayed" ? Math.max(age ?? 0, silent / 1000) : age
    this.status = { name, age: old, late: isLate(old, this.facts?.usual_s), waiting: this.list.waiting, connection: this.connection }
    mark(this.main, "data-state", name)
    this.list.aged(name === "stale" || name === "closed" ? `${format.age(old)} old` : "")
    this.bar.status(this.status)
  }
}
