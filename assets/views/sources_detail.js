// One sender: how it stands, its last hour, which of its attributes have a column, and what was refused.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { ageOf, ago, counted, held, judged, named, rhythm, share, standing, usual, wayWord } from "./sources_words.js"

export class SenderPanel {
  /** hooks: close(). */
  constructor(hooks) {
    this.hooks = hooks
    this.title = h("h2", { tabindex: "-1" })
    this.content = h("div.content")
    this.seen = h("dd")
    this.rate = h("dd")
    this.element = h("section.card.sender", { id: "sender", "aria-label": "One source", hidden: true },
      h("header", {}, this.title, h("button.btn.ghost.square", { type: "button", "aria-label": "Close", click: () => hooks.close() }, icon("cross"))), this.content)
  }

  focus() {
    this.title.focus({ preventScroll: true })
    this.element.scrollIntoView({ block: "nearest" })
  }

  /** sender: null closes; undefined: a name that nobody in the list has. */
  show(sender, { source, drops, ledger }) {
    this.element.hidden = sender === null
    if (sender === null) return
    if (this.title.textContent !== named(source)) this.title.textContent = named(source)
    const refused = drops.filter((drop) => drop.sources?.includes(source))
    this.sender = sender
    this.tick()
    const still = sender && { ...sender, age_s: judged(sender), at: 0, last_seen: 0, events_per_min: 0 }
    const words = JSON.stringify([source, still, refused, ledger?.get(source)])
    if (words === this.words) return
    this.words = words
    const focused = this.content.contains(document.activeElement) ? document.activeElement.textContent : null
    const top = this.content.scrollTop
    this.content.replaceChildren(...(sender ? this.#parts(sender, refused, ledger?.get(source)) : [h("p.quiet", {}, "It has sent nothing in the last hour.")]))
    this.content.scrollTop = top
    if (focused) [...this.content.querySelectorAll("a, summary")].find((e) => e.textContent === focused)?.focus()
  }

  /** What time alone changes. */
  tick() {
    const { sender } = this
    if (!sender) return
    say(this.seen, ago(ageOf(sender)))
    mark(this.seen, "title", new Date(sender.last_seen).toLocaleString())
    say(this.rate, `${counted(sender.events_per_min, "event")}/min`)
  }

  #parts(sender, refused, ledger) {
    const filter = `source=${encodeURIComponent(sender.source)}`
    return [
      standing(sender),
      h("dl.facts", {}, h("div", {}, h("dt", {}, "Last seen"), this.seen), fact("Rhythm", usual(sender), "The age that 99 % of its own gaps stay under"),
        h("div", {}, h("dt", {}, "Rate"), this.rate), sender.kinds.length ? fact("Kinds", sender.kinds.join(", ")) : null,
        sender.ways?.length ? fact("Ways", told(sender.ways)) : null),
      sender.minutes && h("div.hour", {}, rhythm(sender.minutes, "rhythm-wide"), h("p.axis", { "aria-hidden": "true" }, h("span", {}, "an hour ago"), h("span", {}, "now"))),
      ...(ledger ? record(ledger) : []),
      ...(sender.mapped ? columns(sender) : []),
      h("h3", {}, "Refused in the last hour"),
      refused.length ? h("ul.plain", {}, refused.map(drop)) : h("p.quiet", {}, icon("check"), "Nothing of it."),
      h("p.row", {}, h("a.btn.small", { href: `/overview?${filter}` }, "On the overview"), h("a.btn.small", { href: `/flows?${filter}` }, "Its flows")),
    ].filter(Boolean)
  }
}

/** The ways, and of several how the newest rows are divided between them. */
function told(ways) {
  const all = ways.reduce((sum, { count }) => sum + count, 0)
  return ways.map(({ name, count }) => (ways.length > 1 ? `${wayWord(name)} ${share(count / all)}` : wayWord(name))).join(", ")
}

const fact = (name, text, title) => h("div", {}, h("dt", {}, name), h("dd", { title: title ?? null }, text))

/** A reason with how often it was, and the example that says what to mend. */
export const drop = ({ reason, count, example }) => h("li", {}, h("b", {}, h("code", {}, reason), ` ${format.text(count)}`), example ? h("span", {}, format.sentence(example)) : null)

function columns({ mapped, unmapped, unmapped_names: names, sampled }) {
  const beside = names - unmapped.length
  return [
    h("h3", {}, "Have a column", h("small", {}, `of its newest ${counted(sampled, "row")}`)),
    mapped.length ? filled(mapped, sampled) : h("p.quiet", {}, "None: only its time, name and source are known."),
    h("h3", {}, "Kept in attributes", h("small", {}, names ? `${counted(names, "name")} without a column` : null)),
    names ? h("p.note", {}, "Nothing of it is lost: a ", h("a", { href: "/docs/workspace#dimensions" }, "dimension"), " can read any of these from ", h("code", {}, "attributes"), ".")
      : h("p.quiet", {}, icon("check"), "Nothing: all that it sends has a column."),
    names ? filled(unmapped, sampled) : null,
    beside > 0 ? h("p.note", {}, `And ${counted(beside, "rarer name")}.`) : null,
  ]
}

const filled = (found, of) => h("ul.filled", {}, found.map(({ name, count }) => h("li", {}, h("code", { title: name }, name),
  h("i", { "aria-hidden": "true" }, h("u", { style: `width:${(100 * count) / of}%` })), h("span", { title: `${format.text(count)} of ${counted(of, "row")}` }, format.text(count)))))

/** What it told of what was counted, way by way. */
function record(told) {
  const { completeness } = held(told)
  return [
    h("h3", {}, "Against the record", h("small", {}, completeness === null ? "nothing to compare" : null)),
    h("ul.ledger", {}, told.map((way) => h("li", {}, h("b", {}, wayWord(way.way)), h("span", {}, [compared("complete", way.completeness), compared("agrees", way.agreement)].filter(Boolean).join(", ") || "nothing to compare"),
      way.differs?.length ? h("details", {}, h("summary", {}, counted(way.differs.length, "difference")), h("ul.plain", {}, way.differs.map(difference))) : null))),
    h("p.note", {}, "A call that is told in several ways counts once: ", h("a", { href: `/ledger?source=${encodeURIComponent(told[0].source ?? "")}` }, "all of it in the ledger"), "."),
  ]
}

const compared = (word, part) => (typeof part === "number" ? `${word} ${share(part)}` : null)

const difference = (found) => h("li", {}, h("code", {}, found.call_id ?? found.session ?? ""), h("span", {}, `${found.what}: ${format.text(found.here)} here, ${format.text(found.record)} in the record`))

