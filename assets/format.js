// Numbers as people read them. analytics/format.py does the same for insight text; both are held to
// tests/unit/format_cases.json. Nothing that is not zero shows as zero, nothing unknown as a number.

export const DASH = "\u2013"
export const MINUS = "\u2212"
const PER = { second: "/s", minute: "/min", hour: "/h", day: "/d" }
const SCALES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]
const BYTES = [[1e12, " TB"], [1e9, " GB"], [1e6, " MB"], [1e3, " kB"]]

const known = (number) => typeof number === "number" && Number.isFinite(number)
const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",")
const significant = (size, digits = 3) => Number(size.toPrecision(digits))
const exponent = (size) => Number(size.toExponential().split("e")[1])

/** A number as [text, suffix], to be set side by side: (4820, "ms") gives ["4.82", " s"]. */
export function value(number, unit = "", per = null) {
  if (!known(number)) return [DASH, ""]
  const [text, suffix] = (UNITS[unit] ?? plain)(Math.abs(number))
  return [(number < 0 ? MINUS : "") + text, suffix + (per ? PER[per] : "")]
}

/** `value` in one piece. */
export const text = (number, unit = "", per = null) => value(number, unit, per).join("")

/** A change with its direction: 0.84 relative "▲ 84%", -0.019 pp "▼ 1.9 pp", 3 absolute "▲ 3". */
export function change(number, kind) {
  if (!known(number)) return DASH
  const size = Math.abs(number)
  const amount = kind === "absolute" ? plain(size).join("")
    : kind === "relative" && size >= 10 ? plain(number > 0 ? 1 + number : size).join("") + "×"
    : points(size * 100) + (kind === "relative" ? "%" : " pp")
  return (number > 0 ? "▲ " : number < 0 ? "▼ " : "") + amount
}

/** All that is known of a number, for hover: up to 12 significant digits and its own unit. */
export function exact(number, unit = "", per = null) {
  if (!known(number)) return DASH
  const size = Math.abs(number) * (unit === "percent" ? 100 : 1)
  const digits = size.toLocaleString("en-US", { maximumSignificantDigits: 12 })
  const ends = { ms: " ms", s: " s", percent: "%", usd: "", bytes: " bytes", bytes_per_s: " bytes/s", "": "" }
  const sign = (number < 0 ? MINUS : "") + (unit === "usd" ? "$" : "")
  return sign + digits + (ends[unit] ?? ` ${unit}`) + (per ? PER[per] : "")
}

