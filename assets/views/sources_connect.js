// Connect a tool: the lines of set-up with this server's address and a key, and an event that shows that they work.
// The key lives in this object alone: never in the address, never in storage, gone when the page is left.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { copy } from "../menus.js"
import { call } from "./load_api.js"
import { TOOLS } from "./sources_tools.js"
import { wayWord } from "./sources_words.js"

const KEY = /^[\w.-]{8,200}$/ // what may stand in a line of set-up without another meaning there
const TEST = "connection-test"
const PATIENCE_MS = 15_000
const ASK_MS = 250

export class Connect {
  /** hooks: choose(tool id), sources() → promise of what is listed, open(source). */
  constructor({ admin, hooks }) {
    this.hooks = hooks
    this.key = ""
    this.said = h("p.visually-hidden", { role: "status" })
    this.tabs = TOOLS.map((tool) => this.#tab(tool))
    this.panel = h("div.setup", { role: "tabpanel", id: "setup", tabindex: "-1" })
    this.element = h("section.card.connect", { "aria-labelledby": "connect-title" },
      h("header", {}, h("h2", { id: "connect-title" }, "Connect a tool"), h("span.sub", {}, "The lines hold this server's address, as you reached it")),
      this.#keyBar(admin), this.#testBar(),
      h("div.tools", {}, h("div.tabs", { role: "tablist", "aria-label": "Tools", keydown: (event) => this.#walk(event) }, this.tabs), this.panel), this.said)
  }

  /** Show the set-up of a tool; an unknown name is the first. */
  show(id) {
    const tool = TOOLS.find((t) => t.id === id) ?? TOOLS[0]
    for (const tab of this.tabs) {
      const on = tab.id === `tool-${tool.id}`
      mark(tab, "aria-selected", String(on))
      tab.tabIndex = on ? 0 : -1
    }
    mark(this.panel, "aria-labelledby", `tool-${tool.id}`)
    if (this.tool === tool) return
    this.tool = tool
    this.#draw()
  }

  #tab({ id, name, about }) {
    return h("button", { role: "tab", type: "button", id: `tool-${id}`, "aria-controls": "setup", click: () => this.hooks.choose(id) }, h("b", {}, name), h("small", {}, about))
  }

  #walk(event) {
    const here = this.tabs.indexOf(event.target.closest("[role=tab]"))
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key]
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.tabs.length - 1 : step && (here + step + this.tabs.length) % this.tabs.length
    if (here < 0 || to === undefined) return
    event.preventDefault()
    this.hooks.choose(TOOLS[to].id)
    this.tabs[to].focus()
  }

  #draw() {
    const { tool } = this
    this.panel.replaceChildren(
      h("p.about", {}, `It tells ${listed(tool.ways.map(wayWord))}. `, tool.read.startsWith("/") ? h("a", { href: tool.read }, "More about it")
        : [h("a", { href: "/docs/tools" }, "What of it is understood"), ", ", h("a", { href: tool.read, target: "_blank", rel: "noreferrer" }, "its own documentation")]),
      ...tool.blocks.map((block) => this.#block(block)),
      h("ul.notes", {}, [...tool.notes, ...aboutAddress()].map((note) => h("li", {}, note))))
  }

  #block({ title, text }) {
    const whole = text.replaceAll("{URL}", location.origin).replaceAll("{KEY}", this.key || "KEY")
    const parts = text.replaceAll("{URL}", location.origin).split("{KEY}").flatMap((part, i) => (i ? [h(this.key ? "mark.set" : "mark", {}, this.key || "KEY"), part] : [part]))
    const button = h("button.btn.small", { type: "button", "aria-label": `Copy: ${title}` }, icon("copy"), h("span", {}, "Copy"))
    const code = h("pre", { tabindex: "0", "aria-label": title }, h("code", {}, parts))
    button.addEventListener("click", async () => {
      const done = await copy(whole)
      if (!done) getSelection().selectAllChildren(code)
      this.#tell(button, done, `${title} copied${this.key || !text.includes("{KEY}") ? "" : ", with KEY where a key belongs"}`)
    })
    return h("div.block", {}, h("div.block-head", {}, h("h3", {}, title), button), code)
  }

  // the key

  #keyBar(admin) {
    this.field = h("input", { type: "text", "aria-label": "Key for the lines below", autocomplete: "off", spellcheck: "false", placeholder: admin ? "Make one, or paste one you have" : "Paste a key that may send", input: () => this.#use(this.field.value.trim()) })
    const copied = h("button.btn", { type: "button", hidden: true, click: async () => this.#tell(copied, await copy(this.key), "The key is copied") }, icon("copy"), h("span", {}, "Copy"))
    this.copied = copied
    this.fault = h("p.refusal", { role: "alert", hidden: true })
    this.note = h("p.note")
    const make = h("button.btn.primary", { type: "button", click: () => this.#make(make) }, "Make a key")
    this.#noted(admin ? "A fresh key may send events and nothing else." : null)
    return h("div.key-bar", {}, h("div.joined-field", {}, h("span.label", { "aria-hidden": "true" }, "Key"), this.field, copied, admin ? make : null), this.note, this.fault)
  }

  #noted(words) {
    const who = "Making keys takes the scope admin: whoever runs this server can make you one on the page Keys. Paste it here; it stays on this page."
    this.note.replaceChildren(words ?? who)
  }

  async #make(button) {
    if (button.ariaBusy === "true") return
    button.ariaBusy = "true"
    this.#refused("")
    try {
      const made = await call("/api/keys", "POST", { name: `sender, made ${format.clock(Date.now(), "", "full")}`, scopes: ["ingest"] })
      this.field.value = made.key
      this.#use(made.key)
      this.note.replaceChildren("Copy it now: it is shown once, and is in the lines below. ", h("a", { href: "/keys" }, "Keys"), ` lists it as “${made.name}”, and can end it.`)
      say(this.said, "A key is made, and is in the lines below. It is shown once: copy it now.")
      this.field.select()
    } catch (error) {
      this.#refused(error.message)
    } finally {
      button.ariaBusy = "false"
    }
  }

  #use(key) {
    const fits = KEY.test(key)
    this.#refused(key && !fits ? "That does not look like a key: it is letters, digits and underscores." : "")
    this.key = fits ? key : ""
    this.copied.hidden = !this.key
    mark(this.test, "aria-disabled", this.key ? null : "true")
    this.#draw()
  }

  #refused(words) {
    this.fault.hidden = !words
    if (words) this.fault.replaceChildren(icon("warn"), h("span", {}, words))
  }

  // an event that shows that it works

  #testBar() {
    this.test = h("button.btn", { type: "button", "aria-disabled": "true", click: () => this.#try() }, "Send a test event")
    this.outcome = h("p.outcome", { role: "status" }, h("span.faint", {}, "Needs a key. It is kept as any event, of the source ", h("code", {}, TEST), "."))
    return h("div.test-bar", {}, this.test, this.outcome)
  }

  #out(tone, ...words) {
    this.outcome.replaceChildren(tone === "wait" ? h("i.busy", { "aria-hidden": "true" }) : icon(tone === "good" ? "check" : "warn"), h("span", {}, ...words))
    this.outcome.className = `outcome ${tone}`
  }

  async #try() {
    if (!this.key) return this.field.focus()
    if (this.test.ariaBusy === "true") return undefined
    this.test.ariaBusy = "true"
    try {
      const before = await this.#listed().catch(() => undefined)
      const start = performance.now()
      this.#out("wait", "Sending")
      await send(this.key)
      const kept = performance.now() - start
      this.#out("wait", `The server kept it after ${format.text(kept, "ms")}. Waiting until it is listed.`)
      const took = await this.#arrived(before, start)
      if (took === null) return this.#out("bad", `The server kept it after ${format.text(kept, "ms")}, but it is not listed to you after ${PATIENCE_MS / 1000} s: your own key may be limited to some domains, and this event has none.`)
      this.#out("good", `It arrived: kept after ${format.text(kept, "ms")}, listed after ${format.text(took, "ms")}. `, h("button.link", { type: "button", click: () => this.hooks.open(TEST) }, "Show it"))
    } catch (error) {
      this.#out("bad", error.message)
    } finally {
      this.test.ariaBusy = "false"
    }
    return undefined
  }

  /** When the newest test event was, as the list has it; null without one. */
  async #listed() {
    const { sources } = await within(this.hooks.sources(), 5000)
    return sources.find((s) => s.source === TEST)?.last_seen ?? null
  }

