// What was understood, as chips that can be changed: metric, group, filters, window, comparison. Each change gives a new
// typed request, which needs no words any more.

import { chooser } from "./chooser.js"
import { h, icon, mark, say } from "./dom.js"
import { filters } from "./filters.js"
import { popover } from "./menus.js"
import { compares, range } from "./range.js"
import { Scope } from "./scope.js"
import * as times from "./times.js"
import { metricTitle } from "./views/question.js"
import { filterWords, lowered, short } from "./why_words.js"
import { BASELINES, full, written } from "./why_request.js"

const COMPARED = { previous: "the period before", day: "the same time yesterday", week: "the same time last week" }
const LONG_MS = 600_000 // of a longer window the seconds say nothing
const METERED = new Set(["query", "explain", "forecast"])

export class Understood {
  /** `scope` is the page's; `changed(request)` hears of each change. */
  constructor({ request, words, scope, feed, changed }) {
    Object.assign(this, { request, words, feed })
    const { compare, baseline } = request
    const against = compare ?? (typeof baseline === "string" ? baseline : request.type === "explain" ? "previous" : "off")
    this.scope = new Scope({ ...scope.state, args: {}, paused: false, window: written(request.window) || scope.state.window, filters: (request.filters ?? []).map(full), compare: against })
    this.scope.offset = scope.offset
    this.element = h("div.understood", { role: "group", "aria-label": "What was understood" })
    this.tell = () => { this.#show(); changed(this.#asked()) }
    this.#build()
    this.scope.on(() => this.tell())
  }

  /** Without a window of its own a forecast looks back as far as it needs. */
  get #windowed() { return this.request.type !== "forecast" || Boolean(this.request.window) }

  get metrics() { return this.request.metrics ?? (this.request.metric ? [this.request.metric] : []) }

  /** The request as the chips have it now. */
  #asked() {
    const { compare, baseline, filters: was, window, as_of, ...rest } = this.request
    const { compare: now } = this.scope.state
    const against = this.request.type === "explain" ? { baseline: typeof baseline === "object" && now === "previous" ? baseline : BASELINES.includes(now) ? now : "previous" } : now !== "off" ? { compare: now } : {}
    const { window: here, ...others } = this.scope.question()
    return { ...rest, ...others, ...(this.#windowed ? { window: here } : {}), ...(METERED.has(rest.type) && rest.type !== "forecast" ? against : {}) }
  }

  #set(patch) {
    this.request = { ...this.request, ...patch }
    this.tell()
  }

  #build() {
    const { type } = this.request
    const parts = []
    if (METERED.has(type)) parts.push(this.#metric())
    if (type === "query") parts.push(this.#group())
    const chips = h("span.chips")
    const add = h("button.btn.ghost.small.add", { type: "button" }, "+ Filter")
    const note = h("p.nothing", { role: "status", hidden: true })
    parts.push(chips, add)
    this.window = pill("Time range")
    range(this.window, this.scope)
    if (this.#windowed) parts.push(this.window)
    if (type === "explain" || (type === "query" && !this.request.grain)) { // of a course it would be a second line
      const button = h("button.btn.small.pill", { type: "button" }, h("b.aside-of", { "aria-hidden": "true" }, "↔"), h("span"))
      this.compared = compares(button, this.scope, () => null)
      parts.push(button)
    }
    this.element.replaceChildren(...parts, note)
    filters({ holder: chips, button: add, note }, this.scope, this.feed, () => this.#dataset())
    this.#show()
  }

  #dataset() { return this.words?.metrics.get(this.metrics[0])?.dataset ?? this.request.dataset ?? "events" }

  #metric() {
    this.metric = pill("Metric")
    popover(this.metric, { kind: "picker", label: () => "Metric", fill: (box, close) => {
      const list = chooser({
        label: "Metrics", hint: "Search metrics",
        find: (text) => {
          const wanted = text.toLowerCase().split(/\s+/).filter(Boolean)
          const found = [...(this.words?.metrics.values() ?? [])].filter((m) => wanted.every((w) => `${m.title} ${m.name} ${m.description}`.toLowerCase().includes(w)))
            .sort((a, b) => (b.dataset === this.#dataset()) - (a.dataset === this.#dataset()))
          return { options: found.slice(0, 80).map((m) => ({ key: m.name, text: metricTitle(m), more: m.description, on: this.metrics.includes(m.name) })), first: text ? 0 : -1, note: found.length ? "" : "No metric is called that" }
        },
        choose: ({ key }) => { close(); this.#set(this.request.type === "query" ? { metrics: [key] } : { metric: key }) },
      })
      box.append(list.element)
      return list.field
    } })
    return this.metric
  }

  #group() {
    const edit = pill("Group by")
    const cross = h("button.cross-out", { type: "button", "aria-label": "Do not group", click: () => { this.#set({ group_by: [] }); edit.focus() } }, icon("cross"))
    this.by = { edit, cross }
    popover(edit, { kind: "picker", label: () => "Group by", fill: (box, close) => {
      const list = chooser({
        label: "Group by", hint: "Search dimensions",
        find: (text) => {
          const dims = (this.words?.dims(this.#dataset()) ?? []).filter((d) => !d.log && `${d.title} ${d.name}`.toLowerCase().includes(text.toLowerCase()))
          return { options: dims.map((d) => ({ key: d.name, text: d.title || d.name, more: d.description, on: this.request.group_by?.includes(d.name) })), first: text ? 0 : -1, note: dims.length ? "" : "No dimension is called that" }
        },
        choose: ({ key }) => { close(); this.#set({ group_by: [key] }) },
      })
      box.append(list.element)
      return list.field
    } })
    return h("span.pill-of", {}, edit, cross)
  }

  #show() {
    const { window, tz } = this.scope.state
    if (this.metric) {
      const named = this.metrics.map((name) => titled(this.words, name))
      say(this.metric.firstChild, named.length > 1 ? `${named[0]} + ${named.length - 1}` : named[0] ?? "Choose a metric")
      mark(this.metric, "aria-label", `Metric: ${named.join(", ")}`)
    }
    if (this.by) {
      const groups = this.request.group_by ?? []
      say(this.by.edit.firstChild, groups.length ? `by ${groups.map(short).join(", ")}` : "+ Group")
      mark(this.by.edit, groups.length ? "data-on" : "data-off", "")
      mark(this.by.edit, groups.length ? "data-off" : "data-on", null)
      mark(this.by.edit, "aria-label", groups.length ? `Grouped by ${groups.join(", ")}` : "Group by")
      this.by.cross.hidden = !groups.length
    }
    const range = ranged(window, this.scope.now(), tz)
    say(this.window.firstChild, range)
    mark(this.window, "aria-label", `Time range: ${range}`)
    this.compared?.show()
  }
}

/** A window as people say it; one that goes on until now by where it began. */
function ranged(window, now, tz) {
  const said = times.said(window, now, tz)
  if (!said.includes(" – ")) return said
  const { from, to } = times.resolve(window, now, tz)
  const step = to - from >= LONG_MS ? 60_000 : 1000
  const words = times.between(Math.round(from / step) * step, Math.round(to / step) * step, now, tz)
  return times.ends(window)[1] === "now" ? `Since ${words.split(" – ")[0].trim()}` : words
}

const pill = (label) => h("button.btn.small.pill", { type: "button", "aria-label": label }, h("span"), h("b.caret", { "aria-hidden": "true" }))

export const titled = (words, name) => words?.metrics.get(name)?.title ?? name

/** A typed request in words, as the server says what it understood. */
export function saidOf(request, words, scope) {
  const metrics = request.metrics ?? (request.metric ? [request.metric] : [])
  const named = metrics.map((name) => titled(words, name)).join(", ")
  const what = { query: named, explain: `why ${lowered(named)} changed`, forecast: `forecast of ${lowered(named)}`, flows: "flows" }[request.type] ?? request.type.replaceAll("_", " ")
  const groups = request.group_by ?? []
  const where = (request.filters ?? []).map((f) => filterWords(full(f)))
  const window = request.window ? lowered(ranged(written(request.window), scope.now(), scope.state.tz)) : ""
  const against = request.compare ?? (typeof request.baseline === "string" ? request.baseline : "")
  return [what, groups.length && `by ${groups.map(short).join(" and ")}`, where.length && `where ${where.join(" and ")}`, window, against && `compared with ${COMPARED[against] ?? against}`].filter(Boolean).join(", ")
}
