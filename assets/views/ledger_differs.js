// Where the ways differ from the record: of which session or call, by how much, and the way to look closer.

import { h, icon, say } from "../dom.js"
import * as format from "../format.js"
import { copy } from "../menus.js"
import { UNITS, apart, differences, subject, told } from "./ledger_words.js"
import { counted, named, wayWord } from "./sources_words.js"

const SHOWN = 25
const HEADS = [["Of"], ["Told by"], ["What"], ["Told", "n"], ["Record", "n"], ["Difference", "n"], [""]]

export class Differences {
  /** hooks: flow(id) → address, session(id), all(): no way is chosen any more. */
  constructor(hooks) {
    this.hooks = hooks
    this.whole = false
    this.sum = h("span.sub")
    this.said = h("p.visually-hidden", { role: "status" })
    this.body = h("tbody")
    this.table = h("div.wide", {}, h("table", { "aria-labelledby": "differs-title" }, h("thead", {}, h("tr", {}, HEADS.map(([title, kind]) => h("th", { scope: "col", class: kind ?? null }, title || h("span.visually-hidden", {}, "Actions"))))), this.body))
    this.none = h("p.quiet")
    this.more = h("button.btn.small.more", { type: "button", click: () => { this.whole = true; this.words = ""; this.show(this.ways, this.chosen) } })
    this.every = h("button.btn.small", { type: "button", click: () => hooks.all() }, icon("cross"), h("span"))
    this.element = h("section.card.differs", { "aria-labelledby": "differs-title" },
      h("header", {}, h("h2", { id: "differs-title" }, "Where they differ"), this.sum, this.every), this.table, this.none, this.more, this.said)
  }

  /** ways: those that are looked at; chosen: the one that was asked for, or undefined. */
  show(ways, chosen) {
    Object.assign(this, { ways, chosen })
    const words = JSON.stringify([ways.map((way) => [way.source, way.way, way.differs]), chosen && [chosen.source, chosen.way]])
    if (words === this.words) return
    this.words = words
    const kept = chosen ? [chosen] : ways
    const found = differences(kept)
    const compared = kept.some((way) => way.agreement !== null)
    const most = kept.some((way) => way.differs.length >= 20)
    say(this.sum, found.length ? `${counted(found.length, "difference")}${most ? ", the 20 largest of each way" : ""}` : "")
    this.every.hidden = !chosen
    if (chosen) say(this.every.lastChild, `Only ${wayWord(chosen.way)} of ${named(chosen.source)}`)
    this.table.hidden = !found.length
    this.none.hidden = Boolean(found.length)
    this.none.replaceChildren(...(compared ? [icon("check"), "None: what is told again says the same as the record."] : ["Nothing is told in more than one way, so there is nothing to compare."]))
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.id : null
    this.body.replaceChildren(...(this.whole ? found : found.slice(0, SHOWN)).map((one) => this.#row(one)))
    if (focused) [...this.body.querySelectorAll("[data-id]")].find((e) => e.dataset.id === focused)?.focus()
    this.more.hidden = this.whole || found.length <= SHOWN
    say(this.more, `Show all ${found.length}`)
  }

  #row(found) {
    const [kind, id] = subject(found)
    const number = (n) => h("td.n", { title: format.exact(n, UNITS[found.what]) }, format.text(n, UNITS[found.what]))
    return h("tr", {},
      h("th.c-of", { scope: "row" }, h("span", {}, kind), kind === "source" ? id : h("code", { title: id }, id)),
      h("td.c-by", {}, h("b", {}, wayWord(found.way)), h("span", { title: found.source }, named(found.source))),
      h("td.c-what", {}, found.what), number(found.here), number(found.record),
      h("td.n.c-apart", {}, h("b", {}, apart(found))),
      h("td.c-act", {}, this.#closer(found, kind, id), this.#copy(found, id)))
  }

  #closer(found, kind, id) {
    if (found.flow_id) return h("a.btn.small", { href: this.hooks.flow(found.flow_id), "data-id": `flow ${id}`, "aria-label": `Open the flow of ${kind} ${id}` }, "Flow")
    return kind === "session" ? h("button.btn.small", { type: "button", "data-id": `only ${id}`, "aria-label": `Only session ${id}`, click: () => this.hooks.session(id) }, "Only this") : null
  }

  #copy(found, id) {
    const button = h("button.btn.small", { type: "button", "data-id": `copy ${found.what} ${id}`, "aria-label": `Copy the difference of ${id}` }, icon("copy"), h("span", {}, "Copy"))
    button.addEventListener("click", async () => {
      const done = await copy(told(found))
      say(button.lastChild, done ? "Copied" : "Not copied")
      say(this.said, done ? "The difference is copied" : "This page may not copy")
      setTimeout(() => say(button.lastChild, "Copy"), 1600)
    })
    return button
  }
}
