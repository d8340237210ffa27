// Spans of time as people write them. analytics/window.py reads the same grammar on the server; both are held to
// tests/unit/scope_cases.json. Moments are ms since the epoch; a wall clock is the ms that a UTC clock would show.

import * as format from "./format.js"

const UNIT_S = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 }
const NAMES = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month", y: "year" }
const DAY = 86_400_000
const LONGEST_S = 3660 * 86400
const SHORTEST_S = 10

export const RANGES = ["now-5m", "now-15m", "now-30m", "now-1h", "now-3h", "now-6h", "now-12h", "now-24h", "now-2d", "now-7d", "now-30d",
  "now/d", "now-1d/d to now-1d/d", "now/w"]
export const GRAINS = ["10s", "30s", "1m", "5m", "15m", "30m", "1h", "3h", "6h", "1d"]

/** The zone a name means; empty is the browser's own. */
export const zone = (tz) => tz || Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"

/** A window as its two ends. */
export function ends(window) {
  const [from, to = "now"] = window.trim().split(/\s+to\s+/)
  return [from, to || "now"]
}

/** What a window means at `now`, as {from, to}. Throws an Error that says what was expected. */
export function resolve(window, now, tz) {
  const [start, end] = ends(window)
  const from = moment(start, now, zone(tz), false)
  const to = moment(end, now, zone(tz), true)
  if (from >= to) throw new Error("the start must come before the end")
  if (from < 0) throw new Error("nothing is older than 1970")
  if (to - from > LONGEST_S * 1000 && from !== 0) throw new Error("at most 10 years")
  return { from, to }
}

/** `resolve`, or null where it means nothing. */
export function tried(window, now, tz) {
  try { return resolve(window, now, tz) } catch { return null }
}

const TERM = /([+-])(\d{1,6})([smhdwMy])|\/([smhdwMy])/y
const ISO = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?$/

/** One end of a window; `up` makes rounding and dates go to their end. Throws an Error that says what was expected. */
export function moment(text, now, tz, up = false) {
  if (text.startsWith("now")) return terms(text, now, tz, up)
  if (/^\d{11,15}$/.test(text)) return Number(text)
  if (isDay(text)) return unwall(Date.parse(text) + (up ? DAY : 0), tz)
  const [, day, clock, rest = "", offset] = ISO.exec(text) ?? []
  const told = isDay(day) ? Date.parse(`${day}T${clock}${rest}${offset ?? "Z"}`) : NaN
  if (!Number.isFinite(told)) throw new Error(`“${text.slice(0, 40)}” is no time; write now-90m, now/d or 2026-01-31 14:00`)
  return offset ? told : unwall(told, tz)
}

/** Whether a text names a day that there is; the browser alone would take 30 February for 2 March. */
function isDay(text) {
  const at = /^\d{4}-\d\d-\d\d$/.test(text ?? "") ? Date.parse(text) : NaN
  return Number.isFinite(at) && new Date(at).toISOString().startsWith(text)
}

function terms(text, now, tz, up) {
  let at = now
  for (TERM.lastIndex = 3; TERM.lastIndex < text.length;) {
    const place = TERM.lastIndex
    const term = TERM.exec(text)
    if (!term) throw new Error(`“${text.slice(place, place + 20)}” is not understood; write terms like -90m or /d`)
    const [, sign, count, unit, rounding] = term
    if (rounding) at = round(at, rounding, tz, up)
    else if ("smh".includes(unit)) at += Number(sign + count) * UNIT_S[unit] * 1000
    else at = unwall(added(wall(at, tz), Number(sign + count), unit), tz)
  }
  if (!Number.isFinite(at)) throw new Error("that is too far away")
  return at
}

function round(at, unit, tz, up) {
  if ("smh".includes(unit)) {
    const step = UNIT_S[unit] * 1000
    const local = wall(at, tz)
    return at - (((local % step) + step) % step) + (up ? step : 0)
  }
  const floor = floored(wall(at, tz), unit)
  return unwall(up ? added(floor, 1, unit) : floor, tz)
}

