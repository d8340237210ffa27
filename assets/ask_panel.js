// What stands below the ask box: suggestions while typing, then what was understood, which can be changed, and its answer.

import { answer } from "./ask_answers.js"
import { examples } from "./ask_examples.js"
import { Understood, saidOf } from "./ask_understood.js"
import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { Hover } from "./hover.js"
import * as times from "./times.js"
import { tips } from "./tips.js"
import { catalogue } from "./views/question.js"
import { askWhy } from "./why_request.js"

const RECENT = 5 // of the history that are offered at once
const OFFERED = 4
const WIDE = 1181 // px from which the drawer stands beside the page; see why.css

export class Panel {
  constructor({ form, field, place, scope, feed, page, past, ask, close }) {
    Object.assign(this, { form, field, place, scope, feed, page, past, send: ask, close, turn: 0, active: -1, options: [], asked: "", words: null })
    this.list = h("ul.options.ask-list", { id: "ask-list", role: "listbox", "aria-label": "Questions", hidden: true })
    this.live = h("p.visually-hidden", { role: "status" })
    this.result = h("div.ask-result", { hidden: true })
    place.append(this.list, this.result, this.live)
    for (const [name, value] of Object.entries({ role: "combobox", "aria-controls": "ask-list", "aria-autocomplete": "list", "aria-expanded": "false" })) field.setAttribute(name, value)
    this.tip = tips(place)
    this.hover = new Hover(place)
  }

  // suggestions

  /** Offer what fits the field: of nothing typed, what was asked lately and what could be. */
  async offer() {
    this.place.hidden = false
    this.examples ??= this.#catalogue().then((words) => examples(words, this.page), () => [])
    const made = await this.examples
    if (made[0]) mark(this.field, "placeholder", `For example: ${made[0]}`)
    const text = this.field.value.trim().toLowerCase()
    const fits = (question) => question.toLowerCase().includes(text) && question.toLowerCase() !== text
    const recent = this.past.all.filter(fits).slice(0, text ? 3 : RECENT)
    const others = made.filter((e) => !recent.includes(e) && fits(e)).slice(0, OFFERED)
    const quiet = this.past.walking || (text !== "" && text === this.asked.toLowerCase())
    this.options = quiet ? [] : [...recent.map((text) => ({ text, sign: "clock" })), ...others.map((text) => ({ text, sign: "right" }))]
    this.#point(-1)
    this.list.replaceChildren(...this.options.map(({ text: question, sign }, i) => h("li", { role: "option", id: `ask-${i}`, "aria-selected": "false",
      pointerdown: (event) => event.preventDefault(), click: () => this.send(question) }, icon(sign), h("span.words", {}, question))))
    this.list.hidden = !this.options.length
    mark(this.field, "aria-expanded", String(this.options.length > 0))
    this.#fit()
  }

  /** Walk the suggestions; false where there is none that way. */
  walk(step) {
    if (!this.options.length || this.past.walking || (step < 0 && this.active < 0)) return false
    this.#point(Math.min(this.options.length - 1, this.active + step))
    return true
  }

  /** Ask the suggestion that is pointed at, if any. */
  chosen() {
    if (this.active < 0) return false
    this.send(this.options[this.active].text)
    return true
  }

