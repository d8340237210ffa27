// The page /embed: a board in a frame of another site's page. It shows nothing before a ticket opened its socket, and
// says in words what it waits for. What it shows is told by its address, or by the page around it: see around.js.

import { mount } from "../board.js"
import { arrange, h, icon, mark, say } from "../dom.js"
import { entries } from "../exports.js"
import { Feed } from "../feed.js"
import * as format from "../format.js"
import { Scope } from "../scope.js"
import { Around, refused } from "./around.js"

const NAMES = ["board", "scope", "theme", "lang"]
const LANGUAGE = /^[a-z]{2,8}(-[a-z\d]{1,8}){0,4}$/i
const TEXT_MOST = 4000
const DARK = matchMedia("(prefers-color-scheme: dark)")
const WORDS = {
  live: ["Live", "good"], loading: ["Connecting", "dim"], paused: ["Paused", "dim"], delayed: ["Delayed", "warn"], stale: ["Stale", "warn"],
  reconnecting: ["Reconnecting", "warn"], refused: ["No answer", "bad"], closed: ["Ended", "bad"],
}

const page = JSON.parse(document.getElementById("embed").textContent)
const root = document.documentElement

const bokeh = new Promise((done, failed) => {
  document.head.append(h("script", { src: page.scripts[0], load: () => done(globalThis.Bokeh), error: () => failed(new Error("the charts did not load")) }))
})

class Embed {
  constructor() {
    const query = new URLSearchParams(location.search)
    this.asked = { scope: "" }
    for (const name of ["board", "theme", "lang"]) {
      this.asked[name] = query.get(name) ?? ""
      query.delete(name)
    }
    this.asked.scope = query.toString()
    this.connection = { name: "connecting" }
    this.refusal = ""
    const find = (selector) => document.querySelector(`.embed ${selector}`)
    this.parts = { title: find("h1"), label: find(".label"), chips: find(".chips"), reset: find("[data-control=reset]"), live: find(".live"), banner: find(".banner"), main: find("main") }
    this.around = new Around({ set: (told) => this.#set(told), brought: () => { if (this.connection.name === "closed") this.feed.retry() } })
    this.parts.reset.addEventListener("click", () => this.#rescope())
    DARK.addEventListener("change", () => this.#themed())
    new ResizeObserver(() => this.#size()).observe(document.body)
    this.#dress()
    this.around.tell("ready")
    if (this.asked.board) this.#open()
    else if (!this.around.framed) this.#refuse("The address of this page names no board. It could be: /embed?board=overview")
  }

  #set({ fits, ...told }) {
    if (fits) mark(root, "data-fits", "")
    const before = this.asked
    const text = NAMES.filter((name) => typeof told[name] === "string")
    this.asked = { ...before, ...Object.fromEntries(text.map((name) => [name, told[name].slice(0, TEXT_MOST)])) }
    this.#dress()
    if (!this.asked.board) return this.#refuse("No board is named: say which one with `board`")
    if (!this.feed) return this.#open()
    if (this.asked.board !== before.board) this.#build()
    else if (this.asked.scope !== before.scope) this.#rescope()
  }

  #open() {
    const url = new URL(page.feed_url, location.href)
    url.protocol = url.protocol.replace("http", "ws")
    url.searchParams.set("embed", this.around.origin)
    this.#refuse("")
    this.feed = new Feed(url.href, { session: null, ticket: () => this.#ticket(), told: (state) => this.#connected(state) })
  }

  async #ticket() {
    if (this.connection.attempt) await reachable() // no ticket is asked for while nobody is there to take it
    return this.around.take(this.connection.reason ?? "")
  }

  #connected(state) {
    this.connection = state
    if (state.name === "connected") {
      this.token = state.token
      if (this.drawn !== this.asked.board || this.feed.restarted) this.#build()
      this.feed.restarted = false
    }
    this.#stand()
  }

  /** Draw the board that is asked for; the socket stays. What fails here comes by again with the next connection. */
  async #build() {
    const turn = (this.turn = {})
    this.drawn = null
    const query = new URLSearchParams({ board: this.asked.board, theme: root.dataset.theme })
    const reply = await fetch(`/embed/spec.json?${query}`, { headers: { "X-Embed-Token": this.token ?? "" }, credentials: "omit" }).catch(() => null)
    const body = await reply?.json().catch(() => null)
    if (turn !== this.turn || !body || reply.status === 401) return
    if (reply.ok && reply.headers.get("X-Plumbline-Version") !== page.version && this.#reload()) return
    this.board?.destroy()
    this.board = this.data = this.status = null
    this.parts.main.replaceChildren()
    if (reply.ok) this.#draw(body)
    else this.#refuse([body.detail, body.hint].filter(Boolean).map(format.sentence).join(" "))
  }

  #draw(spec) {
    const { feed } = this
    this.spec = spec
    this.drawn = this.asked.board
    this.scope = new Scope(scoped(this.asked.scope, spec), { window: spec.window })
    this.scope.on(() => this.#head())
    const holder = h("div.board")
    this.parts.main.append(holder)
    // the socket outlives the board; and what needs a sign-in, links and files, is not here
    const transport = {
      get request() { return feed.request },
      ask: (request) => feed.ask(request), listen: (listener) => feed.listen(listener), retry: () => feed.retry(),
      close() { feed.listen(NOBODY); feed.ask(null) },
    }
    this.board = mount(holder, { ...spec, tiles: spec.tiles.map((tile) => ({ ...tile, link: "" })) }, transport, {
      scope: this.scope, bokeh, files: (tile) => entries(tile, null), theme: () => root.dataset.theme,
      status: (status) => { Object.assign(this, { status, connection: status.connection }); this.#stand() }, data: (data) => this.#fresh(data),
    })
    this.#refuse("")
    this.#head()
    this.#size() // in a frame that is out of sight no observer reports
  }

  #fresh(data) {
    this.data = data
    if (data.layout && data.layout !== this.spec.layout && data.layout !== this.layout) {
      this.layout = data.layout // the workspace draws it differently now; asked for once
      return this.#build()
    }
    this.#head()
  }

  #rescope() {
    this.scope?.set(scoped(this.asked.scope, this.spec))
  }

  /** Another version of the server: this page anew, where the page around tells it everything again. */
  #reload() {
    if (!root.hasAttribute("data-fits") || sessionStorage.getItem("plumbline.left") === page.version) return false
    sessionStorage.setItem("plumbline.left", page.version)
    location.reload()
    return true
  }

  #size() {
    const height = Math.ceil(document.body.getBoundingClientRect().height)
    if (height === this.height) return
    this.height = height
    this.around.tell("size", { height })
  }

