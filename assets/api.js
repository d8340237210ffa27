// The page /api: one entry at a time, and "Try it" over the same socket and routes that programs use.

import { mark, say } from "./dom.js"
import * as format from "./format.js"

const SHOWN = 200_000 // characters of a reply on the screen
const WIDE = 96 // characters of JSON kept on one line

// one entry at a time

const contents = document.querySelector(".contents")
const links = [...contents.querySelectorAll("nav a")]
const articles = [...document.querySelectorAll("article")]
const narrow = matchMedia("(max-width: 900px)")

function chosen() {
  const wanted = decodeURIComponent(location.hash.slice(1))
  return articles.find((a) => a.id === wanted) ?? articles[0]
}

function show({ focus }) {
  const here = chosen()
  for (const article of articles) article.hidden = article !== here
  for (const link of links) {
    mark(link, "aria-current", link.hash === `#${here.id}` ? "true" : null)
  }
  document.title = `${here.querySelector("h1").textContent} · API · Plumbline`
  contents.open = !narrow.matches
  if (contents.open) contents.querySelector("[aria-current]").scrollIntoView({ block: "nearest" })
  if (!focus) return
  here.querySelector("h1").focus({ preventScroll: true })
  scrollTo(0, 0)
}

addEventListener("hashchange", () => { if (location.hash !== "#text") show({ focus: true }) })
narrow.addEventListener("change", () => { contents.open = !narrow.matches })

// the socket, opened by the first message sent over it

class Wire {
  #socket = null
  #waiting = []
  #standing = new Map()

  /** Send text as it is; `heard` gets {message, text} of the answer, or {closed} when none will come. */
  async send(text, heard, stream) {
    const sent = parsed(text)
    const socket = await this.#open()
    const wait = { id: sent?.id, heard, at: performance.now() }
    this.#waiting.push(wait)
    if (stream && sent?.type === "subscribe") {
      this.#standing.set(sent.sub, stream)
      wait.heard = (answer) => {
        if (answer.message?.type !== "subscribed") this.#standing.delete(sent.sub)
        heard(answer)
      }
    }
    socket.send(text)
  }