  #point(to) {
    this.active = to
    ;[...this.list.children].forEach((e, i) => { mark(e, "data-active", i === to ? "" : null); mark(e, "aria-selected", String(i === to)) })
    mark(this.field, "aria-activedescendant", to >= 0 ? `ask-${to}` : null)
    this.list.children[to]?.scrollIntoView({ block: "nearest" })
  }

  #quiet() {
    this.options = []
    this.#point(-1)
    this.list.hidden = true
    mark(this.field, "aria-expanded", "false")
  }

  hide() {
    this.#quiet()
    this.place.hidden = true
    this.tip.hide()
  }

  #fit() {
    this.place.hidden = this.list.hidden && this.result.hidden
  }

  // asking

  async ask(text) {
    this.asked = text
    this.#quiet()
    const { tz } = this.scope.state
    this.understood = null
    await this.#put({ type: "ask", text, ...this.scope.question(), tz: times.zone(tz) }, (message) => this.#heard(message))
  }

  /** Ask a typed request: a reading that was chosen, or what the chips say now. */
  async typed(request, said = "") {
    await this.#put(request, (message) => this.#shown(request, said || saidOf(request, this.words, this.scope), message))
  }

  async #put(request, done) {
    const turn = ++this.turn
    this.place.hidden = this.result.hidden = false
    mark(this.result, "aria-busy", "true")
    if (!this.understood) this.result.replaceChildren(h("div.why-bones", { "aria-hidden": "true" }, h("i", { style: "width:60%" }), h("i", { style: "width:85%" })))
    try {
      const [message] = await Promise.all([this.feed.question(request), this.#catalogue().catch(() => null)])
      if (turn === this.turn) done(message)
    } catch (error) {
      if (turn === this.turn) this.#failed(error, request)
    } finally {
      if (turn === this.turn) mark(this.result, "aria-busy", null)
    }
  }

  #heard(message) {
    const { understood, said, by, corrected = [], readings = [], answer: found, reason, unknown = [] } = message.analytics ?? {}
    if (!understood) return this.#unsure(readings, reason, unknown)
    const notes = [...corrected.map(({ typed, meant }) => `“${typed}” was read as “${meant}”`), ...(by === "model" ? ["a language model read the words; the numbers are the store's own"] : [])]
    this.#shown(understood, said, { ...message, analytics: found }, { readings, reason, notes })
  }

  #shown(request, said, message, { readings = [], reason = "", notes = [] } = {}) {
    const understood = this.understood ??= new Understood({ request, words: this.words, scope: this.scope, feed: this.feed, changed: (fresh) => this.typed(fresh) })
    const tools = { words: this.words, scope: understood.scope, board: this.#board(understood), close: this.close }
    if (request.type === "explain") this.#why(request, message)
    const drawn = message.analytics ? answer(request, message, tools) : { element: h("p.ask-none", {}, format.sentence(reason || "there is no answer")), spoken: reason || "No answer" }
    arrange(this.result, [ // what has the focus in it keeps it
      said ? h("p.ask-said", {}, said, notes.map((note) => h("small", {}, format.sentence(note)))) : null,
      understood.element, drawn.element,
      readings.length ? this.#readings("Or did you mean", readings) : null,
      drawn.ways?.length ? h("p.ask-ways", {}, drawn.ways) : null,
    ].filter(Boolean))
    say(this.live, [said, drawn.spoken].filter(Boolean).join(". "))
    drawn.drawn?.()
  }

  /** An explanation stands in the drawer: beside this panel where there is room for both. */
  #why(request, message) {
    const room = innerWidth >= WIDE
    const title = this.words?.metrics.get(request.metric)?.title
    askWhy({ ...request, title, answer: message, quiet: room })
    if (!room) this.close(false)
  }

  #unsure(readings, reason, unknown) {
    this.understood = null
    const made = this.examples ?? Promise.resolve([])
    const parts = [h("p.what", {}, icon("empty"), h("b", {}, readings.length ? "Not sure what is meant" : "No answer, rather than a guess"))]
    if (reason) parts.push(h("p", {}, format.sentence(reason)))
    if (unknown.some((word) => !reason?.includes(word))) parts.push(h("p.ask-unknown", {}, "Not understood: ", unknown.map((word) => h("mark", {}, word))))
    if (readings.length) parts.push(this.#readings("Did you mean", readings))
    const tries = h("div.ask-readings")
    this.result.replaceChildren(h("div.ask-unsure", {}, parts, readings.length ? null : tries))
    if (!readings.length) made.then((all) => { if (all.length) tries.replaceChildren(h("p", {}, "Questions that work:"), ...all.slice(0, 3).map((text) => h("button.btn.small", { type: "button", click: () => this.send(text) }, text))) })
    say(this.live, [readings.length ? `Not sure. ${readings.length} readings are offered` : "No answer", reason].filter(Boolean).map(format.sentence).join(" "))
  }

  #readings(title, readings) {
    return h("div.ask-readings", { role: "group", "aria-label": title }, h("p", {}, title), readings.slice(0, 4).map(({ request, said }) => h("button.btn.small", { type: "button", click: () => { this.understood = null; this.typed(request, said) } }, said)))
  }

  #failed(error, request) {
    const words = [error.message, error.hint].filter(Boolean).map(format.sentence).join(" ")
    const again = h("button.btn.small", { type: "button", click: () => (request.type === "ask" ? this.ask(request.text) : this.typed(request)) }, icon("retry"), "Try again")
    this.result.replaceChildren(...[this.understood?.element, h("div.ask-unsure", { role: "alert" }, h("p.what", {}, icon("warn"), h("b", {}, "This was not answered")), h("p", {}, words), h("p", {}, again))].filter(Boolean))
  }

  #catalogue() {
    this.listed ??= catalogue().then((words) => { this.words = words; return words })
    this.listed.catch(() => { this.listed = null })
    return this.listed
  }

  /** What tiles and charts in an answer may know of where they stand: the scope that was understood. */
  #board(understood) {
    const { scope } = understood
    const panel = this
    return {
      tip: this.tip, hover: this.hover, prefix: "ask-", why: null, label: "", previous_label: "before",
      get tz() { return scope.state.tz },
      get window() { return scope.state.window },
      toggle: (dim, value) => scope.toggle(dim, value),
      filtered: (dim, value) => scope.has(dim, value),
      filterTip: (dim, value, shown = value ?? "(none)") => `${scope.has(dim, value) ? "Take away the filter" : "Filter"} ${dim} = ${shown}`,
      zoom: (from, to) => scope.set({ window: times.pinned(Math.round(from), Math.round(to)) }),
      undo() {},
      speak: (text) => say(panel.live, text),
    }
  }
}
