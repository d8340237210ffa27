// What the Why drawer asks, as plain data: from parts of an `explain` request to one that follows the page's scope, and
// to its place in the address. Parts that say the same as the scope are left out, so that they follow it.

import { Scope } from "./scope.js"

export const WHY = "plumbline:why"
export const BASELINES = ["previous", "day", "week"]

/** Ask why, from anywhere in the page. `parts` are of an explain request: metric, window, baseline, filters, dataset;
 *  `title` names the metric. What is missing is as the page's scope has it. `answer` is its update, if it came already;
 *  `quiet` leaves the focus where it is. */
export const askWhy = (parts) => document.dispatchEvent(new CustomEvent(WHY, { detail: parts }))

/** {metric, dataset, window, baseline, by, where} as text and filters; empty where the scope decides. */
export function subjectOf({ metric, dataset = "", window = "", baseline = "", filters = null, dimensions = [] }, scope) {
  const own = scope.question()
  const spoken = written(window)
  const same = JSON.stringify(window) === JSON.stringify(own.window) || spoken === scope.state.window
  const kept = scope.state.filters.map((f) => JSON.stringify(f))
  return {
    metric, dataset: dataset === "events" ? "" : dataset ?? "", window: same ? "" : spoken,
    baseline: written(baseline) === against(scope) ? "" : written(baseline),
    by: dimensions.join(","),
    where: (filters ?? []).map(full).filter((f) => !kept.includes(JSON.stringify(f))),
  }
}

/** The request of a subject in a scope. */
export function explainOf({ metric, dataset, window, baseline, by, where }, scope) {
  const { tz } = scope.state
  const told = baseline || against(scope)
  return {
    type: "explain", metric, ...(dataset ? { dataset } : {}), ...asked(scope, { ...(window ? { window } : {}), filters: [...scope.state.filters, ...where] }),
    baseline: BASELINES.includes(told) ? told : asked(scope, { window: told, tz }).window, ...(by ? { dimensions: by.split(",") } : {}),
  }
}

/** A subject as arguments of the address; no subject takes them out. */
export function argsOf(subject) {
  const { metric = "", dataset = "", window = "", baseline = "", by = "", where = [] } = subject ?? {}
  const [from, to = ""] = window ? window.split(/\s+to\s+/) : [""]
  return { why: metric, why_from: from, why_to: to, why_against: baseline, why_by: by, why_where: new Scope({}).query({ ...EMPTY, filters: where }), why_dataset: dataset }
}

/** The subject that arguments of the address name, or null. */
export function subjectIn({ why, why_from: from = "", why_to: to = "", why_against: baseline = "", why_by: by = "", why_where: where = "", why_dataset: dataset = "" }) {
  if (!why) return null
  return { metric: why, dataset, window: from && to ? `${from} to ${to}` : from, baseline, by, where: new Scope({}).read(where).filters }
}

const EMPTY = { window: "now-1h", tz: "", compare: "previous", grain: "", as_of: "", paused: false, theme: "", args: {} }

/** A filter with the operator that is meant where none is said, its fields in the scope's order. */
export const full = ({ dim, op, values }) => ({ dim, op: op && !(op === "is" && values.length > 1) ? op : values.length > 1 ? "in" : "is", values: values.map((v) => (v === null ? null : String(v))) })

/** A window or baseline as text. */
export function written(value) {
  if (!value || typeof value !== "object") return value ?? ""
  return !value.to || value.to === "now" ? value.from : `${value.from} to ${value.to}`
}

/** What the scope compares with; a drawer needs something, whatever the board shows. */
const against = (scope) => (scope.state.compare === "off" ? "previous" : scope.state.compare)

/** What every question carries, with some of the scope changed. */
const asked = (scope, patch) => new Scope({ ...scope.state, ...patch }).question()