  #open() {
    if (this.#socket?.readyState === WebSocket.OPEN) return this.#socket
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/api/analytics/ws", ["analytics.v1"])
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#hear(data)
    return new Promise((open, failed) => {
      socket.onopen = () => open(socket)
      socket.onclose = ({ code, reason }) => {
        const closed = `the socket closed with ${code}${reason ? `: ${reason}` : ""}`
        failed(new Error(closed))
        for (const wait of this.#waiting.splice(0)) wait.heard({ closed })
        for (const stream of this.#standing.values()) stream({ closed })
        this.#standing.clear()
      }
    })
  }

  #hear(text) {
    const message = JSON.parse(text)
    if (message.type === "welcome" || message.type === "going_away") return
    const stream = this.#standing.get(message.sub)
    if (stream && (message.type === "unsubscribed" || message.seq !== undefined && message.type !== "subscribed")) {
      stream({ message, text })
      if (message.type !== "unsubscribed") return
      this.#standing.delete(message.sub)
    }
    // answers with an id may overtake each other; those without come in order
    const at = this.#waiting.findIndex((wait) => wait.id === message.id)
    const [wait] = this.#waiting.splice(Math.max(at, 0), 1)
    wait?.heard({ message, text, ms: performance.now() - wait.at })
  }
}

const wire = new Wire()

// one form

function equip(form) {
  const part = Object.fromEntries(["over", "example", "address", "body", "send", "stop", "curl", "python"].map((name) => [name, form.elements[name]]))
  const [told, count, reply] = [".told", ".count", ".reply"].map((name) => form.querySelector(name))
  const http = () => (part.over ? part.over.value : form.dataset.over) === "http"
  const body = () => part.body?.value ?? ""

  const tell = (words, tone) => {
    told.className = `told ${tone ?? ""}`
    say(told, words)
  }
  const print = (text) => {
    reply.hidden = !text
    say(reply, text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… ${format.text(text.length - SHOWN)} more characters` : text)
  }
  const answered = (words, text, ms, bad) => {
    tell(`${words} · ${format.text(ms, "ms")} · ${format.text(size(text), "bytes")}`, bad ? "bad" : "good")
    const found = parsed(text)
    print(found === undefined ? text : pretty(found))
  }

  async function overHttp() {
    const { method, media } = form.dataset
    const sent = method === "GET" ? {} : { body: body(), headers: media ? { "Content-Type": media } : {} }
    const at = performance.now()
    const got = await fetch(part.address.value, { method, redirect: "error", ...sent })
    const text = await got.text()
    answered(`${got.status} ${got.statusText}`, text, performance.now() - at, !got.ok)
  }

  let live = null
  const stream = ({ message, text, closed }) => {
    if (closed || message.type === "unsubscribed") return ended(closed ?? "Stopped")
    if (!live) return
    live.messages += 1
    live.bytes += size(text)
    say(count, `${format.text(live.messages)} ${live.messages === 1 ? "message" : "messages"}, ${format.text(live.bytes, "bytes")}`)
    live.newest = message
    live.frame ??= requestAnimationFrame(() => { if (live) { live.frame = null; print(pretty(live.newest)) } })
  }
  const ended = (words) => {
    if (live) tell(words)
    live = null
    part.stop.hidden = true
    part.send.hidden = false
  }

  function overSocket() {
    const asked = parsed(body())
    if (asked?.type === "subscribe") {
      live = { sub: asked.sub, messages: 0, bytes: 0, frame: null }
      count.hidden = false
      say(count, "")
    }
    return new Promise((done, failed) => {
      const heard = ({ message, text, ms, closed }) => {
        if (closed) return failed(new Error(closed))
        answered(message.type, text, ms, message.type === "error")
        if (message.type === "subscribed" && live) {
          part.send.hidden = true
          part.stop.hidden = false
          part.stop.focus()
        } else if (live) ended(told.textContent)
        done()
      }
      wire.send(body(), heard, stream).catch(failed)
    })
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    if (form.ariaBusy === "true") return
    form.ariaBusy = "true"
    count.hidden = true
    tell("Waiting")
    try {
      await (http() ? overHttp() : overSocket())
    } catch (error) {
      ended("")
      print("")
      tell(await signedOut() ? "You are signed out. Load this page again." : format.sentence(error.message), "bad")
    } finally {
      form.ariaBusy = "false"
    }
  })
  part.stop.addEventListener("click", () => {
    if (live) wire.send(JSON.stringify({ type: "unsubscribe", sub: live.sub }), () => part.send.focus()).catch(() => {})
  })
  part.over?.addEventListener("change", () => {
    form.querySelector(".address").hidden = !http()
    part.curl.hidden = !http()
  })
  part.example?.addEventListener("change", () => { part.body.value = part.example.value })
  if (part.over) part.curl.hidden = true

  const copies = (make) => async () => {
    const text = make()
    try {
      await navigator.clipboard.writeText(text)
      tell("Copied", "good")
    } catch { // no clipboard without HTTPS: then it can be taken from the screen
      tell("Copy it from here")
      print(text)
    }
  }
  const asked = () => ({ method: form.dataset.method, media: form.dataset.media, url: new URL(part.address.value, location.href).href, body: body() })
  part.curl.addEventListener("click", copies(() => curl(asked())))
  part.python.addEventListener("click", copies(() => (http() ? pythonHttp(asked()) : pythonSocket(body()))))
  form.hidden = false
}

async function signedOut() {
  try { return (await fetch("/api/session")).status === 401 } catch { return false }
}

// the same request elsewhere

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`

function curl({ method, media, url, body }) {
  const words = [`curl ${quoted(url)}`, `-H "X-API-Key: $PLUMBLINE_KEY"`]
  if (method !== "GET") words.push(`-X ${method}`)
  if (method !== "GET" && body) words.push(`-H ${quoted(`Content-Type: ${media}`)}`, `--data-binary ${quoted(minimal(body))}`)
  return words.join(" \\\n  ")
}

function pythonHttp({ method, media, url, body }) {
  const sends = method !== "GET" && body
  return `import os
from urllib.request import Request, urlopen

headers = {"X-API-Key": os.environ["PLUMBLINE_KEY"]${sends ? `, "Content-Type": ${JSON.stringify(media)}` : ""}}
${sends ? `body = ${JSON.stringify(minimal(body))}.encode()\n` : ""}request = Request(${JSON.stringify(url)}, ${sends ? "body" : "None"}, headers, method=${JSON.stringify(method)})
with urlopen(request) as reply:
    print(reply.read().decode())
`
}

function pythonSocket(body) {
  const url = location.origin.replace(/^http/, "ws") + "/api/analytics/ws"
  const stands = parsed(body)?.type === "subscribe"
  return `import os
from websockets.sync.client import connect

key = {"X-API-Key": os.environ["PLUMBLINE_KEY"]}
with connect(${JSON.stringify(url)}, additional_headers=key, subprotocols=["analytics.v1"]) as socket:
    print(socket.recv())  # welcome
    socket.send(${JSON.stringify(minimal(body))})
${stands ? "    for message in socket:\n        print(message)" : "    print(socket.recv())"}
`
}

/** JSON on one line; anything else as it was typed. */
function minimal(body) {
  const found = parsed(body)
  return found === undefined ? body : JSON.stringify(found)
}

// JSON

function parsed(text) {
  try { return JSON.parse(text) } catch { return undefined }
}

/** Over as many lines as it needs, so that a list of numbers stays one. */
function pretty(value, indent = "") {
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  if (indent.length + JSON.stringify(value).length <= WIDE) return flat(value)
  const deeper = `${indent}  `
  if (Array.isArray(value)) return `[\n${value.map((v) => deeper + pretty(v, deeper)).join(",\n")}\n${indent}]`
  const inner = Object.entries(value).map(([k, v]) => `${deeper}${JSON.stringify(k)}: ${pretty(v, deeper)}`)
  return `{\n${inner.join(",\n")}\n${indent}}`
}

/** On one line, with a space after each comma and colon. */
function flat(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`
  return `{${Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${flat(v)}`).join(", ")}}`
}

const size = (text) => new TextEncoder().encode(text).length

for (const form of document.querySelectorAll("form.try")) equip(form)
document.querySelector("main").classList.add("one")
show({ focus: false })
