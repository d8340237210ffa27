// One flow beside the list: what it was, its waterfall, and the span that is looked at.

import { arrange, h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { copy } from "../menus.js"
import { costOf } from "./cost.js"
import { moment } from "./flow_row.js"
import { KINDS, glyph, statusSign } from "./signs.js"
import { SpanPanel } from "./span_panel.js"
import { Waterfall } from "./waterfall.js"

const AGAIN_MS = 3000 // a flow that has not ended is looked at again

/** hooks: {close()}. `open(id)` shows a flow, `sync()` follows the scope. */
export class FlowDetail {
  constructor({ scope, feed, hooks }) {
    Object.assign(this, { scope, feed, hooks, id: null, flow: null })
    this.waterfall = new Waterfall({ select: (id) => this.#select(id), tz: () => scope.state.tz })
    this.panel = new SpanPanel({ scope })
    this.status = h("span")
    this.title = h("h2", { tabindex: "-1" })
    this.facts = h("p.facts-line")
    this.path = h("p.path-note")
    this.legend = h("ul.kinds", { "aria-label": "Kinds of span" })
    this.note = h("div.state", { hidden: true })
    const close = h("button.btn.ghost.square", { type: "button", "aria-label": "Close the flow", "aria-keyshortcuts": "Escape", click: () => hooks.close() }, icon("cross"))
    const back = h("button.btn.small.back", { type: "button", click: () => hooks.close() }, "‹ Flows")
    this.element = h("section.card.detail", { "aria-label": "Flow", hidden: true },
      h("header", {}, back, h("div.title", {}, this.status, this.title, close), this.facts, h("div.about", {}, this.legend, this.path)),
      this.note, h("div.parts-of", {}, this.waterfall.element, this.panel.element))
  }

  open(id) {
    if (id === this.id) return
    this.id = id
    this.flow = null
    this.awaited = false
    clearTimeout(this.again)
    this.element.hidden = !id
    if (id) this.#ask()
  }

  async #ask() {
    const { id } = this
    if (!this.flow) mark(this.element, "data-state", "loading")
    try {
      const { analytics } = await this.feed.question({ type: "flow", flow_id: id })
      if (id === this.id) this.#show(analytics)
    } catch (error) {
      if (id === this.id && !this.flow) this.#failed(error)
    }
  }

  #show(flow) {
    this.flow = flow
    mark(this.element, "data-state", "ok")
    this.note.hidden = true
    this.waterfall.show(flow, this.scope.state.args.span)
    this.sync()
    if (this.awaited) this.focus()
    if (flow.status === null) this.again = setTimeout(() => (this.scope.state.paused ? null : this.#ask()), AGAIN_MS)
  }

  /** The scope changed: the zone of the times, the filters that are on, the span that is looked at. */
  sync() {
    const { flow } = this
    if (!flow) return
    const { span } = this.scope.state.args
    if (span && span !== this.waterfall.selected && this.waterfall.known.has(span)) this.waterfall.select(span)
    this.#headed(flow)
    this.waterfall.virtual.draw()
    this.panel.show(this.waterfall.span, this.waterfall.zero)
  }

  #headed(flow) {
    if (this.status.dataset.is !== String(flow.status)) {
      this.status.dataset.is = String(flow.status)
      this.status.replaceChildren(statusSign(flow.status))
    }
    say(this.title, flow.name ?? "(none)")
    mark(this.title, "title", flow.name)
    const count = flow.count ?? flow.spans.length
    const facts = [
      ["took", format.text(flow.duration_ms, "ms"), format.exact(flow.duration_ms, "ms")],
      ["", flow.tokens === null ? "" : `${format.text(flow.tokens)} tokens`, format.exact(flow.tokens, "tokens")],
      ["", ...(flow.cost === null ? [""] : costOf(flow))],
      ["from", moment(Date.parse(flow.start), this.scope.state.tz), format.clock(Date.parse(flow.start), this.scope.state.tz, "full")],
      ["", flow.truncated ? `the longest ${format.text(flow.spans.length)} of ${format.text(count)} spans` : `${format.text(count)} span${count === 1 ? "" : "s"}`],
    ].filter(([, text]) => text)
    const words = JSON.stringify([facts, flow.flow_id])
    if (this.facts.dataset.words !== words) {
      this.facts.dataset.words = words
      this.facts.replaceChildren(...facts.map(([before, text, tip]) => h("span", { "data-tip": tip }, before && `${before} `, h("b", {}, text))), this.#named(flow.flow_id))
    }
    const kinds = Object.keys(KINDS).filter((kind) => flow.spans.some((span) => span.kind === kind))
    if (this.legend.dataset.kinds !== kinds.join()) {
      this.legend.dataset.kinds = kinds.join()
      arrange(this.legend, kinds.map((kind) => h("li", {}, h("span", { style: `color:var(--${KINDS[kind].role})` }, glyph(KINDS[kind].path)), kind)))
    }
    const share = flow.spans.length > 1 && flow.duration_ms > 0
    this.path.hidden = !share
    if (share) say(this.path, `critical path ${format.text(flow.critical_ms, "ms")} of ${format.text(flow.duration_ms, "ms")}`)
    mark(this.path, "data-tip", "The calls that the end of the flow waited for, one after the other\nThe rest of the time it was busy with itself")
  }

  #named(id) {
    const button = h("button.id", { type: "button", "aria-label": `Copy the id ${id}`, "data-tip": `Copy the id\n${id}` }, h("code", {}, id), icon("copy"))
    button.addEventListener("click", async () => {
      if (await copy(id)) button.lastChild.replaceWith(icon("check"))
    })
    return button
  }

  #failed(error) {
    mark(this.element, "data-state", "error")
    say(this.title, this.id)
    this.status.replaceChildren()
    delete this.status.dataset.is
    const gone = error.code === "NOT_FOUND"
    this.note.hidden = false
    this.note.replaceChildren(h(gone ? "p.what.gone" : "p.what", {}, icon(gone ? "empty" : "warn"), h("b", {}, gone ? "No such flow" : "The flow could not be shown")),
      h("p", {}, [error.message, error.hint].filter(Boolean).map(format.sentence).join(" ")),
      gone ? "" : h("button.btn.small", { type: "button", click: () => this.#ask() }, icon("retry"), "Try again"))
  }

  #select(id) {
    this.waterfall.select(id)
    this.panel.show(this.waterfall.span, this.waterfall.zero)
    this.scope.put({ span: id === this.flow.spans[0]?.id ? "" : id }, { step: false })
  }

  /** The keys come to the waterfall, as soon as it is there; until then they stay where they are. */
  focus() {
    this.awaited = !this.flow
    if (this.flow) this.waterfall.focus()
  }
}