  async #arrived(before, start) {
    while (performance.now() - start < PATIENCE_MS) {
      const seen = await this.#listed().catch(() => before)
      if (seen && seen !== before) return performance.now() - start
      await new Promise((done) => setTimeout(done, ASK_MS))
    }
    return null
  }

  #tell(button, done, words) {
    const [text] = [button.querySelector("span")]
    say(text, done ? "Copied" : "Press Ctrl+C")
    say(this.said, done ? words : "This page may not copy: press Ctrl+C, or Cmd+C.")
    setTimeout(() => say(text, "Copy"), 1600)
  }
}

/** One event through the public intake, with the key and without this page's own sign-in. Throws what a person can read. */
async function send(key) {
  const event = { source: TEST, kind: "event", name: "connection test" }
  let reply
  try {
    reply = await fetch("/api/ingest/events", { method: "POST", credentials: "omit", headers: { "X-API-Key": key, "Content-Type": "application/json" }, body: JSON.stringify(event) })
  } catch {
    throw new Error("The server does not answer.")
  }
  const found = await reply.json().catch(() => ({}))
  if (!reply.ok) throw new Error([found.detail ?? found.title ?? `The server answered ${reply.status}`, found.hint].filter(Boolean).map(format.sentence).join(" "))
  if (found.accepted !== 1) throw new Error(`The server kept nothing: ${found.dropped?.map((d) => d.example ?? d.reason).join("; ") || "it says the event was there already"}.`)
}

/** What to know of this address before it goes into a file elsewhere. */
function aboutAddress() {
  const { hostname, protocol } = location
  if (/^(localhost|127\..*|\[::1\])$/.test(hostname)) return [`${hostname} means this machine: on another one, write this server's name in its place.`]
  return protocol === "http:" ? ["This address is not encrypted: whoever reads the network reads the key."] : []
}

const within = (promise, ms) => Promise.race([promise, new Promise((_, failed) => setTimeout(() => failed(new Error("no answer")), ms))])

const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`)
