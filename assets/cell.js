// A board in a notebook's cell: dashboard/cell.py hands over its model. What the kernel says comes through it, and what
// is done here goes back through it.

import { mount } from "./board.js"
import { tied } from "./component.js"
import { arrange, h, icon, mark, say } from "./dom.js"
import { entries } from "./exports.js"
import * as format from "./format.js"
import { compares } from "./range.js"
import { menu } from "./menus.js"
import { Scope } from "./scope.js"
import * as times from "./times.js"

const FRESH_MS = 10_000 // what a cell was made with passes for now no longer than this
const PATIENCE_MS = 6_000 // for a first word of the kernel
const BEAT_MS = 1_000
const KNOCK_MS = 2_500 // between two attempts to be heard by the kernel

/** Draw the model's board into `el`. */
export async function cell(model, el) {
  const { spec } = model
  const scope = new Scope(model.scope, { window: spec.window })
  scope.steps = new Steps(scope)
  const host = h("div.leaf", { "data-single": spec.single })
  const themed = themes(host, scope)
  tied(model, scope)
  const strip = new Strip(spec, scope)
  host.append(h("div.room", {}, strip.element, h("div.grid")))
  el.append(h("style", {}, model.style_text), host)
  host.addEventListener("click", (event) => { // a link must not take the notebook away
    const link = event.target.closest?.("a[href]")
    if (link) link.target = "_blank"
  }, true)
  const ground = globalThis.Plumbline = { ...globalThis.Plumbline, ground: host }
  lettered(model)
  await new Promise((done) => setTimeout(done)) // Bokeh embeds only into elements that are in the page
  const handle = mount(host, spec, channel(model, scope), {
    scope, files: (tile) => entries(tile, null), bokeh: Promise.resolve(globalThis.Bokeh),
    brushed: (tile, from, to) => model.send_msg({ type: "brushed", tile, from, to }),
    status: (status) => strip.stands(status), data: (board) => strip.shows(board),
  })
  const unwatch = themed(handle)
  model.on("remove", () => {
    unwatch()
    handle.destroy()
    if (globalThis.Plumbline === ground) delete ground.ground
  })
}

/** The transport of a notebook: what the cell was made with, then the component's own messages. */
function channel(model, scope) {
  const { spec, state: first } = model
  const send = (data) => model.send_msg(data)
  let [beat, knock, heard, moved] = [null, null, false, false]
  // a first word may be lost while the kernel is busy, so it is said until there is an answer
  const ask = () => {
    send({ type: "ask", tz: Intl.DateTimeFormat().resolvedOptions().timeZone, ...(moved ? { scope: scope.state } : {}) })
    knock = setTimeout(() => { if (!heard) ask() }, KNOCK_MS)
  }
  return {
    request: null,
    ask(request) { // the kernel hears of it by the scope
      moved ||= this.request !== null && !heard
      this.request = request
    },
    listen({ message, state }) {
      const old = !spec.static && first.now !== undefined && Date.now() - first.now > FRESH_MS
      state(old ? { name: "closed", reason: "Of an earlier run; run the cell again", attempt: 0 } : { name: "connected", attempt: 0 })
      if (first.tiles) message({ type: "analytics_update", analytics: spec.static ? first : { ...first, now: null } }) // it tells no time
      model.on("msg:custom", (said) => {
        if (!["connection", "analytics_update", "frame", "error"].includes(said.type)) return
        if (!heard) state({ name: "connected", attempt: 0 })
        heard = true
        if (said.type === "connection") state(said)
        else message(said)
      })
      // data that stands still needs no sign of life
      if (spec.static) beat = setInterval(() => message({ type: "frame", board: {}, tiles: {} }), BEAT_MS)
      ask()
    },
    retry: ask,
    close() {
      clearInterval(beat)
      clearTimeout(knock)
      send({ type: "close" })
    },
  }
}

/** Steps of a scope that has no address: undo is remembered here. */
class Steps {
  constructor(scope) {
    this.scope = scope
    this.now = scope.state
    this.past = []
  }

  push() {
    this.past.push(this.now)
    this.now = this.scope.state
  }

  replace() { this.now = this.scope.state }

  get canUndo() { return this.past.length > 0 }

  get canRedo() { return false }

  go(delta) {
    if (delta < 0 && this.past.length) this.scope.set({ ...this.past.pop(), theme: this.scope.state.theme }, { step: false })
  }
}

/** The theme of the scope, else the notebook's own, also when that changes. Returns a function of the board's handle. */
function themes(host, scope) {
  const dark = () => document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark")
  const wear = () => { host.dataset.theme = scope.state.theme || (dark() ? "dark" : "light") }
  scope.on((state, patch) => { if ("theme" in patch) wear() }) // first, so that all after it see the new theme
  wear()
  return (handle) => {
    const watch = new MutationObserver(() => { wear(); handle.setTheme() })
    watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] })
    return () => watch.disconnect()
  }
}

