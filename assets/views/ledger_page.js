// /ledger: what counts of all that was told, which way is the record, how far the others agree and where they differ.

import { arrange, h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { anyOpen } from "../menus.js"
import { confidence, inWords, ring } from "../tiles.js"
import * as times from "../times.js"
import { tips } from "../tips.js"
import { present } from "./inline.js"
import { Differences } from "./ledger_differs.js"
import { Ways, keyOf } from "./ledger_ways.js"
import { spoken } from "./ledger_words.js"
import { counted, share } from "./sources_words.js"

const AGAIN_MS = 5_000 // between an answer and the next question, while the window follows the present
const STALE_MS = 20_000

export function mount(main, tools) {
  const view = new LedgerView(main, tools)
  return { destroy: () => view.destroy() }
}

class LedgerView {
  constructor(main, { scope, feed, bar, restarted }) {
    Object.assign(this, { main, scope, feed, bar, restarted, answer: null, senders: {}, status: null, failure: "" })
    this.tip = tips(main)
    this.#build()
    main.append(this.holder)
    this.end = present(feed, { status: (status) => { this.status = status; this.#stand() }, data: (senders) => { this.senders = senders; this.#tell() } })
    this.off = scope.on(() => this.#followed())
    this.beat = setInterval(() => this.#stand(), 1000)
    this.keys = (event) => this.#key(event)
    addEventListener("keydown", this.keys)
    this.#followed()
  }

  destroy() {
    clearInterval(this.beat)
    clearTimeout(this.later)
    this.turn = null
    removeEventListener("keydown", this.keys)
    this.off()
    this.end()
    this.tip.remove()
    this.holder.remove()
  }

  #build() {
    this.spoken = h("p.visually-hidden", { role: "status" })
    this.facts = Object.fromEntries(["Calls", "Tokens", "Cost", "Completeness"].map((title) => [title, fact(title)]))
    this.ways = new Ways({ choose: (key) => this.scope.put({ of: this.scope.state.args.of === key ? "" : key }) })
    this.differs = new Differences({
      flow: (id) => this.#flow(id), session: (id) => { this.scope.put({ session: id, of: "" }); this.only.focus() }, all: () => this.#letGo(),
    })
    this.sum = h("span.sub")
    this.old = h("span.tag.old", { hidden: true }, icon("warn"), h("span"))
    this.only = h("button.btn.small", { type: "button", hidden: true, click: () => this.scope.put({ session: "" }) }, icon("cross"), h("span"))
    this.state = h("div.state", { hidden: true })
    this.told = h("section.card.told", { "aria-labelledby": "ways-title" },
      h("header", {}, h("h2", { id: "ways-title" }, "What was told"), this.sum, this.only, this.old), this.state, h("div.wide", {}, this.ways.table))
    this.rule = h("ol.rule")
    this.then = h("p.note", { hidden: true }, "Of this moment count the rows that had been received by then, as they counted then.")
    this.rules = h("section.card.rules", { "aria-labelledby": "rule-title" }, h("header", {}, h("h2", { id: "rule-title" }, "The rule")),
      this.rule, this.then, h("p.note", {}, h("a", { href: "/docs/ledger" }, "More about the ledger"), ", ", h("a", { href: "/docs/prices" }, "prices"), " and ", h("a", { href: "/sources" }, "who sends"), "."))
    this.numbers = h("div.facts-row", {}, Object.values(this.facts).map((f) => f.element))
    this.holder = h("div.ledger-page", { "data-state": "loading" }, this.spoken, this.numbers, h("div.halves", {}, h("div.half", {}, this.told, this.differs.element), this.rules))
  }

  // asking

  #question() {
    const { session } = this.scope.state.args
    const asked = this.scope.question()
    return { type: "ledger", ...asked, filters: [...asked.filters, ...(session ? [{ dim: "session", op: "is", values: [session] }] : [])] }
  }

  #followed() {
    const { session = "" } = this.scope.state.args
    this.only.hidden = !session
    if (session) say(this.only.lastChild, `Only session ${session}`)
    const asked = JSON.stringify(this.#question())
    if (asked === this.asked) {
      if (this.answer) this.#draw()
      return this.#stand()
    }
    this.asked = asked
    this.fresh = true
    mark(this.holder, "aria-busy", this.answer ? "true" : null)
    return this.#ask()
  }

  async #ask() {
    clearTimeout(this.later)
    const turn = (this.turn = {})
    try {
      const message = await this.feed.question(this.#question())
      if (turn !== this.turn) return
      this.failure = ""
      this.#heard(message)
    } catch (error) {
      if (turn !== this.turn) return
      this.failure = format.sentence(error.message)
      if (this.fresh) this.answer = null // it was of another question
      this.#draw()
    }
    this.holder.removeAttribute("aria-busy")
    this.#stand()
    this.#again()
  }

  #again() {
    this.later = setTimeout(() => (this.#rests() ? this.#again() : this.#ask()), AGAIN_MS)
  }

  /** Whether what is shown stays as it is: held by the viewer, or of the past. */
  #rests() {
    const { paused, as_of, window, tz } = this.scope.state
    return paused || Boolean(as_of) || document.hidden || !times.follows(window, this.scope.now(), tz)
  }

  #heard(message) {
    this.restarted?.()
    this.answer = message
    this.at = performance.now()
    const { analytics } = message
    this.#tell()
    this.#draw()
    if (this.fresh) say(this.spoken, spoken(analytics, analytics.label))
    this.fresh = false
  }

  // the head of the page

  #tell() {
    const { window, as_of, label, completeness } = this.answer?.analytics ?? {}
    this.bar.data({ ...this.senders, ...(window ? { window, as_of, label, completeness } : {}) })
  }

  #stand() {
    if (!this.status) return
    const silent = this.answer && !this.#rests() ? performance.now() - this.at : 0
    const stale = silent > STALE_MS || (silent > 0 && this.status.name === "closed")
    mark(this.holder, "data-old", stale ? "" : null)
    this.old.hidden = !stale
    if (stale) say(this.old.lastChild, `${format.age(silent / 1000)} old`)
    const { name, age } = this.status
    const now = name !== "live" ? name : this.failure ? "refused" : this.scope.state.paused ? "paused" : stale ? "stale" : "live"
    mark(this.main, "data-state", now)
    this.bar.status({ ...this.status, name: now, age: stale ? Math.max(age ?? 0, silent / 1000) : age })
  }

  // drawing

  #draw() {
    const { analytics } = this.answer ?? {}
    const state = !analytics ? "error" : analytics.ways.length ? "ok" : "empty"
    mark(this.holder, "data-state", state)
    this.#state(state)
    this.#figures(this.answer)
    this.differs.element.hidden = state !== "ok"
    this.ways.table.hidden = state !== "ok"
    say(this.sum, analytics?.ways.length ? `${counted(new Set(analytics.ways.map((way) => way.source)).size, "source")}, ${counted(analytics.ways.length, "way")}${analytics.more ? "; there are more sessions than were compared" : ""}` : "")
    if (!analytics) return
    this.then.hidden = analytics.as_of === null
    arrange(this.rule, analytics.rule.map((text, i) => { const item = this.rule.children[i] ?? h("li"); say(item, text); return item }))
    const chosen = analytics.ways.find((way) => keyOf(way) === this.scope.state.args.of)
    this.ways.show(analytics.ways, chosen && keyOf(chosen))
    this.differs.show(analytics.ways, chosen)
  }

  #state(state) {
    const words = JSON.stringify([state, this.failure, this.scope.state.filters.length, this.scope.state.args.session])
    if (words === this.stated) return
    this.stated = words
    this.state.hidden = state === "ok" && !this.failure
    const again = h("button.btn.small", { type: "button", click: () => this.#ask() }, icon("retry"), "Try again")
    const narrowed = this.scope.state.filters.length || this.scope.state.args.session
    const everything = h("button.btn.small", { type: "button", click: () => this.scope.set({ filters: [], args: { ...this.scope.state.args, session: "" } }) }, "Show everything")
    this.state.replaceChildren(...(this.failure ? [h("p.what", {}, icon("warn"), h("span", {}, this.failure)), h("p.since", {}, again)]
      : state === "empty" ? [h("p.what", {}, icon("empty"), h("span", {}, narrowed ? "Nothing that is kept here tells of a call." : "Nothing tells of a call of a model in this time.")),
        h("p.since", {}, narrowed ? everything : h("a.btn.small", { href: "/sources" }, "Connect a tool"))] : []))
  }

  #figures(answer) {
    const { facts, ways = [] } = answer?.analytics ?? {}
    const none = !facts || !ways.length
    const told = ways.reduce((sum, way) => sum + way.calls, 0)
    this.facts.Calls.fill(none ? null : facts.calls, "calls", none ? "" : told > facts.calls ? `told ${format.text(told)} times, counted once` : facts.calls ? "each told once" : "only counters tell of them")
    this.facts.Tokens.fill(none ? null : facts.tokens, "tokens", none ? "" : "input and output")
    this.facts.Cost.fill(none ? null : facts.cost, "usd", none ? "" : priced(facts), facts?.prices)
    this.facts.Completeness.fill(none ? null : facts.completeness, "percent", none ? "" : typeof facts.completeness === "number" ? "of what the fullest way told counts" : "no tokens to compare")
    for (const name of ["Calls", "Tokens"]) this.facts[name].trust(none ? null : answer)
    this.facts.Cost.trust(none ? null : answer, facts?.priced)
  }

  #flow(id) {
    const address = this.scope.href({ args: {}, as_of: "" }, "/flows")
    return `${address}${address.includes("?") ? "&" : "?"}flow=${encodeURIComponent(id)}`
  }

  #letGo() {
    const { of } = this.scope.state.args
    this.scope.put({ of: "" })
    ;[...this.ways.body.querySelectorAll(".name")].find((button) => button.dataset.key === of)?.focus()
  }

  #key(event) {
    if (event.key !== "Escape" || event.defaultPrevented || anyOpen() || !this.scope.state.args.of || !this.holder.contains(event.target)) return
    event.preventDefault()
    this.#letGo()
  }
}

