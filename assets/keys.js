// The page of the keys. The markup is in templates/keys.html; what it shows and does goes through /api/keys.

import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"

const EVERY_MS = 5000
const FEW = 12
const MANY = 200

const STATES = {
  valid: ["check", "Valid", "good"], replaced: ["clock", "Rotated", "warn"],
  expired: ["clock", "Expired", "dim"], revoked: ["cross", "Revoked", "bad"],
}
const EVENTS = {
  create: ["check", "Created", "good"], rotate: ["retry", "Rotated", "warn"], revoke: ["cross", "Revoked", "bad"],
  refusal: ["warn", "Refused", "warn"], address: ["empty", "New address", "dim"],
}
const LIMITS = ["domains", "boards", "datasets", "networks"]

const find = (name) => document.querySelector(`[data-control="${name}"]`)
const main = document.querySelector("main")
const rows = new Map()
const told = { keys: [], audit: [], ended: false, most: FEW, skew: 0 }
const now = () => Date.now() + told.skew

/** One call of the API. Throws an Error whose message is for people; `status` is 0 where nobody answered. */
async function call(path, method = "GET", body) {
  let reply
  try {
    reply = await fetch(path, { method, body: body && JSON.stringify(body), headers: body ? { "Content-Type": "application/json" } : {} })
  } catch {
    throw Object.assign(new Error("The server does not answer."), { status: 0 })
  }
  const found = await reply.json().catch(() => ({}))
  if (!reply.ok) {
    const words = [found.detail ?? found.title ?? `The server answered ${reply.status}`, found.hint]
    throw Object.assign(new Error(words.filter(Boolean).map(format.sentence).join(" ")), { status: reply.status })
  }
  const date = Date.parse(reply.headers.get("Date"))
  if (date && Math.abs(date - now()) > 2000) told.skew = date - Date.now()
  return found
}

async function refresh() {
  try {
    ;[told.keys, told.audit] = await Promise.all([call("/api/keys"), call(`/api/keys/audit?limit=${told.most + 1}`)])
    main.dataset.state = "ok"
    trouble(null)
    shown()
  } catch (error) {
    main.dataset.state = "error"
    trouble(error)
  }
}

/** What went wrong, and the way on: signing in again, or trying again. */
function trouble(error) {
  const bar = find("trouble")
  const words = !error ? "" : error.status === 401 ? "You are signed out." : error.message
  if (!bar.hidden && bar.dataset.words === words) return // an alert that is written anew is read out anew
  bar.dataset.words = words
  bar.hidden = !error
  if (!error) return
  const way = error.status === 401
    ? h("a.btn", { href: "/login?next=/keys" }, "Sign in")
    : h("button.btn", { type: "button", click: refresh }, icon("retry"), "Try again")
  bar.replaceChildren(icon("warn"), h("b", {}, words), way)
}

// the tables

const ended = (key) => key.state === "expired" || key.state === "revoked"

function shown() {
  const gone = told.keys.filter(ended).length
  const listed = told.keys.filter((key) => told.ended || !ended(key)).reverse()
  listed.sort((a, b) => ended(a) - ended(b))
  const focused = document.activeElement
  arrange(find("keys"), listed.map((key) => filled(rows.get(key.id) ?? row(key), key)))
  if (focused !== document.body && !focused.isConnected) document.getElementById("all-title").focus()
  find("empty").hidden = listed.length > 0
  say(find("counts"), `${format.text(told.keys.length - gone)} in use${gone ? `, ${format.text(gone)} ended` : ""}`)
  find("ended").hidden = !gone
  mark(find("ended"), "aria-pressed", String(told.ended))
  say(find("ended"), told.ended ? "Hide ended" : "Show ended")
  find("audit").replaceChildren(...told.audit.slice(0, told.most).map(entry))
  find("older").hidden = told.audit.length <= told.most || told.most === MANY
}

const none = () => h("span.faint.none", {}, format.DASH)
const cell = (label, ...children) => h("td", { role: "cell", "data-label": label }, ...children)
const sign = ([name, word, tone]) => h(`span.status.${tone}`, {}, icon(name), word)
const moment = (text, iso) => h("time", { datetime: iso, title: new Date(iso).toLocaleString() }, text)
const day = (iso) => new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" }).format(new Date(iso))
const ago = (iso) => now() - Date.parse(iso) < 10_000 ? "now" : `${format.age((now() - Date.parse(iso)) / 1000)} ago`

