// The scope bar: it shows the scope and changes it. The markup is in templates/page.html; each part has a module.

import { arrange, h, icon, mark, say } from "./dom.js"
import { pageEntries } from "./exports.js"
import { filters } from "./filters.js"
import * as format from "./format.js"
import { ask, help, keyboard, wall, why } from "./keymap.js"
import { copy, dialog, menu } from "./menus.js"
import { compares, grains, range } from "./range.js"
import { dataStatus, factsLine } from "./status.js"
import * as times from "./times.js"
import { knownAt, travel } from "./travel.js"

const PARTS = ["compare", "range", "earlier", "later", "wider", "live", "pause", "share", "more", "chips", "filter", "nothing", "grain", "facts", "travel", "foot"]

/** Bind the controls inside `root` to a scope. Returns {status(status), data(board)} for the board, or a view, to call. */
export function controls(root, scope, { home, feed, page }) {
  const find = (name) => root.querySelector(`[data-control="${name}"]`)
  const parts = Object.fromEntries(PARTS.map((name) => [name, find(name)]))
  const known = { board: null, status: null, now: null }
  const board = () => known.board
  const dataset = () => known.board?.dataset

  const journey = travel(parts.travel, scope, { grain: () => board()?.window?.grain_s })
  const chips = filters({ holder: parts.chips, button: parts.filter, note: parts.nothing }, scope, feed, dataset)
  const compared = compares(parts.compare, scope, board)
  const grained = grains(parts.grain, scope, board)
  range(parts.range, scope, { travel: journey.enter })
  dataStatus(parts.facts, scope, feed, dataset)

  const live = () => {
    const window = isLive(scope) ? scope.state.window : home
    scope.set({ paused: false, as_of: "", window })
  }
  const pause = () => (journey.away ? journey.toggle() : scope.set({ paused: !scope.state.paused }, { step: false }))
  const shared = menu(parts.share, () => [
    { text: "Copy link", note: "moves with time", act: () => share(parts.share, scope.href({ paused: false })) },
    { text: "Copy link pinned to this time", note: "shows what is known now, for ever", act: () => share(parts.share, pinnedHref(scope, board())) },
    ...pageEntries({ scope, page, board }),
  ])
  const act = {
    ask, pause, live: () => scope.set({ window: home, paused: false, as_of: "" }), back: () => scope.pan(-1), forth: () => scope.pan(1), closer: () => scope.zoom(0.5), wider: () => scope.zoom(2),
    filter: chips.add, compare: compared.toggle, why, share: shared.open, undo: () => scope.undo(), redo: () => scope.redo(), wall: wall(), help,
    theme: () => scope.set({ theme: theme() === "dark" ? "light" : "dark" }, { step: false }),
  }
  for (const [name, does] of [["pause", pause], ["live", live], ["earlier", act.back], ["later", act.forth], ["wider", act.wider]]) parts[name].addEventListener("click", does)
  menu(parts.more, () => [
    { text: "Undo", hint: "z", off: scope.canUndo ? null : "there is nothing to undo", act: act.undo },
    { text: "Redo", hint: "Z", off: scope.canRedo ? null : "there is nothing to redo", act: act.redo },
    { text: "As known at …", act: journey.enter },
    { text: "Only the board", hint: "k", act: act.wall },
    { text: theme() === "dark" ? "Light theme" : "Dark theme", hint: "t", act: act.theme },
    { text: "Keys", hint: "?", act: help },
    { text: "Docs", href: "/docs" },
    { text: "API", href: "/api" },
    { text: "Sign out", act: () => find("logout").requestSubmit() },
  ])
  keyboard(act)

  const title = document.title
  const show = () => {
    shown(parts, scope)
    compared.show()
    grained.show()
    links(scope)
    document.title = scope.state.as_of ? `${knownAt(Date.parse(scope.state.as_of), Date.now(), scope.state.tz)} · ${title}` : title
    if (known.status) lively(parts.live, scope, known.status)
  }
  scope.on(show)
  show()
  return {
    status(status) {
      known.status = status
      lively(parts.live, scope, status)
    },
    data(fresh) {
      if (typeof fresh.now === "number" && fresh.now !== known.now && !fresh.as_of) scope.offset = fresh.now - Date.now()
      known.board = fresh
      known.now = fresh.now
      factsLine(parts.facts, fresh, scope.state.tz)
      foot(parts.foot, fresh)
      chips.fresh()
      journey.answered(fresh.as_of)
      compared.show()
      grained.show()
    },
  }
}

export const theme = () => document.documentElement.dataset.theme

const isLive = (scope) => times.follows(scope.state.window, Date.now() + scope.offset, scope.state.tz)