/** What of a cost is an estimate, in words. */
function priced({ cost, estimated, prices }) {
  if (prices) return prices.text
  if (cost === null) return "no cost told, and no price known"
  return estimated > 1e-9 ? `${share(Math.min(1, estimated / cost))} of it estimated` : "all of it reported"
}

/** One total: its title, its number, and what to know of it. */
function fact(title) {
  const number = h("p.value")
  const note = h("p.about")
  const trust = h("span.trust", { tabindex: "0", hidden: true })
  return {
    element: h("section.card.fact", { "aria-label": title }, h("header", {}, h("h2", {}, title), trust), number, note),
    fill(value, unit, words, prices) {
      const [text, suffix] = format.value(value, unit === "calls" || unit === "tokens" ? "" : unit)
      if (number.dataset.words !== text + suffix) {
        number.dataset.words = text + suffix
        number.replaceChildren(text, h("small", {}, suffix))
      }
      mark(number, "title", value === null ? null : format.exact(value, unit))
      say(note, words)
      mark(note, "data-tip", prices?.oldest ? format.aged(prices) : null)
    },
    /** part: of a cost, the share of the calls whose cost is known. */
    trust(answer, part = null) {
      trust.hidden = !answer
      if (!answer) return
      const least = Math.min(answer.confidence, part ?? 1)
      mark(trust, "data-tip", ["How far to trust it", ...inWords(answer.confidence_parts), ...(part === null ? [] : [`prices ${confidence(part)}: is the cost of every call known?`])].join("\n"))
      if (trust.dataset.is === String(least)) return
      trust.dataset.is = String(least)
      trust.replaceChildren(ring(least), confidence(least))
      mark(trust, "aria-label", `Confidence ${confidence(least)}`)
    },
  }
}
