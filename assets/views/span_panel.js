// All that is known of one span: its numbers, its values as filters, its attributes, and the event as it was kept.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { copy } from "../menus.js"
import { costOf } from "./cost.js"
import { glyph, kindOf, kindSign, outside, statusSign } from "./signs.js"

const DIMENSIONS = ["agent", "model", "tool", "user", "domain", "source", "error_type", "name"]
const LONG = 280 // characters of a value that are shown before it is asked for
// where senders put what went wrong, the most telling first
const ERRORS = ["span.status_message", "exception.message", "error.message", "error", "message"]

export class SpanPanel {
  constructor({ scope }) {
    this.scope = scope
    this.element = h("aside.span", { "aria-label": "Span", tabindex: "0" })
  }

  show(span, zero) {
    const words = JSON.stringify([span, zero, this.scope.state.tz])
    if (this.words !== words) {
      this.words = words
      this.element.replaceChildren(...(span ? this.#parts(span, zero) : []))
      this.element.scrollTop = 0
    }
    this.pressed()
  }

  /** Which values the scope filters by now. */
  pressed() {
    const { filters } = this.scope.state
    for (const chip of this.element.querySelectorAll(".chip")) {
      const on = filters.some((f) => f.dim === chip.dim && ["is", "in"].includes(f.op) && f.values.includes(chip.value))
      mark(chip, "aria-pressed", String(on))
      mark(chip, "data-tip", on ? `Filtered by ${chip.dim}: press to remove` : `Filter by ${chip.dim}`)
    }
    for (const link of this.element.querySelectorAll("a.out")) mark(link, "href", this.#board(link.dim, link.value))
  }

  #parts(span, zero) {
    const failure = errorText(span)
    return [
      h("header", {}, kindSign(span.kind), h("h3", {}, span.name ?? kindOf(span.kind).word), statusSign(span.status ?? "ok")),
      failure ? h("p.failure", {}, icon("warn"), h("span", {}, failure)) : null,
      this.#numbers(span, zero),
      h("h4", {}, "Filter by"),
      h("dl.filters", {}, DIMENSIONS.filter((dim) => span[dim] !== null && span[dim] !== undefined).flatMap((dim) => this.#filter(dim, span[dim]))),
      ...this.#attributes(span),
      this.#raw(span),
    ].filter(Boolean)
  }

  #numbers(span, zero) {
    const { tz } = this.scope.state
    const at = span.start - zero
    const facts = [
      ["Begins", at === 0 ? format.clock(span.start, tz, "second") : `${at < 0 ? format.MINUS : "+"}${format.text(Math.abs(at), "ms")}`, format.clock(span.start, tz, "full")],
      ["Takes", format.text(span.duration_ms, "ms"), format.exact(span.duration_ms, "ms")],
      span.critical ? ["On the critical path", format.text(span.critical_ms, "ms"), "Its own time on the path: that of the calls below it is theirs"] : null,
      ["Tokens in", format.text(span.tokens_input), span.tokens_cached ? `${format.exact(span.tokens_cached, "tokens")} from a cache` : format.exact(span.tokens_input, "tokens")],
      ["Tokens out", format.text(span.tokens_output), format.exact(span.tokens_output, "tokens")],
      ["From a cache", format.text(span.tokens_cached), format.exact(span.tokens_cached, "tokens")],
      ["Cost", ...costOf(span)],
      span.evidence ? ["Counts", "no: evidence", "Another row tells the same call, and counts"] : null,
      span.resource ? ["Resource", span.resource] : null,
      typeof span.value === "number" ? ["Value", `${format.text(span.value)} ${span.unit ?? ""}`.trim()] : null,
    ]
    return h("dl.facts", {}, facts.filter((fact) => fact && fact[1] !== format.DASH).map(([name, text, tip]) => h("div", {}, h("dt", {}, name), h("dd", { "data-tip": tip }, text))))
  }

  #filter(dim, value) {
    const chip = h("button.chip", { type: "button", click: () => this.scope.toggle(dim, value) }, h("b", {}, value))
    const link = h("a.out", { "aria-label": `Open in board: ${dim} ${value}`, "data-tip": "Open in board" }, glyph(outside))
    Object.assign(chip, { dim, value })
    Object.assign(link, { dim, value })
    return [h("dt", {}, dim.replace("_", " ")), h("dd", {}, chip, link)]
  }

  #board(dim, value) {
    const { window, tz } = this.scope.state
    const query = new URLSearchParams({ window, ...(tz ? { tz } : {}), [dim]: value })
    return `/overview?${query}`
  }

  #attributes(span) {
    if (span.attributes === null) return [h("h4", {}, "Attributes"), h("p.note", {}, "Left out: the flow has more of them than one answer holds.")]
    const names = Object.keys(span.attributes).sort()
    if (!names.length) return []
    return [h("h4", {}, "Attributes"), h("dl.attributes", {}, names.flatMap((name) => [h("dt", {}, name), h("dd", {}, value(span.attributes[name]))]))]
  }

  #raw(span) {
    const text = JSON.stringify(rawEvent(span), null, 2)
    const button = h("button.btn.small", { type: "button", "aria-label": "Copy the event" }, icon("copy"), h("span", {}, "Copy"))
    button.addEventListener("click", async () => {
      say(button.lastChild, (await copy(text)) ? "Copied" : "Not copied")
      setTimeout(() => say(button.lastChild, "Copy"), 1600)
    })
    return h("details.raw", {}, h("summary", {}, h("h4", {}, "Raw event")), button, h("pre", { tabindex: "0", "aria-label": "Raw event" }, text))
  }
}

/** A value as text; a long one opens on request. */
function value(content) {
  const text = typeof content === "string" ? content : JSON.stringify(content, null, 1)
  if (text.length <= LONG) return text
  const body = h("span", {}, text.slice(0, LONG), "…")
  const more = h("button.link", { type: "button", "aria-expanded": "false" }, `Show all ${format.text(text.length)} characters`)
  more.addEventListener("click", () => { body.textContent = text; more.remove() })
  return [body, more]
}

/** What went wrong, in the sender's words; where there are none, its class. */
function errorText(span) {
  if (span.status !== "error") return null
  const attributes = span.attributes ?? {}
  const events = Array.isArray(attributes["span.events"]) ? attributes["span.events"] : []
  const raised = events.find((event) => event?.name === "exception")?.attributes?.["exception.message"]
  const words = [...ERRORS.map((name) => attributes[name]), raised].find((text) => typeof text === "string" && text)
  return [span.error_type, words].filter(Boolean).join(": ") || "It failed, and the sender did not say why."
}

/** The event as the store keeps it: canonical columns that are set, and its attributes. */
export function rawEvent(span) {
  const { id, parent, depth, start, end, received, critical, critical_ms, attributes, ...columns } = span
  const event = { time: new Date(end).toISOString(), received: received && new Date(received).toISOString(), event_id: id, ...columns, attributes }
  return Object.fromEntries(Object.entries(event).filter(([, v]) => v !== null && v !== undefined))
}
