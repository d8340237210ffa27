// Answers drawn by what they are: one number large, groups as bars, a course or a forecast as a line, flows as a list.

import { Course } from "./ask_course.js"
import { h, icon } from "./dom.js"
import * as format from "./format.js"
import { grid, heading } from "./grid.js"
import { Scope } from "./scope.js"
import { TILES, confidence, ring, tone } from "./tiles.js"
import { titled } from "./ask_understood.js"
import { askWhy } from "./why_request.js"
import { lowered, nowhere, told } from "./why_words.js"

const LINES = 5 // groups that are drawn over time
const FLOWS = 8
const GROUPS = 10
const SHOWN = 50 // rows of a table
const EXPLORED = ["metrics", "by", "chart", "limit", "dataset"]

/**
 * Draw the answer to a typed request. tools: {words, scope: as understood, board, close}.
 * Returns {element, spoken: in words, ways: links onward, drawn(): once it is in the page}.
 */
export function answer(request, message, tools) {
  const make = MAKE[request.type] ?? (message.analytics.columns ? table : measures)
  const made = make(request, message, tools)
  return { ways: [], ...made }
}

const MAKE = {
  query(request, message, tools) {
    const { columns, rows } = message.analytics
    const groups = request.group_by ?? []
    const drawn = !rows.length ? none() : columns.includes("time") ? course(request, message, tools)
      : groups.length === 1 && request.metrics.length === 1 ? bars(request, message, tools)
      : groups.length ? table(request, message, tools) : numbers(request, message, tools)
    return { ...drawn, ways: [explored(request, tools), why(request, tools)] }
  },

  explain(request, message, { words }) {
    const text = message.insights?.find((i) => i.text)?.text || `${told(message.analytics, titled(words, request.metric))}${message.analytics.localised ? "" : ` No localised cause: ${lowered(nowhere(message.analytics))}`}`
    const open = h("button.btn.small", { type: "button", click: () => askWhy({ ...request, title: titled(words, request.metric), answer: message }) }, "Show why", h("span", { "aria-hidden": "true" }, "›"))
    return { element: h("div.ask-answer", {}, h("p.ask-sentence", {}, text), trust(message)), spoken: text, ways: [open] }
  },

  forecast(request, message, tools) {
    const { history = [], points = [], unit, per, level, limit_at: limit, reaches, reason } = message.analytics
    const text = message.insights?.find((i) => i.kind === "forecast")?.text ?? message.insights?.[0]?.text ?? ""
    if (!points.length) return { ...none(reason), ways: [explored({ ...request, metrics: [request.metric] }, tools)] }
    const at = (list) => list.map(({ t }) => Date.parse(t))
    const [before, after] = [at(history), at(points)]
    const gap = history.length && history.at(-1).value !== null ? 1 : 0 // the forecast begins where the past ends
    const times = [...before, ...after]
    const blank = (n) => Array.from({ length: n }, () => null)
    const past = [...history.map((p) => p.value), ...blank(points.length)]
    const joined = (values) => [...blank(history.length - gap), ...(gap ? [history.at(-1).value] : []), ...values]
    const place = h("div.ask-course")
    const chart = new Course({ id: "answer", title: titled(tools.words, request.metric), unit, per, times, until: after.at(-1), limit,
      series: [{ name: "measured", role: "c1", values: past }, { name: "forecast", role: "c1", dash: [4, 3], values: joined(points.map((p) => p.value)) }],
      band: points.every((p) => p.low === null) ? null : { low: joined(points.map((p) => p.low)), high: joined(points.map((p) => p.high)), name: `${Math.round((level ?? 0.95) * 100)}% interval` },
      moment: reaches ? Date.parse(reaches.at) : null }, place, tools.board)
    return {
      element: h("div.ask-answer", {}, text ? h("p.ask-sentence", {}, text) : null, place, reason ? h("p.ask-note", {}, format.sentence(reason)) : null, trust(message)),
      spoken: text || `${titled(tools.words, request.metric)} is expected at ${format.text(points.at(-1).value, unit, per)}`,
      ways: [explored({ ...request, metrics: [request.metric] }, tools)], drawn: () => chart.draw(),
    }
  },

  flows(request, message, { scope }) {
    const { columns, rows } = message.analytics
    const at = Object.fromEntries(columns.map((name, i) => [name, i]))
    const list = h("ol.ask-flows", {}, rows.slice(0, FLOWS).map((row) => {
      const bad = row[at.status] === "error"
      return h("li", {}, h("a", { href: href("/flows", scope, ["flow"], { flow: row[at.flow_id] }) },
        h("b", {}, row[at.name] ?? row[at.flow_id]), h("span", {}, row[at.agent] ?? ""), h("em", { class: bad ? "bad" : null }, bad ? icon("warn") : null, row[at.status] ?? ""),
        h("span.n", {}, format.text(row[at.duration_ms], "ms")), h("span.n", {}, format.clock(Date.parse(row[at.time]), scope.state.tz, "second"))))
    }))
    if (!rows.length) return none()
    return { element: h("div.ask-answer", {}, list, trust(message)), spoken: `${rows.length} flows`, ways: [h("a.btn.small", { href: href("/flows", scope, ["search", "sort"], { sort: request.sort && request.sort !== "time" ? `${request.sort}` : "" }) }, "Open in Flows")] }
  },

  values(request, message) {
    const { values } = message.analytics
    if (!values.length) return none()
    return { element: h("div.ask-answer", {}, h("ul.ask-values", {}, values.slice(0, SHOWN).map(({ value, n }) => h("li", {}, value ?? "(none)", h("em", {}, format.text(n)))))), spoken: `${values.length} values` }
  },
}

