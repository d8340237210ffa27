// An explanation in words.

import * as format from "./format.js"
import * as times from "./times.js"

const OPS = { is: "is", in: "is", is_not: "is not", not_in: "is not", contains: "contains" }
const LONG_MS = 1_800_000 // of a longer window the seconds say nothing

export const shown = (value) => (value === null || value === "" ? "(none)" : String(value))

/** The name of a dimension, without the file it was declared in. */
export const short = (dim) => dim.split(".").at(-1).replace(/_/g, " ")

export const filterWords = ({ dim, op, values }) => `${short(dim)} ${OPS[op] ?? op} ${values.map(shown).join(" or ")}`

/** "tool web_search and agent planner" */
export const whereWords = (where) => Object.entries(where).map(([dim, value]) => `${short(dim)} ${shown(value)}`).join(" and ") || "everything"

/** The values alone: "web_search × planner". */
export const whereName = (where) => Object.values(where).map(shown).join(" × ") || "everything"

/** A difference with its sign; of percentages in points. */
export function signed(number, unit, per) {
  if (typeof number !== "number") return format.DASH
  const size = unit === "percent" ? format.change(Math.abs(number), "pp").replace("▲ ", "") : format.text(Math.abs(number), unit, per)
  return `${number > 0 ? "+" : number < 0 ? format.MINUS : ""}${size}`
}

/** A share as people say it: whole percents from one on. */
export const percent = (share) => (Math.abs(share) < 0.01 || share > 0.995 && share < 1 ? format.text(share, "percent") : `${share < 0 ? format.MINUS : ""}${Math.round(Math.abs(share) * 100)}%`)

/** A window {from, to} of an answer, in as few words as tell it apart from now. */
export function windowWords(window, now, tz) {
  const [a, b] = [window?.from, window?.to].map((text) => Date.parse(text ?? ""))
  if (!Number.isFinite(a + b)) return "an unknown time"
  const step = b - a >= LONG_MS ? 60_000 : 1000
  return times.between(Math.round(a / step) * step, Math.round(b / step) * step, now, tz).replace(/(\d) – (?=\d\d:)/, "$1–")
}

/** One sentence, for an answer that brought none. */
export function told({ baseline, current, change, change_kind: kind, unit, causes = [], localised }, name) {
  if (typeof change !== "number") return `${name} has no value to compare.`
  if (!change) return `${name} did not change.`
  const relative = (kind ?? (unit === "percent" ? "pp" : "relative")) === "pp" ? format.change(Math.abs(change), "pp") : baseline ? format.change(Math.abs(change / baseline), "relative") : ""
  const amount = relative.replace("▲ ", "") || `from ${format.text(baseline, unit)} to ${format.text(current, unit)}`
  const [first] = causes
  const why = localised && first ? ` ${percent(first.share)} of it comes from ${whereWords(first.where)}.` : ""
  return `${name} ${change > 0 ? "rose" : "fell"} ${amount}.${why}`
}

/** Why there is no cause, in one sentence. */
export const nowhere = ({ reason, dimensions = [] }) => format.sentence((reason ?? "").replace(/^no localised cause:?\s*/i, "")
  || `the change is spread evenly: no value of ${dimensions.map(short).join(", ") || "any dimension"} stands out`)

/** A title inside a sentence. */
export const lowered = (name) => (/^[A-Z][a-z]/.test(name) ? name.charAt(0).toLowerCase() + name.slice(1) : name)
