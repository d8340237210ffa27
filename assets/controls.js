// The header and the filter bar: they show the scope and change it. The markup is in templates/page.html.

import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { dialog, menu } from "./menus.js"
import { panned, zoomed } from "./scope.js"

const RANGES = [
  ["now-5m", "Last 5 minutes", "5m"], ["now-15m", "Last 15 minutes", "15m"], ["now-1h", "Last 1 hour", "1h"],
  ["now-6h", "Last 6 hours", "6h"], ["now-24h", "Last 24 hours", "24h"], ["now-7d", "Last 7 days", "7d"], ["now/d", "Today", "today"],
]

const KEYS = [
  ["Space", "pause and go on"], ["0", "back to live"], ["[  ]", "back and forth in time"], ["+  −", "zoom in and out"],
  ["c", "comparison on and off"], ["t", "light or dark"], ["←  →", "walk along a focused chart"], ["?", "this sheet"],
]

/** Bind the controls inside `root` to a scope. Returns {status(status), data(board)} for the board to call. */
export function controls(root, scope, { home }) {
  const find = (name) => root.querySelector(`[data-control="${name}"]`)
  const parts = Object.fromEntries(["compare", "range", "live", "pause", "theme", "more", "chips", "filter", "facts", "foot"].map((n) => [n, find(n)]))
  let board = null

  const toggles = {
    pause: () => scope.set({ paused: !scope.state.paused }, { step: false }),
    compare: () => scope.set({ compare: scope.state.compare === "off" ? "previous" : "off" }),
    theme: () => scope.set({ theme: theme() === "dark" ? "light" : "dark" }, { step: false }),
    live: () => scope.set({ paused: false, window: isLive(scope.state.window) ? scope.state.window : home }),
  }
  const help = () => dialog("Keys", h("dl.keys", {}, KEYS.flatMap(([key, what]) =>
    [h("dt", {}, key.split("  ").map((k) => h("kbd", {}, k))), h("dd", {}, what)])))

  for (const name of ["pause", "compare", "theme", "live"]) parts[name].addEventListener("click", toggles[name])
  menu(parts.range, () => ranges(scope))
  menu(parts.filter, () => filters(scope, board))
  menu(parts.more, () => [
    { text: theme() === "dark" ? "Light theme" : "Dark theme", hint: "t", act: toggles.theme },
    { text: "Copy link", act: () => navigator.clipboard.writeText(location.href) },
    { text: "Keys", hint: "?", act: help },
    { text: "Docs", href: "/docs" },
    { text: "API", href: "/api" },
    { text: "Sign out", act: () => root.querySelector("[data-control=logout]").requestSubmit() },
  ])
  keyboard(scope, { ...toggles, help, home })
  scope.on(() => shown(parts, scope, board))
  shown(parts, scope, board)
  return {
    status: (status) => live(parts, status),
    data: (fresh) => { board = fresh; facts(parts, scope, board); shown(parts, scope, board) },
  }
}

export const theme = () => document.documentElement.dataset.theme

const isLive = (window) => !/ to (?!now$)/.test(window)

function shown(parts, scope, board) {
  const { window, compare, paused, filters: chosen } = scope.state
  say(parts.range.querySelector("span"), board?.label ?? RANGES.find(([w]) => w === window)?.[1] ?? window)
  const off = compare === "off"
  mark(parts.compare, "aria-pressed", String(!off))
  say(parts.compare.querySelector("span"), off ? "Compare" : capital(board?.previous_label ?? "previous period"))
  mark(parts.pause, "aria-pressed", String(paused))
  mark(parts.pause, "aria-label", paused ? "Go on" : "Pause")
  if (parts.pause.dataset.icon !== String(paused)) {
    parts.pause.dataset.icon = String(paused)
    parts.pause.replaceChildren(icon(paused ? "play" : "pause"))
  }
  if (parts.theme.dataset.icon !== theme()) {
    parts.theme.dataset.icon = theme()
    parts.theme.replaceChildren(icon(theme() === "dark" ? "sun" : "moon"))
  }
  arrange(parts.chips, chosen.map((f) => chip(parts.chips, scope, f)))
  parts.filter.hidden = !(board?.domains?.length)
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)

function chip(holder, scope, filter) {
  const key = JSON.stringify(filter)
  const old = [...holder.children].find((c) => c.dataset.key === key)
  return old ?? h("button.chip", { type: "button", "data-key": key, "aria-label": `Remove the filter ${filter.dim}`,
    click: () => scope.set({ filters: scope.state.filters.filter((f) => f.dim !== filter.dim) }) },
    h("i", {}, filter.op.startsWith("not") || filter.op === "is_not" ? `${filter.dim} not` : filter.dim), h("b", {}, filter.values.map((v) => v ?? "(none)").join(", ")), icon("cross"))
}

