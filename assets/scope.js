// What the viewer looks at, as one object that everybody reads, changes and hears of; and as the page's URL.
// dashboard/scope.py reads and writes the same addresses; both are held to tests/unit/scope_cases.json.

import { Steps } from "./history.js"
import * as times from "./times.js"

export { panned, relative, zoomed } from "./times.js"

const OWN = ["window", "tz", "compare", "grain", "as_of", "paused", "theme"]
const DEFAULTS = { tz: "", compare: "previous", grain: "", as_of: "", paused: false, theme: "", filters: [], args: {} }
const MARKS = { is_not: "!", not_in: "!", contains: "~" } // after the dimension's name, in the address
export const MAX_FILTERS = 12
export const MAX_VALUES = 50

export class Scope {
  /** `args` names what else a page keeps in its address, such as the flow that is open; in `state.args` by name. */
  constructor(start, { window = "now-1h", url = false, args = [] } = {}) {
    this.defaults = { ...DEFAULTS, window }
    this.args = args
    this.state = { ...this.defaults, ...start }
    this.listeners = new Set()
    this.offset = 0 // of the server's clock from ours, in ms
    if (url) this.steps = new Steps(() => this.#take(this.read(location.search)))
  }

  on(listener) {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Change some of it. Undo, or a step back in the browser, takes it back, unless `step` is false. */
  set(patch, { step = true } = {}) {
    const before = JSON.stringify(this.state)
    this.state = { ...this.state, ...patch }
    if ("window" in patch && !("grain" in patch) && !this.fits(this.state.grain)) this.state.grain = ""
    if (JSON.stringify(this.state) === before) return
    if (step) this.steps?.push(this.href())
    else this.steps?.replace(this.href())
    this.#tell(patch)
  }

  undo() { this.steps?.go(-1) }

  redo() { this.steps?.go(1) }

  get canUndo() { return this.steps?.canUndo ?? false }

  get canRedo() { return this.steps?.canRedo ?? false }

  /** The address of this scope with some of it changed. */
  href(patch = {}, path = location.pathname) {
    const text = this.query({ ...this.state, ...patch })
    return path + (text ? `?${text}` : "")
  }

  /** What differs from the defaults, in a fixed order. */
  query({ filters, args, ...own } = this.state) {
    const pairs = own.window !== this.defaults.window ? [["window", own.window]] : []
    for (const f of filters) for (const v of f.values) pairs.push([f.dim + (MARKS[f.op] ?? ""), v ?? ""])
    for (const name of ["tz", "compare", "grain", "as_of", "theme"]) if (own[name] !== this.defaults[name]) pairs.push([name, own[name]])
    if (own.paused) pairs.push(["paused", "1"])
    for (const name of this.args) if (args[name]) pairs.push([name, args[name]])
    return pairs.map((pair) => pair.map(plain).join("=")).join("&")
  }

  /** Change what else the page keeps in its address; an empty value takes it out. */
  put(args, options) {
    this.set({ args: { ...this.state.args, ...args } }, options)
  }

  /** Add a value to the filter of its dimension, or take it away when it is there. */
  toggle(dim, value) {
    const old = this.kept(dim)
    const said = value === null ? null : String(value)
    const values = old?.values.includes(said) ? old.values.filter((v) => v !== said) : [...(old?.values ?? []), said].slice(-MAX_VALUES)
    this.swap(old, { dim, op: "is", values })
  }

  /** The filter that keeps values of a dimension, if there is one. */
  kept(dim) {
    return this.state.filters.find((f) => f.dim === dim && (f.op === "is" || f.op === "in"))
  }

  /** Whether a value of a dimension is kept by name. */
  has(dim, value) {
    return this.kept(dim)?.values.includes(value === null ? null : String(value)) ?? false
  }

  /** Put a filter in the place of another; without values it only goes, without another it only comes. */
  swap(old, fresh, options) {
    const filters = [...this.state.filters]
    const place = old ? filters.indexOf(old) : filters.length
    if (place < 0 || (!old && filters.length >= MAX_FILTERS)) return
    filters.splice(place, 1, ...(fresh?.values.length ? [{ ...fresh, op: numbered(fresh.op, fresh.values.length) }] : []))
    this.set({ filters }, options)
  }

  /** The present: the server's, or the past moment that the screen is of. */
  now() {
    return (this.state.as_of && Date.parse(this.state.as_of)) || Date.now() + this.offset
  }

  /** The window as {from, to} in ms, or null where it means nothing. */
  span(window = this.state.window) {
    return times.tried(window, this.now(), this.state.tz)
  }

  fits(grain, window = this.state.window) {
    const span = this.span(window)
    return !span || times.fits(grain, (span.to - span.from) / 1000)
  }

  /** Move the window by so many halves of itself. */
  pan(steps) {
    this.set({ window: times.panned(this.state.window, steps, this.now(), this.state.tz) })
  }

  /** Make the window so many times as long. */
  zoom(factor) {
    this.set({ window: times.zoomed(this.state.window, factor, this.now(), this.state.tz) })
  }

  /** The standing request of this scope for a board. */
  request(board, more = {}) {
    const { compare, grain } = this.state
    return { type: "board", board, compare, ...(grain ? { grain } : {}), ...this.question(), ...more }
  }

  /** What every question carries. A time zone goes along only where it changes the answer. */
  question() {
    const { window, tz, filters, as_of } = this.state
    const [from, to] = times.ends(window)
    const plain = to === "now" && /^now-\d+[smh]$/.test(from)
    return { filters, window: plain ? from : { from, to, tz: times.zone(tz) }, ...(as_of ? { as_of } : {}) }
  }

  /** The state that an address's query tells. */
  read(text) {
    const query = new URLSearchParams(text)
    const state = { ...this.defaults, filters: [], args: {} }
    for (const name of new Set(query.keys())) {
      const values = query.getAll(name)
      if (this.args.includes(name)) state.args[name] = values.at(-1)
      else if (!OWN.includes(name)) state.filters.push(...filtersOf(name, values))
      else state[name] = name === "paused" ? values.at(-1) === "1" : values.at(-1)
    }
    return state
  }

  #take(state) {
    this.state = state
    this.#tell(state)
  }

  #tell(patch) {
    for (const listener of this.listeners) listener(this.state, patch)
  }
}

/** The operator that goes with so many values. */
function numbered(op, count) {
  if (op === "contains") return op
  const not = op === "is_not" || op === "not_in"
  return count > 1 ? (not ? "not_in" : "in") : not ? "is_not" : "is"
}

/** What one name of the address filters by: `agent`, `agent!` or `agent~`; an empty value is "(none)". */
export function filtersOf(name, values) {
  const kept = [...new Set(values)].map((v) => v || null)
  if (name.endsWith("~")) return kept.filter((v) => v !== null).map((v) => ({ dim: name.slice(0, -1), op: "contains", values: [v] }))
  const dim = name.replace(/!$/, "")
  return [{ dim, op: numbered(name === dim ? "is" : "is_not", kept.length), values: kept }]
}

/** Text in an address, with as few marks as may be, so that people can read it. */
const plain = (text) => encodeURIComponent(String(text).toWellFormed?.() ?? text).replace(/%20/g, "+").replace(/%3A/g, ":").replace(/%2F/g, "/").replace(/%2C/g, ",")
