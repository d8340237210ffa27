// Tiles that are text and small drawings. Each entry of TILES makes {update(head, columns)} inside a body element.
// `board` gives what is common, see BoardView in board.js.

import { budgets, gauge } from "./budgets.js"
import { arrange, h, icon, mark, say, svg } from "./dom.js"
import { foretell } from "./forecast.js"
import * as format from "./format.js"
import { NOTHING, choice, grid, heading } from "./grid.js"
import { Spark, sparkline } from "./spark.js"
import { hang } from "./summary.js"

/** What a tile says that wants to be looked at. */
export const ATTENTION = { warn: "attention", bad: "critical" }

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
  const attention = h("em.attention", { hidden: true }, icon("warn"), h("span"))
  const limit = gauge()
  limit.element.hidden = true
  const forecast = h("div.forecast", { hidden: true })
  const prices = h("div.forecast", { hidden: true })
  body.append(value, h("div.delta", {}, change, versus, attention), limit.element, forecast, prices)
  const spark = new Spark(tile, body, board)
  return {
    update(head, columns) {
      const [text, suffix] = format.value(head.value, head.unit, head.per)
      say(number, text)
      say(unit, suffix.trim())
      const within = typeof head.within === "number" ? `within ${format.text(head.within, head.unit)}: half its histograms' bucket` : ""
      const part = head.value !== null && head.reason ? format.sentence(head.reason) : ""
      mark(value, "data-tip", [format.exact(head.value, head.unit, head.per), within, part, head.description].filter(Boolean).join("\n"))
      const way = tone(head.change, head.change_kind, head.good)
      const compared = head.previous !== null && head.previous !== undefined
      say(change, compared ? format.change(head.change, head.change_kind) : "")
      mark(change, "class", way)
      say(versus, head.value === null && head.reason ? head.reason : compared ? `vs ${board.previous_label.replace("minutes", "min")}` : "")
      versus.hidden = !(attention.hidden = !head.attention)
      mark(attention, "data-level", head.attention)
      say(attention.lastChild, ATTENTION[head.attention] ?? "")
      mark(spark.svg, "data-tone", way === "bad" || head.attention ? "bad" : null)
      limit.element.hidden = !head.budget
      if (head.budget) limit.fill({ ...head.budget, spent: head.value, unit: head.unit, attention: head.attention })
      foretell(forecast, head.forecast, board)
      priced(prices, head.prices)
      spark.update(head, columns)
    },
    describe: (text) => spark.describe(text),
    destroy: () => spark.destroy(),
  }
}

/** How much of a cost is an estimate and how old its prices are, in one line. */
function priced(line, prices) {
  line.hidden = !prices
  if (!prices) return
  say(line, [prices.unpriced && `${format.text(prices.unpriced)} unpriced`, prices.estimated && format.estimated(prices.estimated),
    !prices.unpriced && prices.oldest && format.prices(prices)].filter(Boolean).join(", "))
  mark(line, "data-near", prices.unpriced ? "" : null)
  mark(line, "data-tip", [
    format.sentence(prices.text),
    prices.oldest && format.aged(prices),
    prices.models.length > 0 && `No price: ${prices.models.slice(0, 8).map((model) => model ?? "(no model)").join(", ")}`,
  ].filter(Boolean).join("\n"))
}

function bars(tile, body, board) {
  const list = h("ol.rank", { "aria-label": tile.title, style: `--bar:var(--c${tile.color})` })
  body.append(list)
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const buttons = [...list.querySelectorAll("button")]
    const next = step && buttons[buttons.indexOf(event.target) + step]
    if (next) { event.preventDefault(); next.focus() }
  })
  const nothing = h("p.rowless", { hidden: true }, NOTHING)
  body.append(nothing)
  const rows = new Map()
  return {
    update(head, columns) {
      const { label: labels = [], value: values = [], previous = [] } = columns
      const scale = extent(values, head.max)
      nothing.hidden = !(list.hidden = labels.length === 0)
      arrange(list, labels.map((label, i) => {
        const folded = head.other && i === labels.length - 1
        const key = JSON.stringify([label, folded])
        if (!rows.has(key)) rows.set(key, bar(board))
        const r = rows.get(key)
        const shown = label ?? "(none)"
        const [change, kind] = [columns.change?.[i] ?? null, columns.kind?.[i] ?? "relative"]
        say(r.name, shown)
        mark(r.fill, "style", span(values[i], scale))
        mark(r.fill, "class", values[i] < 0 ? "below" : null)
        say(r.value, format.text(values[i], head.unit, null))
        say(r.change, change === null ? (previous[i] === null ? "" : format.DASH) : format.change(change, kind))
        mark(r.change, "class", tone(change, kind, head.good))
        r.filter = [head.by, label]
        mark(r.button, "aria-disabled", folded ? "true" : null)
        mark(r.button, "aria-pressed", folded ? null : String(board.filtered(...r.filter)))
        mark(r.button, "data-tip", [
          `${shown}: ${format.exact(values[i], head.unit, head.per)}`,
          typeof previous[i] === "number" ? `${board.previous_label}: ${format.exact(previous[i], head.unit, head.per)}` : "",
          folded ? "All groups that are not listed, together" : board.filterTip(...r.filter),
        ].filter(Boolean).join("\n"))
        return r.item
      }))
      if (rows.size > 200) for (const [key, r] of rows) if (!r.item.isConnected) rows.delete(key)
    },
    describe: (text) => hang(list, `${board.prefix}${tile.id}-summary`, text),
  }
}