/** How old something is, in completed units: "0.4 s", "47 s", "3 min", "2 h", "5 d". */
export function age(seconds) {
  if (!known(seconds)) return DASH
  seconds = Math.max(seconds, 0)
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`
  if (seconds < 60) return `${Math.floor(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`
  return `${grouped(String(Math.floor(seconds / 86400)))} d`
}

/** A message as a sentence: a capital first, a full stop last. */
export const sentence = (words) => words ? words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".") : ""

/** Labels of an axis whose ticks are `step` apart: no more decimals than the step needs, one scale for all. */
export function axis(ticks, step, unit = "") {
  const top = Math.max(...ticks.map(Math.abs), step)
  const [scale, suffix] = axisScale(top, unit)
  const places = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / scale) + 1e-9)))
  const money = unit === "usd" ? "$" : ""
  return ticks.map((t) => {
    if (unit === "ms" && top >= 60_000) return t === 0 ? "0" : text(t, "ms").replace(/ m 0 s$/, " m").replace(/ h 0 m$/, " h")
    const digits = grouped(Math.abs(t / scale).toFixed(places).split(".")[0])
    const rest = places ? "." + Math.abs(t / scale).toFixed(places).split(".")[1] : ""
    if (t === 0 && (suffix === "k" || suffix === "M" || suffix === "G" || suffix === "T")) return money + "0"
    return (t < 0 ? MINUS : "") + money + digits + rest + suffix + (unit === "bytes_per_s" ? "/s" : "")
  })
}

function axisScale(top, unit) {
  if (unit === "ms") return top >= 1000 ? [1000, " s"] : [1, " ms"]
  if (unit === "s") return [1, " s"]
  if (unit === "percent") return [0.01, "%"]
  const bytes = unit === "bytes" || unit === "bytes_per_s"
  return (bytes ? BYTES : SCALES).find(([s]) => top >= s && (bytes || top >= 1e4)) ?? [1, bytes ? " B" : ""]
}

const clocks = new Map()

/** A moment on the wall clock of a time zone. style: "minute", "second", "day", "full". */
export function clock(ms, tz, style = "minute") {
  const key = `${tz}|${style}`
  if (!clocks.has(key)) clocks.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: tz || undefined, ...STYLES[style] }))
  return clocks.get(key).format(ms)
}

const STYLES = {
  minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  day: { day: "numeric", month: "short" },
  full: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
}

/** Exactly three significant digits, and all digits before the point: 4.00, 12.3, 8,400, 1.23e-9. */
function three(size) {
  if (size < 1e-6 || size >= 1e15) {
    const [mantissa, power] = size.toExponential(2).split("e")
    return `${mantissa}e${Number(power)}`
  }
  if (size >= 999.5) return grouped(size.toFixed(0))
  const kept = significant(size) // the exponent is read after rounding: 9.996 must end as 10.0
  return kept.toFixed(Math.max(0, 2 - exponent(kept)))
}

function plain(size) {
  if (size < 9999.5) return [Number.isInteger(size) ? grouped(String(size)) : three(size), ""]
  return size >= 1e15 ? [three(size), ""] : scaled(size, SCALES)
}

/** Three digits of the largest scale that the rounded number reaches, so 999,950 is 1.00M. */
function scaled(size, scales) {
  const [step, name] = scales.find(([s]) => significant(size) >= s)
  return [three(size / step), name]
}

function duration(ms) {
  if (ms < 999.5) return [plain(ms)[0], " ms"]
  if (ms < 59_950) return [three(ms / 1000), " s"]
  if (ms >= 1e15) return [three(ms / 86_400_000), " d"]
  const seconds = Number((ms / 1000).toFixed(0))
  if (seconds < 3600) return [`${Math.floor(seconds / 60)} m ${seconds % 60}`, " s"]
  const minutes = Number((ms / 60_000).toFixed(0))
  if (minutes < 1440) return [`${Math.floor(minutes / 60)} h ${minutes % 60}`, " m"]
  const hours = Number((ms / 3_600_000).toFixed(0))
  return [`${grouped(String(Math.floor(hours / 24)))} d ${hours % 24}`, " h"]
}

function percent(fraction) {
  const shown = fraction * 100
  if (shown === 0 || shown === 100 || shown > 100) return [plain(shown)[0], plain(shown)[1] + "%"]
  if (shown >= 99.9) return ["99.9", "%"] // 99.96 % is not all of them
  if (shown >= 0.095) return [shown.toFixed(1), "%"]
  return [shown >= 1e-6 ? trimmed(shown, 2) : three(shown), "%"]
}

function money(size) {
  if (size === 0) return ["$0", ""]
  if (size < 0.095) return ["$" + (size >= 1e-6 ? trimmed(size, 3) : three(size)), ""]
  if (size < 999.995) return [`$${size.toFixed(2)}`, ""]
  const [digits, suffix] = plain(size)
  return ["$" + digits, suffix === "G" ? "B" : suffix]
}

const size = (number) => number < 999.5 ? [plain(number)[0], " B"] : scaled(number, BYTES)

/** At most so many significant digits, at least two places. */
function trimmed(number, digits) {
  const shown = String(significant(number, digits))
  return shown + "0".repeat(Math.max(0, 2 - (shown.split(".")[1] ?? "").length))
}

function points(number) {
  if (number === 0) return "0.0"
  if (number < 0.05) return "<0.1"
  const tenths = number.toFixed(1)
  return Number(tenths) < 10 ? tenths : grouped(number.toFixed(0))
}

const UNITS = {
  ms: duration,
  s: (seconds) => duration(seconds * 1000),
  percent,
  usd: money,
  bytes: size,
  bytes_per_s: (number) => { const [text, suffix] = size(number); return [text, suffix + "/s"] },
}

/** How old the prices of an estimate are: in a line, and as a sentence. */
export const prices = ({ oldest }) => `prices ${oldest.slice(0, 7)}`
export const aged = ({ oldest, example }) => `The oldest price used was looked up on ${oldest}${example ? "; it is a built-in example" : ""}`

/** How much of a cost is an estimate: "12% estimated". */
export const estimated = (share) => `${share < 0.005 ? "<1" : Math.round(share * 100)}% estimated`

/** A confidence: two decimals, and never 1.00 for what is not certain. */
export const confidence = (c) => known(c) ? (c < 1 ? Math.min(c, 0.99) : 1).toFixed(2) : DASH