function shown(parts, scope) {
  const { window, tz, paused } = scope.state
  say(parts.range.querySelector("span"), times.said(window, scope.now(), tz))
  mark(parts.range, "title", explained(window, scope))
  mark(parts.later, "disabled", scope.span() && times.panned(window, 1, scope.now(), tz) === window)
  mark(parts.pause, "aria-pressed", String(paused))
  mark(parts.pause, "aria-label", paused ? "Go on" : "Pause")
  if (parts.pause.dataset.icon !== String(paused)) {
    parts.pause.dataset.icon = String(paused)
    parts.pause.replaceChildren(icon(paused ? "play" : "pause"))
  }
}

function explained(window, scope) {
  try { return `${times.meaning(window, scope.now(), scope.state.tz)}, ${times.zone(scope.state.tz)}` } catch (error) { return error.message }
}

const WORDS = {
  live: ["dot", "Live"], loading: ["dot", "Connecting"], paused: ["pause", "Paused"], delayed: ["clock", "Delayed"],
  stale: ["warn", "Stale"], reconnecting: ["retry", "Reconnecting"], refused: ["warn", "No answer"], closed: ["warn", "Disconnected"],
  past: ["clock", "Past"],
}

function lively(button, scope, { name: told, age, late, waiting, connection }) {
  const { as_of, tz } = scope.state
  // what shows a past moment, or a range that is over, is not live however well the connection does
  const name = told !== "live" ? told : as_of || !isLive(scope) ? "past" : "live"
  const [sign, word] = WORDS[name]
  if (button.dataset.state !== name) {
    button.dataset.state = name
    button.firstElementChild.replaceChildren(sign === "dot" ? h("i.dot") : icon(sign))
  }
  const [, label, detail] = button.children
  say(label, as_of && (name === "past" || name === "paused") ? knownAt(Date.parse(as_of), Date.now(), tz) : word)
  const aged = age !== null && !as_of && !["closed", "loading", "refused", "past"].includes(name)
  say(detail, !aged ? "" : name === "paused" && waiting ? `${waiting} waiting` : (late && name === "live" ? `data ${format.age(age)} old` : format.age(age)))
  mark(detail, "class", late && name === "live" ? "late" : null)
  const why = connection.reason ? `${format.sentence(connection.reason)} ` : ""
  const tries = name === "reconnecting" || (connection.name === "reconnecting" && name !== "paused") ? `Try ${connection.attempt}. ` : ""
  mark(button, "title", why + tries + (name === "past" ? "Press to come back to live" : age === null ? "" : `The newest data is ${format.age(age)} old`))
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

function foot(line, { file, query_ms, viewers }) {
  const words = [
    file ? `Built from ${file}` : "",
    typeof query_ms === "number" ? `Query ${format.text(query_ms, "ms")}` + (viewers > 1 ? `, shared by ${format.text(viewers)} viewers` : "") : "",
    "Press ? for keys",
  ].filter(Boolean)
  arrange(line, words.map((text, i) => { const span = line.children[i] ?? h("span"); say(span, text); return span }))
}

/** The address of what is seen now, that shows the same whenever it is opened. */
function pinnedHref(scope, board) {
  const [from, to] = [board?.window?.from, board?.window?.to].map((text) => Date.parse(text ?? ""))
  const span = Number.isFinite(from) && Number.isFinite(to) ? { from, to } : scope.span()
  const second = (at) => Math.floor(at / 1000) * 1000
  return scope.href({ window: span ? times.pinned(second(span.from), second(span.to)) : scope.state.window, as_of: scope.state.as_of || times.rfc3339(second(scope.now())), paused: false })
}

async function share(button, href) {
  const label = button.querySelector("span")
  const done = await copy(location.origin + href)
  if (!done) return dialog("Link", h("input", { readonly: true, value: location.origin + href, "aria-label": "Link to this view", focus: (event) => event.target.select() }))
  say(label, "Copied")
  setTimeout(() => say(label, "Share"), 1600)
}

/** The pages of the navigation keep what is looked at: the range everywhere, the filters where the data is the same. */
function links(scope) {
  const { window, filters: chosen, tz, compare, as_of, theme: named } = scope.state
  for (const link of document.querySelectorAll("nav a[data-keep]")) {
    const base = link.dataset.keep
    const kept = scope.query({ ...scope.defaults, window, tz, compare, as_of, theme: named, filters: link.dataset.filters === undefined ? [] : chosen })
    link.setAttribute("href", kept ? `${base}${base.includes("?") ? "&" : "?"}${kept}` : base)
  }
}
