// Tiles that are text and small drawings. Each entry of TILES makes {update(head, columns)} inside a body element.
// `board` gives what is common: {previous_label, tz, toggle(dim, value), filtered(dim, value)}.

import { arrange, h, icon, mark, say, svg } from "./dom.js"
import * as format from "./format.js"

/** Which way a change counts: "good" or "bad" where the metric has a direction and the change is worth a word. */
export function tone(change, kind, good) {
  const quiet = { relative: 0.02, pp: 0.001, absolute: 0 }[kind] ?? 0
  if (typeof change !== "number" || Math.abs(change) <= quiet || (good !== "up" && good !== "down")) return "none"
  return (change > 0) === (good === "up") ? "good" : "bad"
}

function kpi(tile, body, board) {
  const number = h("span")
  const unit = h("small")
  const value = h("div.value", {}, number, unit)
  const change = h("b")
  const versus = h("span")
  const path = svg("path", { class: "spark-line" })
  const area = svg("path", { class: "spark-area" })
  const spark = svg("svg.spark", { viewBox: "0 0 160 40", preserveAspectRatio: "none", "aria-hidden": "true" }, area, path)
  body.append(value, h("div.delta", {}, change, versus), spark)
  return {
    update(head, columns) {
      const [text, suffix] = format.value(head.value, head.unit, head.per)
      say(number, text)
      say(unit, suffix.trim())
      mark(value, "data-tip", [format.exact(head.value, head.unit, head.per), head.description].filter(Boolean).join("\n"))
      const way = tone(head.change, head.change_kind, head.good)
      const compared = head.previous !== null && head.previous !== undefined
      say(change, compared ? format.change(head.change, head.change_kind) : "")
      mark(change, "class", way)
      say(versus, compared ? `vs ${board.previous_label.replace("minutes", "min")}` : "")
      mark(spark, "data-tone", way === "bad" ? "bad" : null)
      const line = sparkline(columns.v ?? [])
      mark(path, "d", line)
      mark(area, "d", line.includes("M") ? closed(line) : "")
    },
  }
}

/** A path through the known values, broken where values are unknown, in a box of 160 x 40. */
function sparkline(values) {
  const known = values.filter((v) => typeof v === "number")
  if (known.length < 2) return ""
  const low = Math.min(...known)
  const high = Math.max(...known)
  // a flat line sits in the middle, and noise of a hundredth is not blown up to a mountain range
  const span = Math.max(high - low, Math.abs(high) * 0.05, 1e-12)
  const middle = (high + low) / 2
  let pen = "M"
  return values.map((v, i) => {
    if (typeof v !== "number") { pen = "M"; return "" }
    const point = `${pen}${((i * 160) / (values.length - 1)).toFixed(1)},${(20 - ((v - middle) / span) * 30).toFixed(1)}`
    pen = "L"
    return point
  }).join("")
}

const closed = (line) => line.split("M").slice(1).map((part) => {
  const points = part.split("L")
  return `M${points[0].split(",")[0]},40L${points.join("L")}L${points.at(-1).split(",")[0]},40Z`
}).join("")

function bars(tile, body, board) {
  const list = h("ol.rank", { style: `--bar:var(--c${tile.color})` })
  body.append(list)
  const rows = new Map()
  const row = (label) => {
    const name = h("span.name")
    const fill = h("u")
    const value = h("em")
    const change = h("s")
    const button = h("button.bar", { type: "button" }, name, h("span.track", {}, fill), value, change)
    button.addEventListener("click", () => { if (!button.hasAttribute("aria-disabled")) board.toggle(button.dim, button.label) })
    return { item: h("li", {}, button), button, name, fill, value, change, label }
  }
  return {
    update(head, columns) {
      const items = (columns.label ?? []).map((label, i) => {
        const key = JSON.stringify(label)
        if (!rows.has(key)) rows.set(key, row(label))
        const r = rows.get(key)
        const shown = label ?? "(none)"
        const folded = head.other && i === columns.label.length - 1
        say(r.name, shown)
        mark(r.name, "title", shown)
        r.fill.style.width = `${head.max ? Math.max(0, Math.min(100, (100 * Math.abs(columns.value[i] ?? 0)) / head.max)) : 0}%`
        say(r.value, format.text(columns.value[i], head.unit, null))
        const change = columns.change?.[i] ?? null
        const kind = columns.kind?.[i] ?? "relative"
        say(r.change, change === null ? (columns.previous?.[i] === null ? "" : format.DASH) : format.change(change, kind))
        mark(r.change, "class", tone(change, kind, head.good))
        r.button.dim = head.by
        r.button.label = label
        const fixed = label === null || folded || !board.toggle
        mark(r.button, "aria-disabled", fixed ? "true" : null)
        mark(r.button, "aria-pressed", fixed ? null : String(board.filtered(head.by, label)))
        mark(r.button, "data-tip", [
          `${shown}: ${format.exact(columns.value[i], head.unit, head.per)}`,
          columns.previous?.[i] === null || !columns.previous ? "" : `${board.previous_label}: ${format.exact(columns.previous[i], head.unit, head.per)}`,
        ].filter(Boolean).join("\n"))
        return r.item
      })
      arrange(list, items)
      if (rows.size > 200) for (const [key, r] of rows) if (!r.item.isConnected) rows.delete(key)
    },
  }
}

