// What each source told in each way, and how much of it counts. A way that is chosen keeps only its differences below.

import { h, mark } from "../dom.js"
import * as format from "../format.js"
import { counts, meter, standing } from "./ledger_words.js"
import { counted, named, wayWord } from "./sources_words.js"

const HEADS = [
  ["Source"], ["Told as"], ["Sessions", "n"], ["Calls", "n"], ["Tokens", "n"], ["Cost", "n", "What it reported; what is estimated is in the total only"], ["Counts", "", "Whether it is the record or evidence for it"],
  ["Complete", "", "How much of the record it told"], ["Agrees", "", "How far its evidence says the same as the record"], ["Differences", "n"],
]

export class Ways {
  /** hooks: choose(key of a way, or ""). */
  constructor(hooks) {
    this.hooks = hooks
    this.body = h("tbody", { keydown: (event) => this.#walk(event) })
    this.table = h("table", { "aria-labelledby": "ways-title" }, h("thead", {}, h("tr", {}, HEADS.map(([title, kind, tip]) => h("th", { scope: "col", class: kind || null, title: tip }, title)))), this.body)
  }

  /** ways: as they were answered; chosen: the key of one. Drawn anew only where something differs. */
  show(ways, chosen) {
    const words = JSON.stringify(ways)
    if (words !== this.words) {
      this.words = words
      const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.key : null
      this.body.replaceChildren(...grouped(ways).map((way) => this.#row(way)))
      if (focused) this.#buttons().find((b) => b.dataset.key === focused)?.focus()
    }
    for (const button of this.#buttons()) {
      mark(button, "aria-pressed", String(button.dataset.key === chosen))
      mark(button.closest("tr"), "data-open", button.dataset.key === chosen ? "" : null)
    }
  }

  #row(way) {
    const { source, first } = way
    const key = keyOf(way)
    const choose = h("button.name", { type: "button", "data-key": key, title: "Show only its differences", click: () => this.hooks.choose(key) }, wayWord(way.way))
    const cells = [
      ["sessions", way.sessions ? format.text(way.sessions) : format.DASH], ["calls", way.calls ? format.text(way.calls) : format.DASH],
      ["tokens", format.text(way.tokens)], ["cost", [format.text(way.cost, "usd"), way.paid ? h("small", { title: "Its tokens are not estimated: the tool counts its own money" }, "counted by the tool") : null]],
      ["counts", standing(way)],
      ["complete", meter(way.completeness, `told ${format.text(way.completeness, "percent")} of the record`, "nothing to compare")],
      ["agrees", meter(way.agreement, `agrees with the record to ${format.text(way.agreement, "percent")}`, "no evidence to compare")],
      ["differs", way.differs.length ? format.text(way.differs.length) : h("span.faint", {}, "none")],
    ]
    return h("tr", { "data-first": first ? "" : null, "data-evidence": way.counted_tokens || way.counted_cost || way.counted_calls ? null : "" },
      h("td.c-source", {}, h("a", { href: `/sources?sender=${encodeURIComponent(named(source))}`, class: first ? null : "visually-hidden", tabindex: first ? null : "-1" }, named(source))),
      h("th.c-way", { scope: "row" }, choose),
      cells.map(([name, content]) => h(`td.c-${name}`, { title: TITLES[name]?.(way) }, content)))
  }

  #buttons() {
    return [...this.body.querySelectorAll(".name")]
  }

  #walk(event) {
    const all = this.#buttons()
    const here = all.indexOf(event.target)
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key]
    if (here < 0 || to === undefined) return
    event.preventDefault()
    all[Math.max(0, Math.min(all.length - 1, to))].focus()
  }
}

const TITLES = {
  calls: (way) => (way.calls ? `${format.exact(way.counted_calls)} of ${counted(way.calls, "call")} count` : "It tells no single calls"),
  tokens: (way) => (way.tokens === null ? "It tells no tokens" : `${format.exact(way.counted_tokens)} of ${format.exact(way.tokens, "tokens")} count`),
  cost: (way) => (way.cost === null ? "It reports no cost" : `${format.exact(way.counted_cost, "usd")} of ${format.exact(way.cost, "usd")} counts`),
}

export const keyOf = ({ source, way }) => `${way} ${source}`

/** Those of one source together, the record before its evidence; `first` marks where a source begins. */
function grouped(ways) {
  const sources = [...new Set(ways.map((way) => way.source))]
  const of = (source) => ways.filter((way) => way.source === source).sort((a, b) => (counts(b) ?? -1) - (counts(a) ?? -1))
  return sources.flatMap((source) => of(source).map((way, i) => ({ ...way, first: i === 0 })))
}
