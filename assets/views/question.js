// What Explore asks, as plain data: from the page's arguments to tiles of an inline board, and to a sentence.

import { text } from "../format.js"

export const CHARTS = { line: "Line", bars: "Bars", heatmap: "Heatmap", table: "Table", number: "Number" }
export const MOST_METRICS = 6 // a line tile has no more series
export const MOST_SMALL = 12 // small multiples at once
const LIMITS = { line: [3, 5], bars: [5, 10, 20, 50, 100], table: [5, 10, 20, 50, 100, 500], small: [4, 6, 8, 12] }
const DEFAULT = { line: 5, bars: 10, table: 20, small: 12 }
const NEEDS_GROUP = new Set(["bars", "table"])
const SPLITS = new Set(["line", "heatmap", "number"]) // charts that can be repeated for each group

const get = async (what) => {
  const reply = await fetch(`/api/${what}`)
  if (!reply.ok) throw new Error(reply.status === 401 ? "You are signed out" : "The list of metrics did not come")
  return reply.json()
}

/** What the workspace declares: {datasets, metrics: Map, dims(dataset)}. */
export async function catalogue() {
  const [datasets, metrics, dims] = await Promise.all(["datasets", "metrics", "dimensions"].map(get))
  return {
    datasets: new Map(datasets.map((d) => [d.name, d])),
    metrics: new Map(metrics.map((m) => [m.name, { ...m, title: m.title || m.name }])),
    dims: (dataset) => dims.filter((d) => (d.dataset ?? "events") === dataset),
  }
}

/** The arguments as a question, with what follows from them; wrong parts stay, for the server to name. */
export function question(args, words) {
  const metrics = (args.metrics ?? "").split(",").filter(Boolean).slice(0, MOST_METRICS)
  const declared = metrics.map((name) => words.metrics.get(name)).filter(Boolean)
  const dataset = declared[0]?.dataset ?? (words.datasets.has(args.dataset) ? args.dataset : "events")
  const all = words.dims(dataset)
  const chart = args.chart in CHARTS ? args.chart : "line"
  const bins = all.find((d) => d.name === args.by && d.log) ?? all.find((d) => d.log) ?? null
  const by = all.find((d) => d.name === args.by)?.log ? "" : args.by ?? ""
  const small = Boolean(by) && SPLITS.has(chart) && (args.multiples === "1" || chart === "heatmap")
  const limits = chart === "number" && !small ? null : LIMITS[small ? "small" : chart] ?? null
  const asked = Number.parseInt(args.limit, 10)
  const limit = limits && (asked >= 1 && asked <= limits.at(-1) ? asked : DEFAULT[small ? "small" : chart])
  return { metrics, declared, dataset, all, dims: all.filter((d) => !d.log), chart, by, bins, small, limits, limit,
    split: SPLITS.has(chart), lacks: lacks(chart, by, bins) }
}

/** What must be chosen before there is something to draw. */
function lacks(chart, by, bins) {
  if (NEEDS_GROUP.has(chart) && !by) return "by"
  return chart === "heatmap" && !bins ? "bins" : ""
}

/** The dimension to begin with where one is needed and none was chosen. */
export const firstDim = (q) => (q.dims.find((d) => d.name === "agent") ?? q.dims[0])?.name ?? ""

export const metricTitle = (m) => (m.per && !/ per /.test(m.title) ? `${m.title} per ${m.per}` : m.title)
const dimTitle = (q, name) => (q.all.find((d) => d.name === name)?.title || name).replace(/_/g, " ").toLowerCase()
export const groupLabel = (v) => (v === null || v === "" ? "(none)" : String(v))

/** Metrics that can share an axis, in order: lists of names. */
function sameUnit(q) {
  const kinds = new Map()
  for (const name of q.metrics) {
    const m = q.declared.find((d) => d.name === name)
    const key = m ? `${m.unit}|${m.per}` : name
    kinds.set(key, [...(kinds.get(key) ?? []), name])
  }
  return [...kinds.values()]
}

const titleOf = (q, name) => { const m = q.declared.find((d) => d.name === name); return m ? metricTitle(m) : name }

/** Tiles of an inline board. `groups` are the values to repeat a chart for, where the question is small multiples. */
export function tiles(q, groups = []) {
  const made = q.small ? repeated(q, groups) : MAKE[q.chart](q)
  return made.map((tile, i) => ({ id: `x${i}`, ...tile }))
}

const one = (list, high) => (list.length > 1 ? { width: 6, height: Math.round(high * 0.62) } : { width: 12, height: high })

const MAKE = {
  line: (q) => {
    const lists = q.by ? q.metrics.map((m) => [m]) : sameUnit(q)
    return lists.map((names) => ({ type: "line", metrics: names, title: names.map((n) => titleOf(q, n)).join(", "), ...one(lists, 340),
      ...(q.by ? { by: [q.by], limit: Math.min(5, q.limit) } : {}) }))
  },
  bars: (q) => q.metrics.map((m, i) => ({ type: "bars", metrics: [m], by: [q.by], limit: q.limit, title: titleOf(q, m), ...one(q.metrics, 172), height: 172, color: 1 + (i % 6) })),
  table: (q) => [{ type: "table", metrics: q.metrics, by: [q.by], limit: q.limit, spark: q.metrics[0], title: `By ${dimTitle(q, q.by)}`, width: 12 }],
  heatmap: (q) => q.metrics.map((m) => ({ type: "heatmap", metrics: [m], by: [q.bins.name], title: `${titleOf(q, m)} by ${dimTitle(q, q.bins.name)}`, ...one(q.metrics, 340) })),
  number: (q) => q.metrics.map((m) => ({ type: "kpi", metrics: [m], width: { 2: 6, 4: 3, 5: 2, 6: 2 }[q.metrics.length] ?? 4 })),
}

