// Time travel: the board as it was known at a moment, with a slider over the window and beyond, and a replay.
// It only ever sets `as_of` of the scope; while it is dragged or played, without a step to undo for each moment.

import { h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { segments } from "./picker.js"
import * as times from "./times.js"

const PACE_MS = 400 // between two questions at least, and not before the last one is answered
const PATIENCE_MS = 3000 // with a question that is not
const FRAME_MS = 100 // between two moves of the slider while it plays
const SPEEDS = [1, 5, 20, 60]

/** "As known at 14:02:10", with the day where it is not today's. */
export function knownAt(at, now, tz) {
  const day = (t) => Math.floor(times.wall(t, times.zone(tz)) / 86_400_000)
  return `As known at ${day(at) === day(now) ? "" : `${format.clock(at, tz, "day")} `}${format.clock(at, tz, "second")}`
}

/** The bar of the time travel in `root`, there while the scope has an `as_of`. grain() is a bucket's length in seconds. */
export function travel(root, scope, { grain }) {
  const present = () => Date.now() + scope.offset - 1000 // the server knows no future, and clocks differ a little
  const bar = { at: 0, low: 0, high: 1, speed: 1, since: null, timer: null, asked: 0, wanted: null, later: null, open: false }

  const title = h("strong", { role: "status" })
  const slider = h("input.slider", { type: "range", min: "0", max: "1", step: "1", "aria-label": "Known at", input: () => { const to = Number(slider.value); stop(); move(to) }, change: () => ask(true), keydown: (event) => pressed(event) })
  const exact = h("input.exact-time", { "aria-label": "Known at, exactly", spellcheck: "false", autocomplete: "off", maxlength: "40", change: () => typed() })
  const play = h("button.btn.square.small", { type: "button", "aria-label": "Play", click: () => toggle() }, icon("play"))
  const ago = h("span.ago")
  const back = button("left", "One step back", () => { stop(); move(bar.at - step()); ask(true) })
  const forth = button("right", "One step forward", () => { stop(); move(bar.at + step()); ask(true) })
  const speeds = segments("Speed of the replay", SPEEDS.map((n) => [String(n), `${n}×`]), "1", (value) => {
    bar.speed = Number(value)
    if (bar.since) start()
  })
  root.append(icon("clock"), title, ago, h("div.slide", {}, slider), h("div.replay", {}, back, play, forth, speeds), exact,
    h("button.btn.small.primary", { type: "button", click: () => leave() }, "Back to now"))

  function step() {
    const span = scope.span()
    return Math.max(1000, (grain() ?? (span ? (span.to - span.from) / 120_000 : 60)) * 1000)
  }

  /** Where the slider goes from and to: a moving window and as much before it; a fixed one and what came in after it. */
  function stretch() {
    const now = present()
    const span = times.tried(scope.state.window, now, scope.state.tz) ?? { from: now - 3_600_000, to: now }
    const length = span.to - span.from
    const moving = times.follows(scope.state.window, now, scope.state.tz)
    bar.low = Math.min(moving ? span.from - length : span.from, bar.at)
    bar.high = Math.max(moving ? now : Math.min(now, span.to + Math.max(length, 3_600_000)), bar.at)
    Object.assign(slider, { min: String(Math.floor(bar.low)), max: String(Math.ceil(bar.high)) })
    const share = (at) => `${Math.max(0, Math.min(100, ((at - bar.low) / (bar.high - bar.low)) * 100)).toFixed(1)}%`
    slider.style.setProperty("--from", share(span.from))
    slider.style.setProperty("--to", share(span.to))
  }

  function show() {
    const { tz } = scope.state
    const words = knownAt(bar.at, present(), tz)
    say(title, words)
    say(ago, `${format.age((present() - bar.at) / 1000)} ago`)
    slider.value = String(bar.at)
    mark(slider, "aria-valuetext", words)
    if (document.activeElement !== exact) exact.value = times.typed(bar.at, tz)
    mark(play, "aria-label", bar.since ? "Stop the replay" : "Play")
    if (play.dataset.playing !== String(Boolean(bar.since))) {
      play.dataset.playing = String(Boolean(bar.since))
      play.replaceChildren(icon(bar.since ? "pause" : "play"))
    }
    forth.disabled = bar.at >= bar.high
    back.disabled = bar.at <= bar.low
  }

  function move(to) {
    bar.at = Math.floor(Math.max(bar.low, Math.min(to, bar.high)) / 1000) * 1000
    show()
    ask()
  }

  /** Ask for the moment shown, at once or as soon as the pace allows. */
  function ask(now) {
    bar.wanted = times.rfc3339(bar.at)
    clearTimeout(bar.later)
    const pause = bar.open ? PATIENCE_MS : PACE_MS
    bar.later = setTimeout(() => {
      if (!scope.state.as_of || scope.state.as_of === bar.wanted) return
      bar.asked = performance.now()
      bar.open = true
      scope.set({ as_of: bar.wanted }, { step: false })
    }, now ? 0 : Math.max(0, bar.asked + pause - performance.now()))
  }

  /** An answer came: what was asked last is on screen, and the next moment may be asked for. */
  function answered(as_of) {
    if (!bar.open || as_of !== Date.parse(scope.state.as_of)) return
    bar.open = false
    if (bar.wanted !== scope.state.as_of) ask()
  }

  function start() {
    if (bar.at >= bar.high - 1000) bar.at = bar.low
    bar.since = { at: bar.at, clock: performance.now() }
    clearInterval(bar.timer)
    bar.timer = setInterval(() => {
      bar.high = Math.max(bar.high, Math.min(present(), bar.since.at + (performance.now() - bar.since.clock) * bar.speed))
      move(bar.since.at + (performance.now() - bar.since.clock) * bar.speed)
      if (bar.at >= bar.high - 1000) stop()
    }, FRAME_MS)
    show()
  }

  function stop() {
    clearInterval(bar.timer)
    bar.since = null
    show()
  }

  const toggle = () => (bar.since ? stop() : start())

  function pressed(event) {
    const span = bar.high - bar.low
    const by = { ArrowLeft: -step(), ArrowDown: -step(), ArrowRight: step(), ArrowUp: step(), PageDown: -span / 10, PageUp: span / 10, Home: -span, End: span }[event.key]
    if (by === undefined && event.key !== " ") return
    event.preventDefault()
    if (event.key === " ") return toggle()
    stop()
    move(bar.at + by)
  }

  function typed() {
    let at
    try { at = times.moment(exact.value.trim(), present(), times.zone(scope.state.tz)) } catch { return mark(exact, "aria-invalid", "true") }
    mark(exact, "aria-invalid", null)
    stop()
    bar.at = Math.min(at, present())
    stretch()
    move(bar.at)
    ask(true)
  }

  /** Go on the journey: from the present, or from where a fixed window ends. */
  function enter() {
    if (!scope.state.as_of) {
      const span = scope.span()
      const at = Math.min(present(), span && !times.follows(scope.state.window, present(), scope.state.tz) ? span.to : Infinity)
      scope.set({ as_of: times.rfc3339(Math.floor(at / 1000) * 1000) })
    }
    slider.focus()
  }

  function leave() {
    stop()
    clearTimeout(bar.later)
    bar.open = false
    scope.set({ as_of: "" })
  }

  function follow() {
    const at = Date.parse(scope.state.as_of)
    const away = Number.isFinite(at)
    if (root.hidden === away) root.hidden = !away
    mark(document.documentElement, "data-past", away ? "" : null)
    if (!away) return bar.since && stop()
    if (scope.state.as_of !== bar.wanted) { // somebody else set it: an address, undo
      bar.wanted = scope.state.as_of
      bar.at = at
    }
    if (!bar.since) stretch()
    show()
  }

  scope.on(follow)
  follow()
  return { enter, leave, toggle, answered, get away() { return !root.hidden } }
}

function button(sign, label, click) {
  return h("button.btn.square.small", { type: "button", "aria-label": label, click }, icon(sign))
}
