// How a sender is put into words and small signs.

import { h, icon, svg } from "../dom.js"
import * as format from "../format.js"

const WAYS = { span: "spans", log: "logs", metric: "metrics", transcript: "transcripts", event: "events" }
const MINUTE = 2 // width of a minute's bar and its gap
const HIGH = 20

export const named = (source) => source || "(none)"
export const counted = (n, word) => `${format.text(n)} ${word}${n === 1 ? "" : "s"}`
export const wayWord = (way) => WAYS[way] ?? way

/** How long ago its newest event is, now: `at` is when this was heard, by performance.now(). */
export const ageOf = (sender) => sender.age_s + (performance.now() - sender.at) / 1000
export const ago = (age_s) => (age_s < 1.5 ? "now" : `${format.age(age_s)} ago`)

/** What its rhythm allows, or that too little is known of it. */
export const usual = ({ usual_s: most }) => (most === null ? "rhythm not known yet" : `usually within ${format.age(most)}`)

/** A sign and words. A sender is late when all that it sends is; a stream that is still being learnt holds that back. */
export function standing(sender) {
  const [sign, tone, words] = judged(sender)
  return h(`span.status.${tone}`, {}, icon(sign), h("span", {}, words))
}

export function judged({ late, usual_s: most, age_s }) {
  if (late) return ["warn", "warn", `Late: quiet for longer than its usual ${format.age(most)}`]
  if (most === null) return ["clock", "none", "New: its rhythm is being learnt"]
  if (age_s > most) return ["clock", "none", `Quiet for longer than ${format.age(most)}, but not all of its rhythms are known yet`]
  return ["check", "good", "On time"]
}

/** Events of the last hour, a bar for each minute; a silent minute is a dot on the ground line. */
export function rhythm(minutes, className = "rhythm") {
  if (!minutes) return h(`span.${className}`, { "aria-hidden": "true" })
  const most = Math.max(1, ...minutes)
  const path = (part) => minutes.map((n, i) => part(n, i * MINUTE)).join("")
  const bar = (n, x) => (n ? `M${x} ${HIGH}v${-Math.max(1.5, (HIGH - 1) * (n / most)).toFixed(2)}h1.4V${HIGH}z` : "")
  const silent = minutes.filter((n) => !n).length
  const told = `${counted(minutes.reduce((a, b) => a + b, 0), "event")} in the last hour, ${silent ? `none in ${counted(silent, "minute")}` : "some in every minute"}; at most ${format.text(most)} a minute`
  return svg(`svg.${className}`, { viewBox: `0 0 ${60 * MINUTE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
    svg("path.quiet-minutes", { d: path((n, x) => (n ? "" : `M${x} ${HIGH - 1}h1.4v1h-1.4z`)) }), svg("path", { d: path(bar) }))
}

export const ways = (sender) => (sender.ways?.length ? sender.ways.map(({ name }) => h("span.way-of", {}, wayWord(name))) : [h("span.faint", {}, format.DASH)])

/** The least complete of its ways, and what of it agrees with the record; null where nothing is to be compared. */
export function held(told) {
  const least = (part) => told.map((way) => way[part]).filter((v) => typeof v === "number").reduce((a, b) => Math.min(a, b), Infinity)
  const [completeness, agreement] = ["completeness", "agreement"].map(least).map((v) => (Number.isFinite(v) ? v : null))
  return { completeness, agreement }
}

export const share = (part) => (part === null ? format.DASH : format.text(part, "percent"))