function none(reason) {
  const words = reason ? format.sentence(reason) : "Nothing in this window."
  return { element: h("p.ask-none", {}, words), spoken: words }
}

/** One number large; further ones beside it. */
function numbers(request, message, { words }) {
  const { columns, rows } = message.analytics
  const made = request.metrics.map((name) => {
    const { unit = "", per = null, good = "none", description = "" } = words?.metrics.get(name) ?? {}
    const [value, before] = [name, `${name}_previous`].map((column) => rows[0][columns.indexOf(column)] ?? null)
    const { change, kind } = difference(value, before, unit)
    const [text, suffix] = format.value(value, unit, per)
    return {
      words: `${titled(words, name)} ${format.text(value, unit, per)}${change === null ? "" : `, ${format.change(change, kind)} against before`}`,
      element: h("div.ask-number", {}, h("p", {}, titled(words, name)),
        h("div.value", { "data-tip": [format.exact(value, unit, per), description].filter(Boolean).join("\n") }, text, h("small", {}, suffix.trim())),
        change === null ? null : h("p.delta", {}, h("b", { class: tone(change, kind, good) }, format.change(change, kind)), h("span", {}, `from ${format.text(before, unit, per)}`))),
    }
  })
  return { element: h("div.ask-answer", {}, h("div.ask-numbers", {}, made.map((m) => m.element)), trust(message)), spoken: made.map((m) => m.words).join(". ") }
}

/** What changed between two values: points of percentages, else relative. */
function difference(value, before, unit) {
  if (typeof value !== "number" || typeof before !== "number") return { change: null, kind: "relative" }
  if (unit === "percent") return { change: value - before, kind: "pp" }
  return { change: before ? (value - before) / Math.abs(before) : null, kind: "relative" }
}

function bars(request, message, { words, board }) {
  const { columns, rows, other } = message.analytics
  const [[metric], [by]] = [request.metrics, request.group_by]
  const { unit = "", per = null, good = "none" } = words?.metrics.get(metric) ?? {}
  const at = [by, metric, `${metric}_previous`].map((name) => columns.indexOf(name))
  const kept = rows.slice(0, GROUPS)
  const cut = other && rows.length <= GROUPS
  const [label, value, previous] = at.map((i) => kept.map((row) => (i < 0 ? null : row[i])))
  const moved = value.map((v, i) => difference(v, previous[i], unit))
  const place = h("div.ask-bars")
  const drawer = TILES.bars({ id: "answer", title: titled(words, metric), color: 1, metrics: [] }, place, board)
  const head = { unit, per, good, by, title: titled(words, metric), other: cut, max: Math.max(0, ...value.filter((v) => typeof v === "number")) }
  drawer.update(head, { label, value, previous, change: moved.map((m) => m.change), kind: moved.map((m) => m.kind) })
  const told = label.slice(0, 3).map((name, i) => `${name ?? "(none)"} ${format.text(value[i], unit, per)}`).join(", ")
  const left = rows.length - kept.length
  return { element: h("div.ask-answer", {}, per ? h("p.ask-note", {}, `${titled(words, metric)} per ${per}`) : null, place, left > 0 ? h("p.ask-note", {}, `and ${left} more`) : null, trust(message)), spoken: `${told}${rows.length > 3 ? `, and ${rows.length - 3} more` : ""}` }
}