/** When a key ends: the day, or how long it has left where that is soon. */
function ahead(iso) {
  const left = (Date.parse(iso) - now()) / 1000
  return left <= 0 ? ago(iso) : left > 48 * 3600 ? day(iso) : `in ${format.age(left + 30)}`
}

/** A row whose buttons stay the same elements, so that a refresh never takes the focus away. */
function row(key) {
  const own = key.id === main.dataset.own
  const act = (name, does) => h("button.btn.small", { type: "button", "aria-label": `${name} the key ${key.name}`, click: () => does(rows.get(key.id).key) }, name)
  const element = h("tr", { role: "row" },
    h("th", { role: "rowheader", scope: "row" }, h("b", {}, key.name), h("small", {}, h("code", {}, key.id), own ? h("em", {}, "you") : null)),
    cell("Scopes"), cell("Limits"), cell("Created", moment(day(key.created_at), key.created_at)), cell("Expires"),
    cell("Last used"), cell("Live"), cell("State"), h("td.actions", { role: "cell" }, act("Rotate", rotating), act("Revoke", revoking)))
  element.cells[6].classList.add("n")
  rows.set(key.id, element)
  return element
}

function filled(element, key) {
  if (element.told === undefined) {
    element.cells[1].append(h("span", {}, key.scopes.map((scope) => h("span.scope-name", {}, scope))))
    const bound = LIMITS.filter((what) => key[what])
    element.cells[2].append(...bound.map((what) => h("span.limit", {}, h("i", {}, what), ` ${key[what].join(", ")}`)))
    if (!bound.length) element.cells[2].append(h("span.faint", {}, "none"))
  }
  const texts = [key.expires_at ? ahead(key.expires_at) : "never", key.last_used ? ago(key.last_used) : "never", format.text(key.connections), key.state, key.revoked_at ? ago(key.revoked_at) : ""]
  element.key = key
  if (element.told === texts.join("|")) return element
  element.told = texts.join("|")
  element.className = ended(key) ? "gone" : ""
  element.cells[4].replaceChildren(key.expires_at ? moment(texts[0], key.expires_at) : h("span.faint", {}, "never"))
  element.cells[5].replaceChildren(key.last_used ? moment(texts[1], key.last_used) : h("span.faint", {}, "never"))
  say(element.cells[6], texts[2])
  element.cells[7].replaceChildren(h("span", {}, sign(STATES[key.state]), key.revoked_at ? h("small", {}, moment(texts[4], key.revoked_at)) : null))
  const [rotate, revoke] = element.cells[8].children
  rotate.hidden = key.state !== "valid"
  revoke.hidden = ended(key)
  return element
}

function entry({ at, event, key_id: id, name, address, detail }) {
  return h("tr", { role: "row" }, cell("When", moment(ago(at), at)), cell("Event", sign(EVENTS[event] ?? ["empty", event, "dim"])),
    cell("Key", name ? h("b", {}, name) : null, id ? h("code", {}, id) : none()),
    cell("Address", address ?? none()), cell("Detail", detail ? format.sentence(detail) : none()))
}

// the dialogs

/**
 * Open a dialog whose form calls `send` with its fields. What is refused is said inside, and nothing typed is lost;
 * `then` goes on with the answer when the dialog is closed and has given the focus back.
 */
function ask(id, send, then) {
  const box = document.getElementById(id)
  const form = box.querySelector("form")
  const refusal = box.querySelector(".refusal")
  const button = form.querySelector("footer .btn:last-child")
  refusal.hidden = true
  form.onsubmit = async (event) => {
    event.preventDefault()
    if (button.getAttribute("aria-disabled")) return
    button.setAttribute("aria-disabled", "true")
    refusal.hidden = true
    try {
      const answer = await send(new FormData(form))
      box.close()
      then(answer)
    } catch (error) {
      refusal.replaceChildren(icon("warn"), h("span", {}, error.message))
      refusal.hidden = false
    }
    button.removeAttribute("aria-disabled")
  }
  box.showModal()
}