  #dress() {
    root.lang = LANGUAGE.test(this.asked.lang) ? this.asked.lang : "en"
    this.#themed()
  }

  #themed() {
    const { theme } = this.asked
    const now = theme === "light" || theme === "dark" ? theme : DARK.matches ? "dark" : "light"
    if (root.dataset.theme === now) return
    root.dataset.theme = now
    this.board?.setTheme(now)
  }

  #head() {
    const { parts, scope, data, spec } = this
    say(parts.title, spec.title)
    document.title = `${spec.title} · Plumbline`
    say(parts.label, data?.label ?? "")
    const { filters } = scope.state
    if (parts.chips.filters !== filters) arrange(parts.chips, filters.map((filter) => chip(filter, () => scope.swap(filter, null))))
    parts.chips.filters = filters
    parts.reset.hidden = JSON.stringify(scope.state) === JSON.stringify({ ...scope.state, ...scoped(this.asked.scope, spec) })
  }

  #refuse(words) {
    this.refusal = words
    this.#stand()
  }

  /** How it stands: in a word, in a banner where somebody should know why, and to the page around. */
  #stand() {
    const { connection, board, refusal, status, parts } = this
    const name = refusal ? "refused" : (board && status?.name) || (connection.name in WORDS ? connection.name : "loading")
    const reason = refusal || connection.reason || ""
    const [word, tone] = WORDS[name]
    const late = name === "live" && status?.late
    const old = status?.age != null && (late || tone === "warn") ? `${format.age(status.age)} old` : ""
    mark(parts.live, "data-tone", late ? "warn" : tone)
    say(parts.live.lastChild, late ? `Data ${old}` : [word, board && old].filter(Boolean).join(", "))
    const why = refusal || name === "closed" || (!board && name === "reconnecting") ? format.sentence(reason) : ""
    const told = `${name} ${why} ${reason}`
    if (told === this.told) return
    this.told = told
    parts.banner.hidden = !why
    parts.banner.replaceChildren(icon("warn"), h("span", {}, why), name === "closed" ? h("button.btn", { type: "button", click: () => this.feed.retry() }, "Try again") : "")
    this.around.tell("state", { name, reason })
  }
}

const NOBODY = { message() {}, state() {} }

async function reachable() {
  const reply = await fetch("/healthz", { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(5000) }).catch(() => null)
  if (!reply?.ok) throw refused("the server is not answering")
}

/** The state that the text of a scope asks for; theme and pause are not its to say. */
function scoped(text, spec) {
  return { ...new Scope({}, { window: spec.window }).read(text.replace(/^\?/, "")), theme: "", paused: false }
}

function chip({ dim, op, values }, remove) {
  const not = op.startsWith("not") || op === "is_not" ? "not " : op === "contains" ? "contains " : ""
  return h("span.chip", {}, h("span.edit", {}, h("i", {}, dim), h("b", {}, not + values.map((v) => v ?? "(none)").join(", "))),
    h("button.cross-out", { type: "button", "aria-label": `Remove the filter ${dim}`, click: remove }, icon("cross")))
}

globalThis.Plumbline = { ...globalThis.Plumbline, embed: new Embed() }