/** The start of the day, week (Monday), month or year of a wall clock. */
function floored(local, unit) {
  const day = Math.floor(local / DAY) * DAY
  const date = new Date(day)
  if (unit === "w") return day - ((date.getUTCDay() + 6) % 7) * DAY
  if (unit === "M") return Date.UTC(date.getUTCFullYear(), date.getUTCMonth())
  return unit === "y" ? Date.UTC(date.getUTCFullYear(), 0) : day
}

/** Wall-clock arithmetic; a day that the month does not have becomes its last one. */
function added(local, count, unit) {
  if (unit in UNIT_S) return local + count * UNIT_S[unit] * 1000
  const date = new Date(local)
  const months = date.getUTCFullYear() * 12 + date.getUTCMonth() + count * (unit === "y" ? 12 : 1)
  const last = new Date(Date.UTC(Math.floor(months / 12), (((months % 12) + 12) % 12) + 1, 0)).getUTCDate()
  return Date.UTC(Math.floor(months / 12), ((months % 12) + 12) % 12, Math.min(date.getUTCDate(), last)) + (((local % DAY) + DAY) % DAY)
}

const clocks = new Map()

/** The wall clock of a zone at a moment. */
export function wall(at, tz) {
  if (!clocks.has(tz)) {
    clocks.set(tz, new Intl.DateTimeFormat("en-US", { timeZone: tz, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }))
  }
  const part = Object.fromEntries(clocks.get(tz).formatToParts(at).map(({ type, value }) => [type, Number(value)]))
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) + (((at % 1000) + 1000) % 1000)
}

/** The moment of a wall clock: of two the first; one that a clock change skips is read with the offset before it. */
export function unwall(local, tz) {
  const offset = (near) => wall(near, tz) - near
  const before = local - offset(local - DAY)
  if (wall(before, tz) === local) return before
  const after = local - offset(local + DAY)
  return wall(after, tz) === local ? after : before
}

/** A moment on the wall clock of a zone as one types it: "2026-01-31 14:00:00". */
export const typed = (at, tz) => new Date(Math.floor(wall(at, zone(tz)) / 1000) * 1000).toISOString().slice(0, 19).replace("T", " ")

/** A moment in RFC 3339, in whole seconds where it is one. */
export const rfc3339 = (at) => new Date(at).toISOString().replace(".000Z", "Z")

/** A window that does not move. */
export const pinned = (from, to) => `${rfc3339(from)} to ${rfc3339(to)}`

/** Whether a window ends at the present, and so follows it. */
export function follows(window, now, tz) {
  const [, end] = ends(window)
  if (end === "now") return true
  const span = tried(window, now, tz)
  return !span || span.to >= now
}

/** A window of the form now-A or "now-A to now-B" as [from, to] seconds ago, else null. */
export function relative(window) {
  const parts = /^now-(\d+)([smhdw])(?: to now(?:-(\d+)([smhdw]))?)?$/.exec(window)
  if (!parts) return null
  const to = parts[3] ? parts[3] * UNIT_S[parts[4]] : 0
  return [parts[1] * UNIT_S[parts[2]], to]
}

/** The same span moved by `steps` halves of itself (negative: back in time); never further into the future. */
export function panned(window, steps, now = Date.now(), tz = "") {
  const ago = relative(window)
  if (ago) {
    const [from, to] = ago
    const shift = Math.max(-to, Math.round(((from - to) / 2) * -steps))
    return written(from + shift, to + shift)
  }
  const span = tried(window, now, tz)
  if (!span) return window
  const { from, to } = span
  const shift = Math.min(Math.round(((to - from) / 2) * steps), Math.max(0, now - to))
  return shift ? pinned(from + shift, to + shift) : window
}

/** The span times `factor`, between 10 seconds and 10 years: the same end where that is now, else the same middle. */
export function zoomed(window, factor, now = Date.now(), tz = "") {
  const ago = relative(window)
  const span = ago ? { from: now - ago[0] * 1000, to: now - ago[1] * 1000 } : tried(window, now, tz)
  if (!span) return window
  const length = Math.min(LONGEST_S, Math.max(SHORTEST_S, tidy(((span.to - span.from) / 1000) * factor)))
  if (follows(window, now, tz)) return written(length, 0)
  const middle = (span.from + span.to) / 2
  const to = Math.min(middle + length * 500, now)
  return ago ? written(Math.round((now - to) / 1000) + length, Math.round((now - to) / 1000)) : pinned(Math.round(to - length * 1000), Math.round(to))
}