function bar(board) {
  const [name, fill, value, change] = [h("span.name"), h("u"), h("em"), h("s")]
  const button = h("button.bar", { type: "button" }, name, h("span.track", {}, fill), value, change)
  const made = { item: h("li", {}, button), button, name, fill, value, change, filter: null }
  button.addEventListener("click", () => { if (!button.hasAttribute("aria-disabled")) board.toggle(...made.filter) })
  return made
}

/** From where to where bars reach: from zero, to both sides where some values are below it. */
function extent(values, max) {
  const numbers = values.filter((v) => typeof v === "number")
  const low = Math.min(0, ...numbers)
  return { low, high: low < 0 ? Math.max(0, ...numbers) : max || 0 }
}

function span(value, { low, high }) {
  const share = (v) => (high > low ? Math.max(0, Math.min(100, (100 * (v - low)) / (high - low))) : 0)
  const [from, to] = [share(Math.min(value ?? 0, 0)), share(Math.max(value ?? 0, 0))]
  return `margin-left:${from.toFixed(2)}%;width:${(to - from).toFixed(2)}%`
}

function table(tile, body, board) {
  let now = null
  const folded = (i) => now.head.other && i === now.keys.length - 1
  const filter = (name, i) => [name, now.columns[name][i]]
  const picked = (i) => { if (!folded(i)) board.toggleAll(now.head.by.map((name) => filter(name, i))) }
  const write = grid(body, tile.title, { picked })
  return {
    update(head, columns) {
      const labels = head.by.map((name) => ({ name, title: heading(name), label: true }))
      const sparks = head.spark && columns.spark ? [{ name: "spark", title: "Trend", spark: true }] : []
      const fields = [...labels, ...sparks, ...head.fields.map((f) => ({ ...f, number: true }))]
      const keys = (columns[head.by[0]] ?? []).map((_, i) => JSON.stringify(head.by.map((b) => columns[b][i])))
      now = { head, columns, keys }
      write(fields, keys, (cell, field, i) => {
        const v = columns[field.name]?.[i] ?? null
        if (field.spark) return course(cell, v ?? [], head.spark)
        if (!field.label) {
          say(cell, format.text(v, field.unit, field.per))
          return mark(cell, "data-tip", format.exact(v, field.unit, field.per))
        }
        if (folded(i)) return say(cell, v ?? "other")
        const into = tile.link && field.name === head.by[0] ? link(cell, board.address(tile.link, ...filter(field.name, i))) : choice(cell, filter(field.name, i), board)
        say(into, v ?? "(none)")
      })
    },
  }
}

/** A link in a cell, to a page that shows its row. */
function link(cell, href) {
  if (cell.firstElementChild?.tagName !== "A") cell.replaceChildren(h("a.lead"))
  mark(cell.firstElementChild, "href", href)
  return cell.firstElementChild
}

/** A small line in a cell; in words for who does not see it. */
function course(cell, values, { unit, per }) {
  const words = values.join()
  if (cell.words === words) return
  cell.words = words
  cell.line ??= sparkline()
  if (!cell.line.element.isConnected) cell.replaceChildren(h("span.course", { role: "img" }, cell.line.element))
  cell.line.fill(values)
  const known = values.filter((v) => typeof v === "number")
  const text = known.length ? `from ${format.text(known[0], unit, per)} to ${format.text(known.at(-1), unit, per)}, between ${
    format.text(Math.min(...known), unit, per)} and ${format.text(Math.max(...known), unit, per)}` : "no values"
  mark(cell.firstElementChild, "aria-label", text)
  mark(cell, "data-tip", format.sentence(text))
}

