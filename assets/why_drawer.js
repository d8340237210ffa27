// The Why drawer: beside the board, which stays live. It asks `explain` once for each scope, says when, and draws the
// answer: a sentence, both values, the steps between them, and the causes with what can be done about each.

import { dialog, menu, anyOpen, copy } from "./menus.js"
import { h, icon, mark, say } from "./dom.js"
import { draw } from "./exports.js"
import * as format from "./format.js"
import { confidence, ring, tone } from "./tiles.js"
import { tips } from "./tips.js"
import { toast } from "./toast.js"
import { knownAt } from "./travel.js"
import { causes, restOf } from "./why_causes.js"
import { explainOf } from "./why_request.js"
import { filterWords, lowered, nowhere, percent, short, signed, told, whereWords, windowWords } from "./why_words.js"
import { waterfall } from "./why_waterfall.js"

const QUIET_S = 5 // a younger answer needs no age

export class Drawer {
  constructor({ scope, feed, close }) {
    Object.assign(this, { scope, feed, turn: 0, subject: null, answer: null })
    this.title = h("h2", { id: "why-title", tabindex: "-1" })
    this.time = h("time")
    this.again = h("button.btn.small.ghost", { type: "button", click: () => this.ask() }, icon("retry"), "Refresh")
    const more = h("button.btn.ghost.square.small", { type: "button", "aria-label": "Copy or save this explanation" }, h("b.dots", { "aria-hidden": "true" }))
    menu(more, () => this.#ways())
    this.more = more
    this.body = h("div.why-body")
    this.live = h("p.visually-hidden", { role: "status" })
    this.element = h("aside.why", { "aria-labelledby": "why-title", "data-state": "empty" },
      h("header", {}, this.title, more, h("button.btn.ghost.square.small", { type: "button", "aria-label": "Close", title: "Close  Esc", click: close }, icon("cross"))),
      h("p.why-asked", {}, this.time, this.again), this.body, this.live)
    tips(this.element)
    const header = document.querySelector("header.top")
    this.sized = new ResizeObserver(() => this.#place(header))
    if (header) this.sized.observe(header)
  }

  /** Ask about a subject and draw the answer; one that came already is drawn as it is. */
  show(subject, { title = "", answer = null, focus = false } = {}) {
    const other = this.subject?.metric !== subject.metric
    this.subject = subject
    if (title || other) this.name = title || subject.metric
    if (!this.element.isConnected) document.querySelector("main").after(this.element)
    mark(document.body, "data-why", "")
    this.beat ??= setInterval(() => this.#aged(), 1000)
    this.#titled()
    if (!title && other) this.#named(subject)
    if (focus) this.focus()
    if (answer) this.#draw(answer)
    else this.ask(other)
  }

  focus() { this.title.focus({ preventScroll: true }) }

  hide(opener) {
    const inside = this.element.contains(document.activeElement)
    this.turn += 1
    this.subject = this.answer = null
    clearInterval(this.beat)
    this.beat = null
    this.element.remove()
    mark(document.body, "data-why", null)
    if (inside || document.activeElement === document.body) returned(opener)
  }

  /** Whether Escape at this place is for the drawer. */
  mine(target) {
    if (anyOpen() || document.querySelector(".tile.large")) return false
    return this.element.contains(target) || !target.closest?.("input, textarea, select, dialog, .menu")
  }

  async ask(other = false) {
    const turn = ++this.turn
    this.#waiting(other)
    try {
      const answer = await this.feed.question(explainOf(this.subject, this.scope))
      if (turn === this.turn) this.#draw(answer)
    } catch (error) {
      if (turn === this.turn) this.#failed(error)
    }
  }

  #waiting(other) {
    mark(this.element, "aria-busy", "true")
    if (!other && this.answer) return // the answer before stays until the next is there
    this.answer = null
    this.#said()
    mark(this.element, "data-state", "loading")
    this.body.replaceChildren(h("div.why-bones", { "aria-hidden": "true" }, ["90%", "60%", "100%", "100%", "72%"].map((width) => h("i", { style: `width:${width}` }))))
  }

  #failed(error) {
    this.answer = null
    mark(this.element, "aria-busy", null)
    mark(this.element, "data-state", "error")
    this.#said()
    this.body.replaceChildren(h("div.state", { role: "alert" }, h("p.what", {}, icon("warn"), h("b", {}, "This could not be explained")),
      h("p", {}, [error.message, error.hint].filter(Boolean).map(format.sentence).join(" ")),
      h("p.since", {}, h("button.btn.small", { type: "button", click: () => this.ask(true) }, icon("retry"), "Try again"))))
  }

  #draw(message) {
    const { analytics: a, insights = [] } = message
    const context = { scope: this.scope, feed: this.feed, subject: this.subject, unit: a.unit, per: a.per, good: a.good }
    this.answer = { ...a, at: Date.parse(message.timestamp ?? "") || this.scope.now(), confidence: message.confidence ?? null, parts: message.confidence_parts ?? {} }
    mark(this.element, "aria-busy", null)
    mark(this.element, "data-state", a.localised ? "ok" : "even")
    const said = insights.find((i) => i.kind === "cause" && i.metric === a.metric) ?? insights[0]
    this.headline = said?.text || told(this.answer, this.name)
    const known = typeof a.current === "number" && typeof a.baseline === "number"
    this.body.replaceChildren(...[
      h("p.why-said", {}, this.headline),
      this.#values(a),
      this.#windows(a),
      a.localised ? null : h("div.why-even", {}, h("p.what", {}, icon("empty"), h("b", {}, "No localised cause")), h("p", {}, nowhere(a))),
      known && a.change && a.causes.length ? waterfall(this.answer, context) : null,
      ...causes(this.answer, context),
      restOf(this.answer, context),
      a.dimensions?.length ? h("p.why-sought", {}, `Looked for in ${a.dimensions.map(short).join(", ")}, alone and together.`) : null,
    ].filter(Boolean))
    this.#titled()
    this.#aged()
    say(this.live, `${this.headline}${a.localised ? ` ${a.causes.length} cause${a.causes.length === 1 ? "" : "s"}.` : " No localised cause."}`)
  }

