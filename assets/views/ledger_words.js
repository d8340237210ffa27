// How the ledger is put into words, bars and marks.

import { h, icon } from "../dom.js"
import * as format from "../format.js"
import { counted, named, share, wayWord } from "./sources_words.js"

export const UNITS = { tokens: "tokens", cost: "usd" }

/** How much of what a way told counts: 0 to 1, by its tokens, else its money, else its calls; null where it told none. */
export function counts({ calls, tokens, cost, counted_calls, counted_tokens, counted_cost }) {
  const [all, kept] = tokens ? [tokens, counted_tokens] : cost ? [cost, counted_cost] : [calls, counted_calls]
  return all ? Math.min(1, kept / all) : null
}

/** Whether a way is the record, evidence for it, or both, as a sign with words. */
export function standing(way) {
  const part = counts(way)
  if (part === null) return h("span.status.none", {}, "tells nothing that counts")
  if (part === 1) return h("span.status.good", {}, icon("check"), "the record")
  if (part === 0) return h("span.status.evidence", {}, icon("copy"), "evidence")
  return h("span.status.part", {}, icon("check"), `record of ${share(part)}`)
}

/** A share as a small bar with its number; the words say what it is a share of. */
export function meter(part, words, nothing) {
  if (typeof part !== "number") return [h("span.faint", { title: nothing }, format.DASH), h("span.visually-hidden", {}, nothing)]
  return [h("span.part-bar", { title: words, "data-low": part < 1 ? "" : null }, h("i", { "aria-hidden": "true" }, h("u", { style: `width:${100 * part}%` })), h("span", {}, share(part))),
    h("span.visually-hidden", {}, words)]
}

/** All differences of some ways with whose they are, those of tokens first and the largest first. */
export function differences(ways) {
  const found = ways.flatMap((way) => way.differs.map((one) => ({ ...one, source: way.source, way: way.way, apart: one.here - one.record })))
  return found.sort((a, b) => (a.what === b.what ? Math.abs(b.apart) - Math.abs(a.apart) : a.what === "tokens" ? -1 : 1))
}

/** What a difference is of: [kind, id]. */
export const subject = ({ call_id: call, session }) => (call ? ["call", call] : session ? ["session", session] : ["source", "all of it"])

/** "−120": with its sign, and what share of the record it is. */
export function apart({ apart: by, record, what }) {
  const size = (by > 0 ? "+" : "") + format.text(by, UNITS[what])
  return record ? `${size} (${by > 0 ? "+" : format.MINUS}${format.text(Math.abs(by) / record, "percent")})` : size
}

/** One difference in one line, to be sent to whoever can mend it. */
export function told(found) {
  const [kind, id] = subject(found)
  const exactly = (n) => (found.what === "cost" ? format.exact(n, "usd") : format.exact(n))
  return `${named(found.source)}, ${wayWord(found.way)}, ${kind} ${id}: ${found.what} ${exactly(found.here)} told, ${exactly(found.record)} in the record, difference ${exactly(found.apart)}`
}

/** What the page says aloud when something else is looked at. */
export function spoken({ facts, ways }, label) {
  if (!ways.length) return `${label}: nothing tells of a call.`
  const partly = ways.filter((way) => typeof way.completeness === "number" && way.completeness < 1).length
  const differing = ways.reduce((sum, way) => sum + way.differs.length, 0)
  return `${label}: ${counted(facts.calls, "call")}, ${format.text(facts.tokens)} tokens and ${format.text(facts.cost, "usd")} count. `
    + `${partly ? `${partly} of ${counted(ways.length, "way")} told less than the record` : "Every way told all of the record"}; ${differing ? counted(differing, "difference") : "no differences"}.`
}