const WORDS = {
  live: ["dot", "Live"], loading: ["dot", "Connecting"], paused: ["pause", "Paused"], delayed: ["clock", "Delayed"],
  stale: ["warn", "Stale"], reconnecting: ["retry", "Reconnecting"], refused: ["warn", "No answer"], closed: ["warn", "Disconnected"],
}

function live({ live: button }, { name, age, late, waiting, connection }) {
  const [sign, word] = WORDS[name]
  if (button.dataset.state !== name) {
    button.dataset.state = name
    button.firstElementChild.replaceChildren(sign === "dot" ? h("i.dot") : icon(sign))
  }
  const [, label, detail] = button.children
  say(label, word)
  const shown = age !== null && !["closed", "loading", "refused"].includes(name)
  say(detail, !shown ? "" : name === "paused" && waiting ? `${waiting} waiting` : (late && name === "live" ? `data ${format.age(age)} old` : format.age(age)))
  mark(detail, "class", late && name === "live" ? "late" : null)
  const why = connection.reason ? `${format.sentence(connection.reason)} ` : ""
  const tries = name === "reconnecting" || (connection.name === "reconnecting" && name !== "paused") ? `Try ${connection.attempt}. ` : ""
  mark(button, "title", why + tries + (age === null ? "" : `The newest data is ${format.age(age)} old`))
  ended(connection)
}

/** The server said not to come back: say why, and where to sign in. */
function ended(connection) {
  const gone = connection.name === "closed"
  const bar = document.querySelector("[data-control=ended]")
  if (!bar || bar.hidden === !gone) return
  bar.hidden = !gone
  if (gone) bar.replaceChildren(icon("warn"), h("b", {}, connection.reason), h("a.btn", { href: `/login?next=${encodeURIComponent(location.pathname + location.search)}` }, "Sign in"))
}

function facts({ facts: line, foot }, scope, board) {
  const { sources, events_per_min: rate, dropped, watermark, query_ms, viewers, file } = board
  const late = sources?.late?.length ?? 0
  const plural = (n, word) => `${format.text(n)} ${word}${n === 1 ? "" : "s"}`
  say(line, [
    typeof sources?.reporting === "number" ? plural(sources.reporting, "source") + (late ? `, ${late} late` : "") : "",
    typeof rate === "number" ? `${format.text(rate)} events/min` : "",
    typeof dropped === "number" ? `${format.text(dropped)} dropped` : "",
    typeof watermark === "number" ? `watermark ${format.clock(watermark, scope.state.tz, "second")}` : "",
  ].filter(Boolean).join(" · "))
  mark(line, "data-tip", late ? sources.late.map((s) => `${s.source}: ${format.age(s.age_s)} late`).join("\n") : null)
  const words = [
    file ? `Built from ${file}` : "",
    typeof query_ms === "number" ? `Query ${format.text(query_ms, "ms")}` + (viewers > 1 ? `, shared by ${format.text(viewers)} viewers` : "") : "",
    "Press ? for keys",
  ].filter(Boolean)
  arrange(foot, words.map((text, i) => { const span = foot.children[i] ?? h("span"); say(span, text); return span }))
}

function ranges(scope) {
  const { window } = scope.state
  const choose = (value) => scope.set({ window: value, paused: false })
  const field = h("input", { name: "window", value: window, spellcheck: "false", autocomplete: "off", maxlength: "80", "aria-label": "Time range", "aria-describedby": "range-help" })
  const form = h("form.typed", { submit: (event) => {
    event.preventDefault()
    const typed = field.value.trim().replace(/\s+/g, " ")
    if (typed) choose(typed)
    form.dispatchEvent(new CustomEvent("done", { bubbles: true }))
  } }, field, h("button.btn.small", {}, "Apply"), h("p", { id: "range-help" }, "now-90m · now/d · now-2h to now-1h"))
  return [...RANGES.map(([value, text, hint]) => ({ text, hint, on: value === window, act: () => choose(value) })), form]
}

function filters(scope, board) {
  const chosen = scope.state.filters.find((f) => f.dim === "domain")?.values ?? []
  return [{ heading: "Domain" }, ...(board?.domains ?? []).slice(0, 40).map((value) => ({
    text: value ?? "(none)", on: chosen.includes(value), keep: true, act: () => scope.toggle("domain", value),
  }))]
}

function keyboard(scope, act) {
  const keys = {
    " ": act.pause, 0: () => scope.set({ window: act.home, paused: false }), c: act.compare, t: act.theme, "?": act.help,
    "[": () => scope.set({ window: panned(scope.state.window, -1) }), "]": () => scope.set({ window: panned(scope.state.window, 1) }),
    "+": () => scope.set({ window: zoomed(scope.state.window, 0.5) }), "-": () => scope.set({ window: zoomed(scope.state.window, 2) }),
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input,textarea,select,dialog,[role=menu]")) return
    if (event.key === " " && event.target.closest?.("button,a,[tabindex]")) return
    if (!(event.key in keys)) return
    event.preventDefault()
    keys[event.key]()
  })
}