/** One small chart for each group, all on one y axis. */
function repeated(q, groups) {
  const width = groups.length <= 3 ? 12 / Math.max(1, groups.length) : groups.length === 4 ? 6 : groups.length <= 6 || groups.length === 9 ? 4 : 3
  return groups.map((value) => {
    const common = { title: groupLabel(value), where: { [q.by]: value }, width, height: groups.length > 4 ? 120 : 180 }
    if (q.chart === "number") return { type: "kpi", metrics: q.metrics.slice(0, 1), ...common }
    if (q.chart === "heatmap") return { type: "heatmap", metrics: q.metrics.slice(0, 1), by: [q.bins.name], share: "small", ...common }
    return { type: "line", metrics: sameUnit(q)[0], share: "small", ...common }
  })
}

const OPS = { is: "is", in: "is", is_not: "is not", not_in: "is not", contains: "contains" }

/** What is shown, in words: parts {t, b?}. `found`: {known, more} groups; `label`: of the window. */
export function sentence(q, { found, label, previous = "", filters = [] }) {
  const parts = [{ t: listed(q.metrics.map((name) => titleOf(q, name))), b: true }]
  const by = q.chart === "heatmap" ? [q.bins?.name, q.small && q.by].filter(Boolean) : q.by && q.chart !== "number" || q.small ? [q.by] : []
  if (by.length) parts.push({ t: " by " }, { t: by.map((d) => dimTitle(q, d)).join(" for each "), b: true })
  if (q.by && found && q.limit) parts.push({ t: `, ${extent(q, found)}` })
  if (label) parts.push({ t: `, ${label[0].toLowerCase()}${label.slice(1)}` })
  if (filters.length) parts.push({ t: `, where ${filters.map((f) => `${f.dim} ${OPS[f.op] ?? f.op} ${listed(f.values.map(groupLabel), "or")}`).join(" and ")}` })
  if (q.small && q.chart === "line" && previous) parts.push({ t: `; dashed: ${previous}` })
  return parts
}

/** "top 5 of 17", "all 4", "12 of 130, 118 left out". */
function extent(q, { known, more }) {
  const whole = `${text(known)}${more ? " or more" : ""}`
  if (known === 0) return "no groups"
  if (known <= q.limit && !more) return known === 1 ? "the only one" : `all ${whole}`
  return q.small ? `${q.limit} of ${whole}, ${text(known - q.limit)}${more ? " or more" : ""} left out` : `top ${q.limit} of ${whole}`
}

const listed = (words, last = "and") => (words.length > 1 ? `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}` : words[0] ?? "")

/** Where to begin when nothing is chosen, as arguments with a title; only what this workspace has. */
export function presets(words, dataset) {
  const dims = words.dims(dataset)
  const known = KNOWN.filter(({ args }) => args.metrics.split(",").every((m) => words.metrics.get(m)?.dataset === dataset)
    && (!args.by || dims.some((d) => d.name === args.by)) && (args.chart !== "heatmap" || dims.some((d) => d.log)))
  return (known.length >= 3 ? known : generic(words, dataset)).slice(0, 6)
}

const KNOWN = [
  { title: "Who spends", args: { metrics: "spend", by: "agent" } },
  { title: "Slowest tools", args: { metrics: "tool_duration_p95", by: "tool", chart: "bars", limit: "5" } },
  { title: "How long flows take", args: { metrics: "flows", chart: "heatmap" } },
  { title: "Tokens by model", args: { metrics: "token_rate", by: "model" } },
  { title: "Duration in each domain", args: { metrics: "duration_p95", by: "domain", multiples: "1" } },
  { title: "Every agent in numbers", args: { metrics: "flow_rate,error_rate,duration_p95,spend", by: "agent", chart: "table" } },
]

/** For any dataset: its first metrics over time, then by what there is to group by. */
function generic(words, dataset) {
  const metrics = [...words.metrics.values()].filter((m) => m.dataset === dataset)
  const dims = words.dims(dataset).filter((d) => !d.log)
  const [first, second = first, third = second] = metrics
  if (!first) return []
  const made = [{ title: `${first.title} over time`, args: { metrics: first.name } }]
  if (dims[0]) made.push({ title: `${first.title} by ${dims[0].title || dims[0].name}`, args: { metrics: first.name, by: dims[0].name, chart: "bars" } })
  if (second !== first) made.push({ title: `${second.title} over time`, args: { metrics: second.name } })
  if (dims[1]) made.push({ title: `${second.title} by ${dims[1].title || dims[1].name}`, args: { metrics: second.name, by: dims[1].name } })
  if (dims[2]) made.push({ title: `${third.title} by ${dims[2].title || dims[2].name}`, args: { metrics: third.name, by: dims[2].name, chart: "bars" } })
  if (metrics.length > 3) made.push({ title: "In numbers", args: { metrics: metrics.slice(0, 4).map((m) => m.name).join(","), chart: "number" } })
  return made
}

/** The tile that shows a preset in small. */
export function preview({ title, args }, words, id) {
  const q = question({ ...args, multiples: "" }, words)
  const [tile] = tiles({ ...q, metrics: q.metrics.slice(0, q.chart === "table" ? 3 : undefined), limit: q.limit ? Math.min(q.limit, 5) : q.limit })
  return { ...tile, id, title, width: 4, height: 130 }
}
