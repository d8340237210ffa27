// The filter picker: first a dimension, then what to do with its values. Every choice counts at once; all of them
// in one picker are one step to undo.

import { chooser } from "./chooser.js"
import { h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { MAX_FILTERS, MAX_VALUES } from "./scope.js"

const OPERATORS = [["is", "is"], ["is_not", "is not"], ["contains", "contains"]]
const SHOWN = 60

/** Fill `box` with the picker; `start` is the filter to edit, if any. Returns what takes the focus. */
export function picker(box, { scope, feed, dimensions, start = null, close, moved }) {
  const put = (...content) => { box.replaceChildren(...content); moved?.() }
  return start ? values(start.dim, start) : names()

  function names() {
    const full = scope.state.filters.length >= MAX_FILTERS
    const list = chooser({
      label: "Filter by", hint: "Filter by…",
      find: async (text) => {
        const all = await dimensions()
        const found = all.filter((d) => `${d.name} ${d.title} ${d.description}`.toLowerCase().includes(text.toLowerCase()))
          .sort((a, b) => begins(b, text) - begins(a, text))
        return { options: found.map((d) => ({ key: d.name, text: d.title || d.name, more: d.description })), first: text ? 0 : -1,
          note: full ? `${MAX_FILTERS} filters are the most` : found.length ? "" : "No dimension is called that" }
      },
      choose: ({ key }) => values(key, scope.kept(key) ?? null),
    })
    put(list.element)
    list.field.focus()
    return list.field
  }

  function values(dim, current) {
    let op = current ? plainOp(current.op) : "is"
    let chosen = [...(current?.values ?? [])]
    let touched = false
    const declared = dimensions.known?.find((d) => d.name === dim)
    const shown = (value) => spelled(value, declared)

    const apply = () => {
      const fresh = chosen.length ? { dim, op, values: chosen } : null
      const before = scope.state
      scope.swap(current, fresh, { step: !touched })
      touched ||= JSON.stringify(scope.state) !== JSON.stringify(before)
      const { filters } = scope.state
      current = fresh && (filters.find((f) => f.dim === dim && plainOp(f.op) === op && String(f.values) === String(chosen)) ?? null)
      say(clear, chosen.length ? "Clear" : "")
      moved?.()
    }

    const find = async (text) => {
      const others = scope.state.filters.filter((f) => f !== current)
      const { analytics } = await feed.question({ type: "values", dim, search: text, limit: SHOWN, ...scope.question(), filters: others })
      const found = analytics.values.map(({ value, n }) => ({ value: value === null ? null : String(value), n }))
      const most = Math.max(1, ...found.map((v) => v.n))
      const option = ({ value, n }) => ({ key: `v${value}`, value, text: shown(value), n: format.text(n), share: n / most, on: op !== "contains" && chosen.includes(value) })
      const typed = text && { key: "typed", value: text, text: `${OPERATORS.find(([o]) => o === op)[1]} “${text}”` }
      const counted = `${format.text(analytics.distinct)} value${analytics.distinct === 1 ? "" : "s"}`
      const note = !found.length ? (text ? "No value in this window has that in it" : "No values in this window")
        : analytics.distinct > found.length ? `${found.length} of ${counted}, most frequent first` : `${counted}, most frequent first`
      if (op === "contains") {
        const now = chosen[0] && !text ? [{ key: "now", value: chosen[0], text: `contains “${chosen[0]}”`, on: true }] : []
        const matching = found.map((v) => ({ ...option(v), off: text ? "contained in the filter" : "type what it must contain" }))
        return { options: [...(typed ? [{ ...typed, on: chosen.includes(text) }] : now), ...matching], first: text ? 0 : -1, note: text ? note : "Type what the value must contain" }
      }
      const gone = text ? [] : chosen.filter((value) => !found.some((v) => v.value === value)).map((value) => ({ key: `v${value}`, value, text: shown(value), n: "not seen", share: 0, on: true }))
      const extra = typed && !found.some((v) => v.value === text) ? [{ ...typed, on: chosen.includes(text) }] : []
      return { options: [...gone, ...found.map(option), ...extra], first: text ? 0 : -1, note }
    }

    const choose = ({ key, value }) => {
      if (op === "contains") chosen = chosen.includes(value) ? [] : [value]
      else if (chosen.includes(value)) chosen = chosen.filter((v) => v !== value)
      else if (chosen.length < MAX_VALUES) chosen = [...chosen, value]
      apply()
      if (key === "typed" || key === "now") list.field.value = ""
      list.refresh()
    }

    const list = chooser({ label: `Values of ${declared?.title || dim}`, hint: "Search or type a value", find, choose, multi: true })
    const clear = h("button.link", { type: "button", click: () => { chosen = []; apply(); list.refresh(); list.field.focus() } }, chosen.length ? "Clear" : "")
    const operators = segments("How to filter", OPERATORS, op, (next) => {
      if (next === "contains") chosen = chosen.filter((v) => v !== null).slice(0, 1)
      op = next
      if (chosen.length || current) apply()
      list.refresh()
    })
    put(h("div.steps", {},
      h("button.btn.ghost.square.small", { type: "button", "aria-label": "Another dimension", click: names }, icon("left")),
      h("b", {}, declared?.title || dim), operators), list.element,
    h("div.ends", {}, clear, h("button.btn.small", { type: "button", click: () => close() }, "Done")))
    list.field.focus()
    return list.field
  }
}

/** A value as people read it; of binned numbers it is where the bin starts. */
export const spelled = (value, declared) => (value === null ? "(none)" : declared?.log ? `from ${format.text(Number(value), declared.unit)}` : value)

const begins = (dimension, text) => Number(text !== "" && (dimension.title || dimension.name).toLowerCase().startsWith(text.toLowerCase()))

/** The three ways that a person knows, whatever the number of values. */
export const plainOp = (op) => ({ in: "is", not_in: "is_not" })[op] ?? op

/** A row of choices of which one is on: arrows move, as in a radio group. */
export function segments(label, choices, on, chosen) {
  const buttons = choices.map(([value, text]) => h("button", { type: "button", role: "radio", "data-value": value, click: () => pick(value) }, text))
  const show = (value) => buttons.forEach((b) => { mark(b, "aria-checked", String(b.dataset.value === value)); mark(b, "tabindex", b.dataset.value === value ? "0" : "-1") })
  const pick = (value) => { show(value); chosen(value) }
  const walk = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length]
    next.focus()
    pick(next.dataset.value)
  }
  show(on)
  return h("div.segments", { role: "radiogroup", "aria-label": label, keydown: walk }, buttons)
}