/** One line, or one for each of the first groups. */
function course(request, message, { words, board }) {
  const { columns, rows } = message.analytics
  const [metric] = request.metrics
  const by = request.group_by?.[0]
  const [time, group, value] = ["time", by, metric].map((name) => columns.indexOf(name))
  const times = [...new Set(rows.map((row) => Date.parse(row[time])))].sort((a, b) => a - b)
  const names = by ? [...new Set(rows.map((row) => row[group]))].slice(0, LINES) : [null]
  const series = names.map((name, i) => {
    const known = new Map(rows.filter((row) => !by || row[group] === name).map((row) => [Date.parse(row[time]), row[value]]))
    return { name: by ? name ?? "(none)" : titled(words, metric), role: `c${1 + (i % 6)}`, values: times.map((t) => known.get(t) ?? null) }
  })
  const { unit = "", per = null } = words?.metrics.get(metric) ?? {}
  const place = h("div.ask-course")
  const chart = new Course({ id: "answer", title: titled(words, metric), unit, per, times, series, until: Date.parse(message.analytics.window?.to ?? "") || null }, place, board)
  const last = series[0].values.findLast((v) => typeof v === "number")
  const { value: total } = message.analytics.totals?.[metric] ?? {}
  return { element: h("div.ask-answer", {}, place, trust(message)), drawn: () => chart.draw(),
    spoken: `${titled(words, metric)} over time: ${typeof total === "number" ? `${format.text(total, unit, per)} in all, ` : ""}last ${format.text(last, unit, per)}` }
}

function table(request, message, { words }) {
  const { columns, rows } = message.analytics
  if (!rows.length) return none()
  const metric = (name) => words?.metrics.get(name.replace(/_previous$/, ""))
  const place = h("div.ask-table")
  grid(place, "Answer")(columns.map((name, i) => ({ name: i, title: metric(name)?.title ? `${metric(name).title}${name.endsWith("_previous") ? ", before" : ""}` : heading(name), number: rows.some((row) => typeof row[i] === "number") })),
    rows.slice(0, SHOWN).map((_, i) => `row ${i}`), (cell, field, i) => {
      const value = rows[i][field.name]
      const { unit = "", per = null } = metric(columns[field.name]) ?? {}
      cell.textContent = value === null ? format.DASH : typeof value === "number" ? format.text(value, unit, per) : String(value)
    })
  return { element: h("div.ask-answer", {}, place, rows.length > SHOWN ? h("p.ask-note", {}, `The first ${SHOWN} of ${rows.length} rows`) : null, trust(message)), spoken: `${rows.length} rows` }
}

/** The replies that are many measures by name: the first ones as numbers. */
function measures(request, message, { words }) {
  const found = Object.entries(message.analytics).filter(([, m]) => m && typeof m === "object" && "value" in m).slice(0, 8)
  if (!found.length) return none()
  return { element: h("div.ask-answer", {}, h("dl.ask-measures", {}, found.map(([name, m]) => h("div", {}, h("dt", {}, titled(words, name)), h("dd", {}, format.text(m.value, m.unit, m.per),
    m.change === null ? null : h("small", { class: tone(m.change, m.change_kind, m.good) }, format.change(m.change, m.change_kind)))))), trust(message)),
    spoken: found.slice(0, 3).map(([name, m]) => `${titled(words, name)} ${format.text(m.value, m.unit, m.per)}`).join(", ") }
}

function trust({ confidence: c, confidence_parts: parts = {} }) {
  if (typeof c !== "number") return null
  const lines = Object.entries(parts ?? {}).filter(([, v]) => typeof v === "number").map(([name, v]) => `${name}: ${confidence(v)}`)
  return h("button.trust", { type: "button", "aria-label": `Confidence ${confidence(c)}`, "data-tip": [`Confidence ${confidence(c)}${lines.length ? ": the least of" : ""}`, ...lines].join("\n") }, ring(c), confidence(c))
}

// ways onward

/** The understood scope as the other pages take it. */
const linked = ({ state: { window, filters, tz, compare } }) => ({ window, filters, tz, compare: compare === "off" ? "previous" : compare })

const href = (path, scope, names, args) => new Scope({ ...scope.state, ...linked(scope) }, { args: names }).href({ args }, path)

function explored({ metrics, group_by: groups = [], grain, limit, dataset }, { scope }) {
  const chart = groups.length && !grain ? (metrics.length > 1 ? "table" : "bars") : grain || groups.length ? "" : "number"
  const args = { metrics: metrics.join(","), by: groups[0] ?? "", chart, limit: groups.length && limit ? String(limit) : "", dataset: dataset && dataset !== "events" ? dataset : "" }
  return h("a.btn.small", { href: href("/explore", scope, EXPLORED, args) }, "Open in Explore")
}

function why({ metrics, dataset = "" }, { scope, words, close }) {
  const [metric] = metrics
  const act = () => { close(false); askWhy({ metric, title: titled(words, metric), dataset, window: scope.state.window, filters: scope.state.filters, baseline: scope.state.compare === "off" ? "previous" : scope.state.compare }) }
  return h("button.btn.small", { type: "button", click: act }, "Why did it change?")
}
