// The senders as a table: those that are late first, and each opens its panel.

import { arrange, h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { ageOf, ago, counted, held, judged, named, rhythm, share, standing, usual, ways } from "./sources_words.js"

const HEADS = [["Sender"], ["Last seen", "n"], ["Last hour"], ["Ways"], ["Events", "n"], ["Attributes", "n"], ["Record", "n told"]]

export class SenderList {
  /** hooks: open(source), close(), search(text). */
  constructor(hooks) {
    this.hooks = hooks
    this.rows = new Map()
    this.senders = []
    this.text = ""
    this.body = h("tbody", {})
    this.none = h("p.quiet", { hidden: true })
    this.table = h("table", { "aria-labelledby": "sources-title" },
      h("thead", {}, h("tr", {}, HEADS.map(([title, kind]) => h("th", { scope: "col", class: kind ?? null, title: TIPS[title] }, title)))), this.body)
    this.field = h("input", { type: "search", placeholder: "Search sources", "aria-label": "Search sources", autocomplete: "off", input: () => this.hooks.search(this.field.value) })
    this.sum = h("span.sub")
    this.state = h("div.state", { hidden: true })
    this.element = h("section.card.senders", { "aria-labelledby": "sources-title" },
      h("header", {}, h("h2", { id: "sources-title" }, "Sources"), this.sum, h("div.find", {}, this.field, h("kbd", { "aria-hidden": "true" }, "L"))),
      this.state, this.table, this.none)
    this.body.addEventListener("keydown", (event) => this.#walk(event))
  }

  /** Loading, or why there is nothing to show and what to do. */
  tell(name, words, again) {
    this.element.dataset.state = name
    this.state.hidden = name === "ok" || name === "loading"
    this.table.hidden = name !== "ok"
    if (!this.state.hidden) {
      this.state.replaceChildren(h("p.what", {}, icon(name === "error" ? "warn" : "empty"), h("span", {}, words)),
        ...(again ? [h("p.since", {}, h("button.btn.small", { type: "button", click: again }, icon("retry"), "Try again"))] : []))
    }
  }

  /** senders: as they were heard; ledger: the ways of each source, or null where the server keeps none. */
  show(senders, { text, open, ledger }) {
    Object.assign(this, { senders, text, open, ledger })
    if (this.field.value !== text) this.field.value = text
    const late = senders.filter((s) => s.late).length
    say(this.sum, `${counted(senders.length, "source")}${late ? `, ${late} late` : senders.length ? ", none late" : ""}`)
    const wanted = text.trim().toLowerCase()
    const kept = senders.filter((s) => named(s.source).toLowerCase().includes(wanted))
    arrange(this.body, kept.map((sender) => this.#filled(sender)))
    this.none.hidden = kept.length > 0 || !senders.length
    say(this.none, `No source is called “${text}”.`)
    mark(this.table, "data-told", ledger ? "" : null)
    for (const source of this.rows.keys()) if (!senders.some((s) => s.source === source)) this.rows.delete(source)
  }

  /** Only what time alone changes. */
  tick() {
    for (const { sender, cells } of this.rows.values()) say(cells.seen, ago(ageOf(sender)))
  }

  focus(source) {
    ;(this.rows.get(source)?.name ?? this.field).focus()
  }

  #row(source) {
    const name = h("button.name", { type: "button", "aria-controls": "sender", click: (event) => { event.stopPropagation(); this.hooks.open(source) } }, named(source))
    const cells = Object.fromEntries(["seen", "rhythm", "ways", "rate", "attributes", "told"].map((part) => [part, h(`td.c-${part}`, {})]))
    const state = h("span.standing")
    const element = h("tr", { click: () => this.hooks.open(source) }, h("th", { scope: "row" }, name, state), Object.values(cells))
    const row = { element, name, state, cells }
    this.rows.set(source, row)
    return row
  }

  #filled(sender) {
    const row = this.rows.get(sender.source) ?? this.#row(sender.source)
    const { cells } = row
    row.sender = sender
    mark(row.element, "data-late", sender.late ? "" : null)
    mark(row.element, "data-open", this.open === sender.source ? "" : null)
    mark(row.name, "aria-expanded", String(this.open === sender.source))
    changed(row, "state", judged(sender), () => row.state.replaceChildren(standing(sender)))
    say(cells.seen, ago(ageOf(sender)))
    mark(cells.seen, "title", `${usual(sender)}; the newest event is of ${new Date(sender.last_seen).toLocaleString()}`)
    changed(row, "rhythm", sender.minutes, () => cells.rhythm.replaceChildren(rhythm(sender.minutes)))
    changed(row, "ways", sender.ways, () => cells.ways.replaceChildren(...ways(sender)))
    say(cells.rate, `${format.text(sender.events_per_min)}/min`)
    changed(row, "attributes", [sender.mapped, sender.unmapped_names], () => cells.attributes.replaceChildren(...attributes(sender)))
    const told = this.ledger?.get(sender.source)
    const { completeness, agreement } = held(told ?? [])
    say(cells.told, share(completeness))
    mark(cells.told, "title", completeness === null ? "Nothing to compare" : `Its least complete way told ${share(completeness)} of what was counted${agreement === null ? "" : `, and ${share(agreement)} of that agrees`}`)
    return row.element
  }

  #walk(event) {
    const names = [...this.body.querySelectorAll(".name")]
    const here = names.indexOf(event.target)
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: names.length - 1 }[event.key]
    if (here < 0 || to === undefined) return
    event.preventDefault()
    names[Math.max(0, Math.min(names.length - 1, to))].focus()
  }
}

const TIPS = {
  Attributes: "How many columns its newest rows fill, and how many names they carry that have no column and stay in attributes",
  Record: "How much of what was counted of its calls it told itself",
}

function attributes({ mapped, unmapped_names: kept }) {
  if (!mapped) return [h("span.faint", {}, format.DASH)]
  return [h("span", {}, `${format.text(mapped.length)} mapped`), h("small", {}, kept ? `${format.text(kept)} kept beside` : "none beside")]
}

/** Draw a part of a row again only where what it shows is another. */
function changed(row, part, value, draw) {
  const words = JSON.stringify(value ?? null)
  row.shown ??= {}
  if (row.shown[part] === words) return
  row.shown[part] = words
  draw()
}