const listed = (text) => {
  const names = String(text).split(",").map((name) => name.trim()).filter(Boolean)
  return names.length ? names : null
}

function creating() {
  document.querySelector("#create form").reset()
  ask("create", (fields) => {
    if (!fields.get("name").trim()) throw new Error("Give it a name, so that you know later what it is for.")
    if (!fields.getAll("scopes").length) throw new Error("Choose at least one scope.")
    const days = Number(fields.get("expires"))
    return call("/api/keys", "POST", {
      name: fields.get("name").trim(),
      scopes: fields.getAll("scopes"),
      expires_at: days ? new Date(now() + days * 86_400_000).toISOString() : null,
      ...Object.fromEntries(LIMITS.map((what) => [what, listed(fields.get(what))])),
    })
  }, (made) => once(made, `The key “${made.name}” is made`, ""))
}

function rotating(key) {
  say(document.getElementById("rotate-title"), `Rotate “${key.name}”?`)
  let hours = 0
  ask("rotate", (fields) => {
    hours = Number(fields.get("grace"))
    return call(`/api/keys/${key.id}/rotate`, "POST", { grace_hours: hours })
  }, (made) => once(made, `The new key of “${made.name}”`, hours ? `The old one goes on for ${format.age(hours * 3600)}, then it ends by itself.` : "The old one has ended."))
}

function revoking(key) {
  const own = key.id === main.dataset.own
  const live = key.connections ? ` Its ${key.connections === 1 ? "live connection is" : `${format.text(key.connections)} live connections are`} closed.` : ""
  say(document.getElementById("revoke-title"), `Revoke “${key.name}”?`)
  say(document.getElementById("revoke-text"), `It is refused from now on, and nothing brings it back.${live}${own ? " You are signed in with this key, so you will be signed out." : ""}`)
  ask("revoke", () => call(`/api/keys/${key.id}`, "DELETE"), () => {
    say(find("said"), `The key ${key.name} is revoked.`)
    refresh()
  })
}

/** The one time that a key is seen. It is gone from the page with "Done", or when the page is left. */
function once(made, title, more) {
  const field = document.getElementById("fresh-key")
  say(document.getElementById("fresh-title"), title)
  say(find("fresh-more"), more)
  field.value = made.key
  idle()
  find("fresh").hidden = false
  find("fresh").scrollIntoView({ block: "nearest" })
  field.focus()
  field.select()
  refresh()
}

function gone() {
  document.getElementById("fresh-key").value = ""
  find("fresh").hidden = true
}

const idle = () => find("copy").replaceChildren(icon("copy"), "Copy")

async function copied() {
  const field = document.getElementById("fresh-key")
  field.select()
  try {
    await navigator.clipboard.writeText(field.value)
    find("copy").replaceChildren(icon("check"), "Copied")
    say(find("said"), "Copied.")
  } catch { // without HTTPS a browser gives pages no clipboard
    say(find("said"), "Press Ctrl+C to copy.")
    say(find("fresh-more"), "Your browser does not let this page copy: press Ctrl+C, or ⌘C.")
  }
}

// light and dark, remembered as on the boards

function themed() {
  const dark = document.documentElement.dataset.theme === "dark"
  find("theme").replaceChildren(icon(dark ? "sun" : "moon"))
  return dark
}

find("theme").addEventListener("click", () => {
  const chosen = themed() ? "light" : "dark"
  document.documentElement.dataset.theme = chosen
  try { localStorage.setItem("plumbline.theme", chosen) } catch { /* storage may be forbidden */ }
  themed()
})
find("new").addEventListener("click", creating)
find("copy").addEventListener("click", copied)
find("done").addEventListener("click", () => { gone(); find("new").focus() })
find("ended").addEventListener("click", () => { told.ended = !told.ended; shown() })
find("older").addEventListener("click", () => { told.most = MANY; refresh() })
for (const box of document.querySelectorAll("dialog")) {
  for (const button of box.querySelectorAll("[data-control=close]")) button.addEventListener("click", () => box.close())
  box.querySelector("header .btn").append(icon("cross"))
}
addEventListener("pagehide", gone)
addEventListener("visibilitychange", () => { if (!document.hidden) refresh() })
setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) refresh() }, EVERY_MS)
themed()
refresh()
