// Rows of a table: an element per row key, cells written in place. Of many rows only those in sight are in the page.

import { arrange, h, mark, say } from "./dom.js"

export const NOTHING = "No rows in this window"
const ALL = 120 // rows that are simply there
const SPARE = 12 // rows above and below those in sight

/**
 * A table in `body`; gives back write(fields, keys, cell): fields are {name, title, number}, a key names a row over
 * time, cell(td, field, row) fills one cell. `picked(row, event)`, where given, hears of clicks on a row.
 */
export function grid(body, caption, { picked } = {}) {
  const header = h("tr")
  const above = h("tr.pad", { "aria-hidden": "true" }, h("td"))
  const below = h("tr.pad", { "aria-hidden": "true" }, h("td"))
  const rows = h("tbody")
  const table = h("table", {}, h("thead", {}, header), rows)
  const scroll = h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption }, table)
  const known = new Map()
  let shown = null
  const nothing = h("p.rowless", { hidden: true }, NOTHING)
  body.append(scroll, nothing)
  scroll.addEventListener("scroll", () => { if (shown?.windowed) requestAnimationFrame(() => draw()) }, { passive: true })
  if (picked) rows.addEventListener("click", (event) => {
    const line = event.target.closest("tr")
    if (line?.row !== undefined && !event.target.closest("a") && !getSelection()?.toString()) picked(line.row, event)
  })

  const line = (i) => {
    const { fields, keys, cell, first } = shown
    if (!known.has(keys[i])) known.set(keys[i], h("tr", { class: first || shown.windowed ? null : "new" }, fields.map((f) => h("td", { class: f.number ? "n" : null }))))
    const found = known.get(keys[i])
    found.row = i
    if (shown.windowed) mark(found, "aria-rowindex", i + 2)
    fields.forEach((field, j) => cell(found.children[j], field, i))
    return found
  }

  const draw = () => {
    const { keys, windowed } = shown
    if (!windowed) return arrange(rows, keys.map((_, i) => line(i)))
    const high = shown.high ||= measure()
    const from = Math.max(0, Math.min(keys.length - 1, Math.floor(scroll.scrollTop / high) - SPARE))
    const to = Math.min(keys.length, from + Math.ceil(scroll.clientHeight / high) + 2 * SPARE)
    above.style.height = `${from * high}px`
    below.style.height = `${(keys.length - to) * high}px`
    arrange(rows, [above, ...Array.from({ length: to - from }, (_, i) => line(from + i)), below])
  }

  /** The height of a row, and the widths of the columns, which then stay while rows come and go. */
  const measure = () => {
    arrange(rows, Array.from({ length: Math.min(60, shown.keys.length) }, (_, i) => line(i)))
    const widths = [...header.children].map((cell) => cell.offsetWidth)
    const high = rows.firstElementChild.offsetHeight
    ;[...header.children].forEach((cell, i) => { cell.style.width = `${widths[i]}px` })
    table.style.tableLayout = "fixed"
    return high || 33
  }

  const forget = () => {
    known.clear()
    rows.replaceChildren()
    table.style.tableLayout = ""
  }

  return (fields, keys, cell) => {
    const windowed = keys.length > ALL
    nothing.hidden = keys.length > 0
    const titles = fields.map((f) => f.title)
    if (header.children.length !== fields.length || titles.some((t, i) => header.children[i].textContent !== t) || Boolean(shown?.windowed) !== windowed) {
      header.replaceChildren(...fields.map((f) => h("th", { scope: "col", class: f.number ? "n" : null }, f.title)))
      forget()
      shown = null
    }
    mark(scroll, "data-windowed", windowed ? "" : null)
    mark(table, "aria-rowcount", windowed ? keys.length + 1 : null)
    const first = known.size === 0
    for (const old of rows.children) if (old.className === "new") old.className = ""
    shown = { fields, keys, cell, first, windowed, high: shown?.high }
    draw()
    if (known.size > 3 * rows.children.length + 50) for (const [key, old] of known) if (!old.isConnected) known.delete(key)
  }
}

/** The button of a cell whose value, `filter` = [dimension, value], can be filtered by; its caller writes the words. */
export function choice(cell, filter, board) {
  let button = cell.firstElementChild
  if (button?.tagName !== "BUTTON") {
    button = h("button.pick", { type: "button", click: (event) => { event.stopPropagation(); board.toggle(...button.filter) } })
    cell.replaceChildren(button)
  }
  button.filter = filter
  mark(button, "aria-pressed", String(board.filtered(...filter)))
  mark(button, "data-tip", `${filter[1] ?? "(none)"}\n${board.filterTip(...filter)}`)
  return button
}

/** The name of a dimension over its column; what stands before a dot is the file it was declared in. */
export function heading(name) {
  const words = name.split(".").at(-1).replace(/_/g, " ")
  return words.charAt(0).toUpperCase() + words.slice(1)
}
