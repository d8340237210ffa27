// What the viewer looks at, as one object that everybody reads, changes and hears of; and as the page's URL.

const OWN = ["window", "tz", "compare", "grain", "as_of", "paused", "theme"]
const DEFAULTS = { tz: "", compare: "previous", grain: "", as_of: "", paused: false, theme: "", filters: [], args: {} }

export class Scope {
  /** `args` names what else a page keeps in its address, such as the flow that is open; in `state.args` by name. */
  constructor(start, { window = "now-1h", url = false, args = [] } = {}) {
    this.defaults = { ...DEFAULTS, window }
    this.args = args
    this.state = { ...this.defaults, ...start }
    this.listeners = new Set()
    this.url = url
    if (url) addEventListener("popstate", () => this.#take(this.#read()))
  }

  on(listener) {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Change some of it. A step back in the browser undoes it, unless `step` is false. */
  set(patch, { step = true } = {}) {
    const before = JSON.stringify(this.state)
    this.state = { ...this.state, ...patch }
    if (JSON.stringify(this.state) === before) return
    if (this.url) history[step ? "pushState" : "replaceState"](null, "", this.href())
    this.#tell(patch)
  }

  href() {
    const query = new URLSearchParams()
    const { filters, args, ...own } = this.state
    if (own.window !== this.defaults.window) query.set("window", own.window)
    for (const f of filters) for (const v of f.values) query.append(f.dim, v)
    for (const name of ["tz", "compare", "grain", "as_of", "theme"]) if (own[name] !== this.defaults[name]) query.set(name, own[name])
    if (own.paused) query.set("paused", "1")
    for (const name of this.args) if (args[name]) query.set(name, args[name])
    const text = query.toString()
    return location.pathname + (text ? `?${text}` : "")
  }

  /** Change what else the page keeps in its address; an empty value takes it out. */
  put(args, options) {
    this.set({ args: { ...this.state.args, ...args } }, options)
  }

  /** Add a value to the filter of its dimension, or take it away when it is there. */
  toggle(dim, value) {
    const old = this.state.filters.find((f) => f.dim === dim)
    const values = old?.values.includes(value) ? old.values.filter((v) => v !== value) : [...(old?.values ?? []), value]
    const others = this.state.filters.filter((f) => f.dim !== dim)
    this.set({ filters: values.length ? [...others, { dim, op: values.length > 1 ? "in" : "is", values }] : others })
  }

  /** The standing request of this scope for a board. */
  request(board, more = {}) {
    const { compare, grain } = this.state
    return { type: "board", board, compare, ...(grain ? { grain } : {}), ...this.question(), ...more }
  }

  /** What every question carries. A time zone goes along only where it changes the answer. */
  question() {
    const { window, tz, filters, as_of } = this.state
    const [from, to = "now"] = window.split(/\s+to\s+/)
    const plain = to === "now" && /^now-\d+[smh]$/.test(from)
    const zone = tz || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"
    return { filters, window: plain ? from : { from, to, tz: zone }, ...(as_of ? { as_of } : {}) }
  }

  #read() {
    const state = { ...this.defaults, filters: [], args: {} }
    const query = new URLSearchParams(location.search)
    for (const name of new Set(query.keys())) {
      const values = query.getAll(name)
      if (this.args.includes(name)) state.args[name] = values.at(-1)
      else if (!OWN.includes(name)) state.filters.push({ dim: name, op: values.length > 1 ? "in" : "is", values })
      else state[name] = name === "paused" ? values[0] === "1" : values.at(-1)
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

const UNIT_S = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 }

/** A window of the form now-A or "now-A to now-B" as [from, to] seconds ago, else null. */
export function relative(window) {
  const parts = /^now-(\d+)([smhdw])(?: to now(?:-(\d+)([smhdw]))?)?$/.exec(window)
  if (!parts) return null
  const to = parts[3] ? parts[3] * UNIT_S[parts[4]] : 0
  return [parts[1] * UNIT_S[parts[2]], to]
}

/** The same span moved by `steps` halves of itself (negative: back in time); never into the future. */
export function panned(window, steps) {
  const span = relative(window)
  if (!span) return window
  const [from, to] = span
  const shift = Math.max(-to, Math.round(((from - to) / 2) * -steps))
  return written(from + shift, to + shift)
}

/** The same end, the span times `factor`, between 10 seconds and 90 days. */
export function zoomed(window, factor) {
  const span = relative(window)
  if (!span) return window
  const [from, to] = span
  return written(to + Math.min(90 * 86400, Math.max(10, Math.round((from - to) * factor))), to)
}

function written(from, to) {
  return `now-${short(from)}` + (to ? ` to now-${short(to)}` : "")
}

function short(seconds) {
  const [unit, size] = Object.entries(UNIT_S).reverse().find(([u, s]) => u !== "w" && seconds % s === 0)
  return `${seconds / size}${unit}`
}
