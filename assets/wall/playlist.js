// The editor of a playlist: boards in their order, how long each stays, over which range, and with the filters that a
// pasted link brought.

import { h, icon, say } from "../dom.js"
import { Scope } from "../scope.js"

const MOST = 24
const RANGES = [["", "Own range"], ["now-5m", "5 minutes"], ["now-15m", "15 minutes"], ["now-1h", "1 hour"], ["now-6h", "6 hours"],
  ["now-24h", "24 hours"], ["now-7d", "7 days"], ["now/d", "Today"]]
const OPS = { is: "=", in: "=", is_not: "≠", not_in: "≠", contains: "contains" }

export class Playlist {
  /** `list` holds the items, `link` is the field for a pasted link, `told` says what is wrong with it. */
  constructor({ list, add, link, told }, boards) {
    Object.assign(this, { list, add, link, told, boards })
    add.addEventListener("click", () => this.#append({}).querySelector("select").focus())
    link.addEventListener("input", () => this.#pasted())
  }

  set(entries) {
    this.list.replaceChildren()
    this.link.value = ""
    say(this.told, "")
    for (const entry of entries) this.#append(entry)
  }

  /** What was chosen, as the API takes it. */
  get() {
    return [...this.list.children].map((line) => line.entry())
  }

  #append(entry) {
    const line = this.#line(entry)
    this.list.append(line)
    this.#counted()
    return line
  }

  /** A place for every item, and ways to move it only where there are any. */
  #counted() {
    const lines = [...this.list.children]
    this.add.disabled = this.link.disabled = lines.length >= MOST
    lines.forEach((line, i) => {
      for (const [name, off] of [["up", i === 0], ["down", i === lines.length - 1], ["out", lines.length === 1]]) {
        line.querySelector(`[data-${name}]`).disabled = off
      }
    })
  }

  #line(entry) {
    const kept = { filters: entry.filters ?? [], compare: entry.compare ?? "previous" }
    const board = select("Board", choices(this.boards.map((b) => [b.name, b.title]), entry.board, (name) => `${name} (gone)`), entry.board)
    const range = select("Range", choices(RANGES, entry.window ?? "", (text) => text), entry.window ?? "")
    const seconds = h("input", { type: "number", min: 5, max: 86400, value: entry.seconds ?? 30, "aria-label": "Seconds that it stays" })
    const button = (name, text, sign, act) => h("button.btn.ghost.square", { type: "button", "aria-label": text, [`data-${name}`]: true, click: act }, sign)
    const chips = h("span.chips-of", { "aria-label": "Filters" })
    const line = h("li.item", {}, board, h("span.time", {}, seconds, " s"), range, h("span.order", {},
      button("up", "Earlier", "↑", () => this.#move(line, -1)), button("down", "Later", "↓", () => this.#move(line, 1)),
      button("out", "Remove this board", icon("cross"), () => this.#remove(line))), chips)
    const filtered = () => {
      chips.replaceChildren(...kept.filters.map((f) => h("span.limited", {}, h("b", {}, f.dim), ` ${OPS[f.op]} ${f.values.map((v) => v ?? "(none)").join(", ")}`,
        h("button", { type: "button", "aria-label": `Remove the filter on ${f.dim}`, click: () => { kept.filters = kept.filters.filter((x) => x !== f); filtered(); board.focus() } }, icon("cross")))))
      chips.hidden = kept.filters.length === 0
    }
    filtered()
    line.entry = () => ({ board: board.value, seconds: Number(seconds.value), window: range.value || null, ...kept })
    return line
  }

  #move(line, by) {
    if (by < 0) line.previousElementSibling.before(line)
    else line.nextElementSibling.after(line)
    this.#counted()
    const name = by < 0 ? "up" : "down"
    const button = line.querySelector(`[data-${name}]`)
    ;(button.disabled ? line.querySelector(`[data-${name === "up" ? "down" : "up"}]`) : button).focus()
  }

  #remove(line) {
    const next = line.nextElementSibling ?? line.previousElementSibling
    line.remove()
    this.#counted()
    next.querySelector("select").focus()
  }

  #pasted() {
    const found = linked(this.link.value, this.boards)
    say(this.told, this.link.value.trim() && !found ? "This is no link to a board of this server." : "")
    if (!found) return
    this.link.value = ""
    this.#append(found)
  }
}

/** The item that the address of a board stands for; null where it is none. */
export function linked(text, boards) {
  let url
  try { url = new URL(text.trim(), location.href) } catch { return null }
  const name = url.pathname === "/board" ? url.searchParams.get("board") : url.pathname.slice(1)
  const board = boards.find((b) => b.name === name)
  if (!board || !text.includes("/")) return null
  const { window, filters, compare } = new Scope({}, { window: "", args: url.pathname === "/board" ? ["board"] : [] }).read(url.search)
  return { board: name, window: window || null, filters, compare }
}

const select = (label, options, value) => {
  const made = h("select", { "aria-label": label }, options.map(([v, text]) => h("option", { value: v }, text)))
  if (value !== undefined) made.value = value
  return made
}

/** Options with the present value among them, also where it is no usual one. */
const choices = (known, value, named) => (!value || known.some(([v]) => v === value) ? known : [...known, [value, named(value)]])