function latest(tile, body, board) {
  const write = grid(body, tile.title)
  return {
    update(head, columns) {
      const numeric = (f) => f.unit !== "time" && (f.unit !== "" || columns[f.name]?.some((v) => typeof v === "number"))
      const fields = head.fields.map((f) => ({ ...f, number: numeric(f), dim: tile.filters?.[f.name] }))
      write(fields, (columns.id ?? []).map((id, i) => id ?? `row ${i}`), (cell, field, i) => {
        const v = columns[field.name]?.[i] ?? null
        const into = field.dim ? choice(cell, [field.dim, v], board) : cell
        if (field.unit === "time" && v !== null) {
          const today = format.clock(v, board.tz, "day") === format.clock(board.now(), board.tz, "day")
          say(cell, format.clock(v, board.tz, today ? "second" : "full"))
          mark(cell, "data-tip", format.clock(v, board.tz, "full"))
        } else if (field.name === "status" && v !== null) status(into, String(v))
        else say(into, v === null ? format.DASH : typeof v === "number" ? measured(v, field.unit) : String(v))
        if (field.number) mark(cell, "data-tip", format.exact(v, field.unit))
      })
    },
  }
}

/** A number of a row. Whole ones without a unit may be names, so they keep all their digits. */
const measured = (v, unit) => (unit || !Number.isInteger(v) ? format.text(v, unit) : String(v))

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
      const asking = list.contains(list.getRootNode().activeElement) ? list.getRootNode().activeElement.dataset.metric : null
      list.replaceChildren(...items.map((item) => h("article.change", {},
        h("p", {}, (item.text ?? []).map((part) => part.b || (part.tone && part.tone !== "none")
          ? h("b", { class: part.tone && part.tone !== "none" ? part.tone : null }, part.t) : part.t)),
        item.shares?.length ? shares(item) : null,
        h("div.meta", {}, ring(item.confidence), format.confidence(item.confidence),
          item.note ? ` · ${item.note}` : "", asks(item, board) ?? opens(item, board)))))
      if (asking) list.querySelector(`[data-metric="${CSS.escape(asking)}"]`)?.focus({ preventScroll: true })
    },
  }
}

const PAGES = { budget: "/budgets", forecast: "/resources", source_late: "/sources", unpriced: "/ledger" }
const about = (text = []) => text.map((part) => part.t).join("").split(/[,.:] /)[0]

/** The way to the page that an item is of, unless this is it. */
function opens({ kind, text }, board) {
  const path = PAGES[kind]
  if (!board.why || !path || location.pathname === path) return null
  return h("a.btn.ask-why", { href: board.page(path), "aria-label": `Open: ${about(text)}` }, "Open", h("span", { "aria-hidden": "true" }, "›"))
}

/** The way to the explanation of an item: what the server says to ask, else its metric in this scope. */
function asks({ kind, why, metric = why?.metric, text }, board) {
  if (!board.why || !metric || PAGES[kind]) return null
  return h("button.btn.ask-why", { type: "button", "data-metric": metric, "aria-label": `Why: ${about(text)}`, click: () => board.why(why ?? { metric }) }, "Why", h("span", { "aria-hidden": "true" }, "›"))
}

/** The stacked bar of an explanation; its label says the same in words. */
function shares(item) {
  const words = item.shares.map((s) => `${s.label} ${format.text(s.share, "percent")}`).join(", ")
  const roles = [item.tone === "good" ? "good" : item.tone === "bad" ? "bad" : "c1", "c2", "c5", "c4", "c3"]
  return h("div.shares", { role: "img", "aria-label": words, "data-tip": words.replaceAll(", ", "\n") },
    item.shares.map((s, i) => h("span", { style: `width:${Math.max(0, Math.min(1, s.share)) * 100}%;background:var(--${roles[i % roles.length]})` })))
}

export { confidence } from "./format.js"

const QUESTIONS = { sample: "are there enough rows?", freshness: "is it new, by its senders' own rhythm?", completeness: "has everything arrived?", model: "do the intervals it rests on hold what comes?" }

/** What a confidence is made of: each part with the question that it answers. */
export const inWords = (parts) => Object.entries(QUESTIONS).map(([name, asks]) => `${name} ${format.confidence(parts?.[name])}: ${asks}`)

/** How far to trust it, as a ring: full and green, or open and warmer. */
export function ring(c) {
  const known = typeof c === "number"
  const colour = !known ? "faint" : c > 0.9 ? "good" : c > 0.6 ? "warn" : "bad"
  return svg("svg.ring", { viewBox: "0 0 14 14", "aria-hidden": "true", style: `color:var(--${colour})` },
    svg("circle", { cx: 7, cy: 7, r: 5.5 }),
    svg("circle", { cx: 7, cy: 7, r: 5.5, "stroke-dasharray": `${(known ? c : 0) * 34.56} 40`, transform: "rotate(-90 7 7)" }))
}

export const TILES = { kpi, bars, table, latest, changes, budgets }