  /** Both values, the change between them, and how far to trust it. */
  #values({ baseline, current, change, change_kind: kind, unit, per, good, n, n_baseline: before }) {
    const { amount, way } = changed(baseline, current, change, kind ?? (unit === "percent" ? "pp" : "relative"), good)
    const { confidence: c, parts } = this.answer
    const lines = Object.entries(parts).filter(([, v]) => typeof v === "number").map(([name, v]) => `${name}: ${confidence(v)}`)
    return h("div.why-values", {},
      h("span", { "data-tip": `Before: ${format.exact(baseline, unit, per)}\nfrom ${format.exact(before)} rows` }, format.text(baseline, unit, per)),
      h("span.arrow", { "aria-hidden": "true" }, "→"), h("span.visually-hidden", {}, "to"),
      h("b", { "data-tip": `Now: ${format.exact(current, unit, per)}\nfrom ${format.exact(n)} rows` }, format.text(current, unit, per)),
      h("em", { class: way }, amount),
      h("button.trust", { type: "button", "aria-label": `Confidence ${confidence(c)}`, "data-tip": [`Confidence ${confidence(c)}${lines.length ? ": the least of" : ""}`, ...lines].join("\n") }, ring(c), confidence(c)))
  }

  #windows({ window, baseline_window: before }) {
    const { tz } = this.scope.state
    const now = this.scope.now()
    return h("p.why-windows", {}, windowWords(window, now, tz), " compared with ", windowWords(before, now, tz),
      this.subject.where.map((f) => `, where ${filterWords(f)}`))
  }

  #titled() {
    const { baseline, current } = this.answer ?? {}
    const way = typeof baseline === "number" && typeof current === "number" && baseline !== current ? (current > baseline ? "rise" : "fall") : "change"
    say(this.title, `Why did ${lowered(this.name)} ${way}?`)
  }

  /** A title for a metric that came by its name alone: from the board, else from the list of metrics. */
  async #named(subject) {
    const tiles = [...document.querySelectorAll("[data-tile]")].flatMap((element) => element.tile?.spec.metrics ?? [])
    const here = tiles.find((m) => m.name === subject.metric)?.title
    const found = here ?? await fetch("/api/metrics").then((reply) => (reply.ok ? reply.json() : []), () => []).then((all) => all.find((m) => m.name === subject.metric)?.title)
    if (!found || this.subject?.metric !== subject.metric) return
    this.name = found
    this.#titled()
  }

  #said() {
    say(this.time, "")
    this.again.hidden = this.more.hidden = true
  }

  #aged() {
    if (!this.answer) return this.#said()
    const { tz, as_of } = this.scope.state
    const age = (this.scope.now() - this.answer.at) / 1000
    this.again.hidden = this.more.hidden = false
    mark(this.time, "datetime", new Date(this.answer.at).toISOString())
    say(this.time, as_of ? knownAt(Date.parse(as_of), Date.now(), tz)
      : `As of ${format.clock(this.answer.at, tz, "second")}${age >= QUIET_S ? ` · ${format.age(age)} ago` : ""}`)
  }

  #place(header) {
    document.documentElement.style.setProperty("--why-top", `${Math.max(0, Math.round(header.getBoundingClientRect().bottom))}px`)
  }

  #ways() {
    const name = `why ${this.subject.metric}`
    const foot = [this.title.textContent, this.time.textContent, "Plumbline"]
    return [
      { text: "Copy text", act: () => this.#copied() },
      { text: "Copy link", act: () => this.#offered(location.origin + this.scope.href()) },
      { text: "Save as PNG", act: () => draw(this.body, "png", name, this.title.textContent, foot) },
      { text: "Save as SVG", act: () => draw(this.body, "svg", name, this.title.textContent, foot) },
    ]
  }

  #copied() {
    const { causes: found, unit, per } = this.answer
    const lines = found.map((c, i) => `${i + 1}. ${whereWords(c.where)}: ${percent(c.share)} of the change, ${signed(c.change, unit, per)}`)
    const values = `${format.text(this.answer.baseline, unit, per)} → ${format.text(this.answer.current, unit, per)}`
    return this.#offered([this.headline, values, this.body.querySelector(".why-windows")?.textContent, ...lines, this.time.textContent, location.href].filter(Boolean).join("\n"))
  }

  async #offered(text) {
    if (await copy(text)) return toast("Copied", { tone: "good" })
    dialog("Copy", h("div.copied", {}, h("textarea", { readonly: true, "aria-label": "Text to copy" }, text)))
  }
}

/** The change in words and which way it counts. */
function changed(baseline, current, change, kind, good) {
  if (typeof change !== "number") return { amount: format.DASH, way: "none" }
  const relative = kind === "pp" ? change : baseline ? change / Math.abs(baseline) : null
  return { amount: relative === null ? "" : format.change(relative, kind), way: tone(relative ?? change, kind, good) }
}

/** Give the focus back to where the drawer was opened from, or to what stands for it now. */
function returned(opener) {
  const place = opener?.isConnected && opener !== document.body ? opener : document.querySelector(".ask-why") ?? document.querySelector("main")
  place?.focus({ preventScroll: true })
}