/** A shadow root loads no font: the document does, once. */
function lettered(model) {
  if ([...document.fonts].some((face) => face.family === "Inter")) return
  model.on("msg:custom", async ({ type, font }) => {
    if (type !== "font" || globalThis.Plumbline.font) return
    globalThis.Plumbline.font = `data:font/woff2;base64,${font}`
    const bytes = Uint8Array.from(atob(font), (c) => c.charCodeAt(0))
    document.fonts.add(await new FontFace("Inter", bytes, { weight: "100 900" }).load())
  })
  model.send_msg({ type: "font" })
}

const WORDS = {
  live: ["dot", "Live"], loading: ["dot", "Connecting"], paused: ["pause", "Paused"], delayed: ["clock", "Delayed"],
  stale: ["warn", "Stale"], reconnecting: ["retry", "Reconnecting"], refused: ["warn", "No answer"], closed: ["warn", "Disconnected"],
}

/** The line above the tiles: what is looked at, with the ways to change it, and how it stands. */
class Strip {
  constructor(spec, scope) {
    Object.assign(this, { spec, scope, board: null, began: Date.now() })
    const ranges = () => [...new Set([spec.window, ...times.RANGES])]
    this.range = h("button.btn.small", { type: "button", "aria-label": "Time range" }, h("span"), h("b.caret", { "aria-hidden": "true" }))
    menu(this.range, () => ranges().map((window) => ({ text: this.#said(window), on: scope.state.window === window, act: () => scope.set({ window }) })))
    this.compare = h("button.btn.small.ghost", { type: "button" }, h("b", { "aria-hidden": "true" }, "↔"), h("span"))
    this.compared = compares(this.compare, scope, () => this.board)
    this.back = h("button.btn.small.ghost", { type: "button", hidden: true, click: () => scope.undo() }, icon("left"), "Back")
    this.chips = h("span.chips")
    this.sign = h("span.sign")
    this.word = h("span")
    this.detail = h("small")
    this.state = h("p.stands", { role: "status" }, this.sign, this.word, this.detail)
    const looks = spec.timeless ? [] : [this.range, this.compare]
    this.element = h("header.strip", {}, spec.single ? null : h("h2", {}, spec.title), looks, this.chips, this.back, this.state)
    scope.on(() => this.#show())
    this.#show()
  }

  #said(window) {
    return times.said(window, this.scope.now(), this.scope.state.tz)
  }

  #show() {
    const { window, filters } = this.scope.state
    say(this.range.firstElementChild, this.#said(window))
    this.compared.show()
    this.back.hidden = !this.scope.canUndo
    mark(this.element, "data-filtered", filters.length ? "" : null)
    arrange(this.chips, filters.map((filter) => this.#chip(filter)))
  }

  #chip(filter) {
    const not = { is_not: "not", not_in: "not", contains: "contains" }[filter.op] ?? ""
    const text = [filter.dim, not].filter(Boolean).join(" ")
    const values = filter.values.map((v) => v ?? "(none)").join(", ")
    return h("span.chip", { role: "group" }, h("span.edit", {}, h("i", {}, text), h("b", {}, values)),
      h("button.cross-out", { type: "button", "aria-label": `Take away the filter ${text} ${values}`, click: () => this.scope.swap(filter, null) }, icon("cross")))
  }

  /** The board's own words: another one may have been declared meanwhile. */
  shows(board) {
    this.board = board
    this.compared.show()
    this.layout ??= board.layout
    this.changed = board.layout !== this.layout
  }

  stands({ name, age, late, connection }) {
    const waits = name === "loading" && Date.now() - this.began > PATIENCE_MS
    const still = this.spec.static && name === "live"
    const [sign, word] = still ? ["clock", `As of ${format.clock(this.board.now, this.scope.state.tz, "second")}`] : waits ? ["warn", "No answer"] : WORDS[name]
    if (this.state.dataset.state !== name || this.sign.dataset.icon !== sign) {
      this.state.dataset.state = still ? "still" : waits ? "stale" : name
      this.sign.dataset.icon = sign
      this.sign.replaceChildren(sign === "dot" ? h("i.dot") : icon(sign))
    }
    say(this.word, word)
    const aged = age !== null && !["loading", "closed", "refused"].includes(name)
    say(this.detail, still ? this.spec.told
      : waits ? "The kernel is busy, or gone: then run the cell again"
      : name === "closed" ? format.sentence(connection.reason ?? "")
      : this.changed ? "This board was changed: run the cell again"
      : [aged ? (late ? `data ${format.age(age)} old` : format.age(age)) : "", name === "reconnecting" && connection.attempt ? `try ${connection.attempt}` : ""].filter(Boolean).join(", "))
    mark(this.detail, "class", late && !still ? "late" : null)
    mark(this.state, "title", [this.spec.told, connection.reason].filter(Boolean).join("\n"))
    mark(this.element, "data-well", name === "live" && !this.changed ? "" : null)
  }
}