/** Seconds without a tail that nobody asked for. */
const tidy = (seconds) => { const step = seconds > 2 * 86400 ? 3600 : seconds > 7200 ? 60 : 1; return Math.round(seconds / step) * step }

const written = (from, to) => `now-${short(from)}` + (to ? ` to now-${short(to)}` : "")

function short(seconds) {
  const [unit, size] = Object.entries(UNIT_S).reverse().find(([u, s]) => u !== "w" && seconds % s === 0)
  return `${seconds / size}${unit}`
}

/** Whether buckets of this length cut a span of so many seconds into neither too few nor too many. */
export function fits(grain, span_s) {
  const found = /^(\d+)([smhdw])$/.exec(grain)
  const count = found ? span_s / (found[1] * UNIT_S[found[2]]) : 100
  return count >= 2 && count <= 1500
}

/** A length of time in at most two units: 5400 is "1 h 30 m". */
export function length(seconds) {
  const whole = Math.round(seconds)
  const found = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]].map(([unit, size], i, all) => [Math.floor((i ? whole % all[i - 1][1] : whole) / size), unit])
  const first = found.findIndex(([n]) => n)
  return first < 0 ? "0 s" : found.slice(first, first + 2).filter(([n]) => n).map(([n, unit]) => `${n} ${unit === "m" && first === 2 ? "min" : unit}`).join(" ")
}

/** How people say a window: "Last 1 hour", "Today so far", "6 Jan 14:00 – 15:00". */
export function said(window, now, tz) {
  const [from, to] = ends(window)
  const last = /^now-(\d+)([smhdwMy])$/.exec(from)
  if (last && to === "now") return `Last ${last[1]} ${NAMES[last[2]]}${last[1] === "1" ? "" : "s"}`
  const unit = /^now\/([hdwMy])$/.exec(from)?.[1]
  if (unit && to === "now") return `${unit === "d" ? "Today" : `This ${NAMES[unit]}`} so far`
  if (unit && to === from) return unit === "d" ? "Today" : `This ${NAMES[unit]}`
  const before = /^now-1([hdwMy])\/\1$/.exec(from)?.[1]
  if (before && to === from) return before === "d" ? "Yesterday" : `Last ${NAMES[before]}`
  const ago = relative(window)
  if (ago) return `${length(ago[0])} to ${length(ago[1])} ago`
  const span = tried(window, now, tz)
  return span ? between(span.from, span.to, now, tz) : window
}

/** Two moments in as few words as tell them apart from now. */
export function between(from, to, now, tz) {
  const day = (at) => Math.floor(wall(at, zone(tz)) / DAY)
  const year = (at) => new Date(wall(at, zone(tz))).getUTCFullYear()
  const date = (at) => format.clock(at, tz, "day") + (year(at) === year(now) ? "" : ` ${year(at)}`)
  const clock = (at) => format.clock(at, tz, at % 60_000 ? "second" : "minute")
  if (wall(from, zone(tz)) % DAY === 0 && wall(to, zone(tz)) % DAY === 0) return day(to) - day(from) === 1 ? date(from) : `${date(from)} – ${date(to - 1)}`
  const first = day(from) === day(now) && day(to) === day(now) ? "" : `${date(from)} `
  return `${first}${clock(from)} – ${day(from) === day(to) ? "" : `${date(to)} `}${clock(to)}`
}

/** What a window means right now, in full; throws where it means nothing. */
export function meaning(window, now, tz) {
  const { from, to } = resolve(window, now, tz)
  const day = (at) => Math.floor(wall(at, zone(tz)) / DAY)
  return `${format.clock(from, tz, "full")} – ${format.clock(to, tz, day(from) === day(to) ? "second" : "full")}, ${length((to - from) / 1000)}`
}