/** Rows of a table: an element per row key, cells written in place. */
function grid(body, caption) {
  const header = h("tr")
  const rows = h("tbody")
  const known = new Map()
  body.append(h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("thead", {}, header), rows)))
  return (fields, keys, cell) => {
    if (header.children.length !== fields.length || fields.some((f, i) => header.children[i].textContent !== f.title)) {
      header.replaceChildren(...fields.map((f) => h("th", { scope: "col", class: f.number ? "n" : null }, f.title)))
      known.clear()
    }
    const first = known.size === 0
    for (const line of rows.children) if (line.className) line.className = ""
    arrange(rows, keys.map((key, i) => {
      if (!known.has(key)) known.set(key, h("tr", { class: first ? null : "new" }, fields.map((f) => h("td", { class: f.number ? "n" : null }))))
      const line = known.get(key)
      fields.forEach((field, j) => cell(line.children[j], field, i))
      return line
    }))
    if (known.size > 3 * keys.length + 50) for (const [key, line] of known) if (!line.isConnected) known.delete(key)
  }
}

function table(tile, body) {
  const write = grid(body, tile.title)
  return {
    update(head, columns) {
      const labels = head.by.map((name) => ({ name, title: name.replace(/_/g, " "), label: true }))
      const fields = [...labels, ...head.fields.map((f) => ({ ...f, number: true }))]
      const keys = (columns[head.by[0]] ?? []).map((_, i) => JSON.stringify(head.by.map((b) => columns[b][i])))
      write(fields, keys, (cell, field, i) => {
        const v = columns[field.name]?.[i] ?? null
        say(cell, field.label ? v ?? "(none)" : format.text(v, field.unit, field.per))
        if (!field.label) mark(cell, "data-tip", format.exact(v, field.unit, field.per))
      })
    },
  }
}

function latest(tile, body, board) {
  const write = grid(body, tile.title)
  return {
    update(head, columns) {
      const numeric = (f) => f.unit !== "" && f.unit !== "time"
      const fields = head.fields.map((f) => ({ ...f, number: numeric(f) }))
      write(fields, (columns.id ?? []).map((id, i) => id ?? `row ${i}`), (cell, field, i) => {
        const v = columns[field.name]?.[i] ?? null
        if (v === null) say(cell, format.DASH)
        else if (field.unit === "time") {
          say(cell, format.clock(v, board.tz, "second"))
          mark(cell, "data-tip", format.clock(v, board.tz, "full"))
        } else if (field.name === "status") status(cell, String(v))
        else say(cell, field.number && typeof v === "number" ? format.text(v, field.unit) : String(v))
        if (field.number) mark(cell, "data-tip", format.exact(v, field.unit))
      })
    },
  }
}

function status(cell, word) {
  if (cell.textContent === word) return
  const bad = word === "error"
  cell.replaceChildren(h("span.status", { class: `status ${bad ? "bad" : word === "ok" ? "good" : "none"}` }, icon(bad ? "warn" : "check"), word))
}

function changes(tile, body, board) {
  const list = h("div.changes")
  const sentence = h("span")
  const quiet = h("p.quiet", {}, icon("check"), sentence)
  body.append(list, quiet)
  let shown = ""
  return {
    update(head) {
      const items = head.items ?? []
      quiet.hidden = items.length > 0
      say(sentence, head.quiet ?? "")
      quiet.firstElementChild.style.display = head.compared === false ? "none" : ""
      const now = JSON.stringify(items)
      if (now === shown) return
      shown = now
      list.replaceChildren(...items.map((item) => h("article.change", {},
        h("p", {}, (item.text ?? []).map((part) => part.b || (part.tone && part.tone !== "none")
          ? h("b", { class: part.tone && part.tone !== "none" ? part.tone : null }, part.t) : part.t)),
        item.shares?.length ? shares(item) : null,
        h("div.meta", {}, ring(item.confidence), confidence(item.confidence),
          item.note ? ` · ${item.note}` : ""))))
    },
  }
}

/** The stacked bar of an explanation; its label says the same in words. */
function shares(item) {
  const words = item.shares.map((s) => `${s.label} ${format.text(s.share, "percent")}`).join(", ")
  const roles = [item.tone === "good" ? "good" : item.tone === "bad" ? "bad" : "c1", "c2", "c5", "c4", "c3"]
  return h("div.shares", { role: "img", "aria-label": words, "data-tip": words.replaceAll(", ", "\n") },
    item.shares.map((s, i) => h("span", { style: `width:${Math.max(0, Math.min(1, s.share)) * 100}%;background:var(--${roles[i % roles.length]})` })))
}

/** Two decimals, and never 1.00 for what is not certain. */
export const confidence = (c) => typeof c === "number" ? (c < 1 ? Math.min(c, 0.99) : 1).toFixed(2) : format.DASH

/** How far to trust it, as a ring: full and green, or open and warmer. */
export function ring(c) {
  const known = typeof c === "number"
  const colour = !known ? "faint" : c > 0.9 ? "good" : c > 0.6 ? "warn" : "bad"
  return svg("svg.ring", { viewBox: "0 0 14 14", "aria-hidden": "true", style: `color:var(--${colour})` },
    svg("circle", { cx: 7, cy: 7, r: 5.5 }),
    svg("circle", { cx: 7, cy: 7, r: 5.5, "stroke-dasharray": `${(known ? c : 0) * 34.56} 40`, transform: "rotate(-90 7 7)" }))
}

export const TILES = { kpi, bars, table, latest, changes }
