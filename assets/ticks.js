// Where an axis has its ticks: round times of a wall clock, round steps of a unit; and finding a time in a column.

import * as format from "./format.js"

export const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000]
const LONG_STEPS_S = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400]

/** Ticks on round wall-clock times of a zone, at most `most` of them. */
export function timeTicks(start, end, most, zone) {
  const step = 1000 * (STEPS_S.find((s) => (end - start) / (s * 1000) <= most) ?? STEPS_S.at(-1))
  const shift = zoneShift(start, zone)
  const ticks = []
  for (let t = Math.ceil((start + shift) / step) * step - shift; t <= end; t += step) ticks.push(t)
  const style = step >= 86_400_000 ? "day" : step < 60_000 ? "second" : "minute"
  const midnight = (t) => style === "minute" && (t + shift) % 86_400_000 === 0
  return { ticks, label: (t) => format.clock(t, zone, midnight(t) ? "day" : style) }
}

/** How far a zone's wall clock is ahead of UTC at a moment, in ms. */
function zoneShift(ms, zone) {
  const parts = new Intl.DateTimeFormat("en-US", { timeZone: zone || undefined, hourCycle: "h23", year: "numeric", month: "numeric",
    day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(ms)
  const at = Object.fromEntries(parts.map((p) => [p.type, Number(p.value)]))
  return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second) - Math.floor(ms / 1000) * 1000
}

/** A round step of about `rough`; durations step by seconds, minutes and hours as people do. */
export function roundStep(rough, unit) {
  if (unit === "ms" && rough > 10_000) {
    return 1000 * (LONG_STEPS_S.find((s) => s * 1000 >= rough) ?? 86400 * Math.ceil(rough / 86_400_000))
  }
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].find((m) => m * power >= rough * 0.999) * power
}

/** A power of ten with its unit and no idle zeros: 100 ms, 1 s, 10 s, 1 m 40 s. */
export function short(v, unit) {
  if (unit === "ms" && v >= 1000) return v >= 60_000 ? format.text(v, unit) : `${v / 1000} s`
  if (unit === "ms") return `${Number(v.toPrecision(1))} ms`
  return format.axis([v], v, unit)[0]
}

/** The index of the last of ascending `times` that is not after t; -1 when all are. */
export function before(times, t) {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle] <= t) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The index of the time nearest to t; -1 when there is none. */
export function nearest(times, t) {
  const i = before(times, t)
  if (i < 0) return times.length ? 0 : -1
  return i + 1 < times.length && times[i + 1] - t < t - times[i] ? i + 1 : i
}

/** A moment for an address: whole seconds where that is enough. */
export const moment = (ms) => new Date(ms).toISOString().replace(".000Z", "Z")

/** A span of time in the fewest words: "14:41:30–14:42:00"; with days where it crosses midnight or `dated` asks for them. */
export function spanText(from, to, zone, dated = false) {
  const style = to - from < 60_000 || from % 60_000 || to % 60_000 ? "second" : "minute"
  const day = (t) => format.clock(t, zone, "day")
  const clock = (t) => format.clock(t, zone, style)
  const same = day(from) === day(to)
  if (to <= from) return dated ? `${day(from)} ${clock(from)}` : clock(from)
  if (same) return `${dated ? `${day(from)} ` : ""}${clock(from)}–${clock(to)}`
  const whole = (t) => clock(t) === "00:00"
  if (whole(from) && whole(to)) return to - from <= 90_000_000 ? day(from) : `${day(from)} – ${day(to - 1)}`
  return `${day(from)} ${clock(from)} – ${day(to)} ${clock(to)}`
}
