// The page of the screens. The markup is in templates/screens.html; what it shows and does goes through /api/screens.

import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"

const EVERY_MS = 2000
const SILENT_S = 10 // a screen that beats every two seconds and was not heard for so long is away
const boards = JSON.parse(document.getElementById("boards").textContent)
const RANGES = [["", "as the board says"], ["now-5m", "5 minutes"], ["now-15m", "15 minutes"], ["now-1h", "1 hour"], ["now-6h", "6 hours"],
  ["now-24h", "24 hours"], ["now-7d", "7 days"], ["now/d", "today"]]

const find = (name) => document.querySelector(`[data-control="${name}"]`)
const main = document.querySelector("main")
const cards = new Map()
let skew = 0

/** One call of the API. Throws an Error whose message is for people. */
async function call(path, method = "GET", body) {
  let reply
  try {
    reply = await fetch(path, { method, body: body && JSON.stringify(body), headers: body ? { "Content-Type": "application/json" } : {} })
  } catch {
    throw Object.assign(new Error("The server does not answer."), { status: 0 })
  }
  const found = reply.status === 204 ? {} : await reply.json().catch(() => ({}))
  if (!reply.ok) {
    const words = [found.detail ?? found.title ?? `The server answered ${reply.status}`, found.hint]
    throw Object.assign(new Error(words.filter(Boolean).map(format.sentence).join(" ")), { status: reply.status })
  }
  const date = Date.parse(reply.headers.get("Date"))
  if (date && Math.abs(date - Date.now() - skew) > 2000) skew = date - Date.now()
  return found
}

async function refresh() {
  try {
    const screens = await call("/api/screens")
    mark(main, "data-state", "ok")
    find("trouble").hidden = true
    arrange(find("screens"), screens.map((screen) => filled(cards.get(screen.id) ?? card(screen), screen)))
    find("empty").hidden = screens.length > 0
  } catch (error) {
    mark(main, "data-state", "error")
    const bar = find("trouble")
    const way = error.status === 401 ? h("a.btn", { href: "/login?next=/screens" }, "Sign in") : h("button.btn", { type: "button", click: refresh }, icon("retry"), "Try again")
    if (bar.dataset.words !== error.message || bar.hidden) bar.replaceChildren(icon("warn"), h("b", {}, error.status === 401 ? "You are signed out." : error.message), way)
    bar.dataset.words = error.message
    bar.hidden = false
  }
}

/** A card whose buttons stay the same elements, so that a refresh never takes the focus away. */
function card(screen) {
  const act = (name, does) => h("button.btn.small", { type: "button", "aria-label": `${name} ${screen.name}`, click: () => does(element.screen) }, name)
  const element = h("article.card.screen", { "data-screen": screen.id },
    h("div.picture", {}, h("img", { alt: "", hidden: true }), h("span", {}, "No picture yet")),
    h("div.about", {}, h("header", {}, h("h2", {}), h("span.status")), h("p.playing"), h("dl", {}),
      h("div.acts", {}, act("Flash", flashing), act("Change", changing), act("Revoke", revoking))))
  cards.set(screen.id, element)
  return element
}

function filled(element, screen) {
  element.screen = screen
  const [frame, about] = element.children
  const silent = screen.seen_at ? (Date.now() + skew - Date.parse(screen.seen_at)) / 1000 : null
  const away = silent === null || silent > SILENT_S
  say(about.querySelector("h2"), screen.name)
  const [sign, word, tone] = away ? ["warn", silent === null ? "Not heard since the start" : `Away for ${format.age(silent)}`, "bad"]
    : screen.state === "live" ? ["check", "Live", "good"] : ["clock", format.sentence(screen.state ?? "").replace(".", ""), "warn"]
  const status = about.querySelector(".status")
  if (status.dataset.words !== word) {
    status.dataset.words = word
    status.className = `status ${tone}`
    status.replaceChildren(icon(sign), word)
  }
  const titled = (name) => boards.find((b) => b.name === name)?.title ?? name
  const listed = screen.playlist.map((e) => `${titled(e.board)} ${format.age(e.seconds)}`).join(", ")
  say(about.querySelector(".playing"), screen.playlist.length > 1 ? `Plays ${listed}` : `Shows ${titled(screen.playlist[0].board)}`)
  const facts = [
    ["Now", away || !screen.board ? format.DASH : `${titled(screen.board)}${screen.page ? `, page ${screen.page + 1}` : ""}`],
    ["Last frame", screen.frame_age_s === null || away ? format.DASH : `${format.age(screen.frame_age_s)} ago`],
    ["Address", screen.address ?? format.DASH],
    ["Size", screen.viewport ? screen.viewport.join(" × ") : format.DASH],
    ["Version", screen.version ? screen.version.slice(0, 12) : format.DASH],
  ]
  const list = about.querySelector("dl")
  if (!list.children.length) list.append(...facts.map(([name]) => h("div", {}, h("dt", {}, name), h("dd", {}))))
  facts.forEach(([, text], i) => say(list.children[i].lastChild, text))
  const image = frame.firstChild
  mark(frame, "data-old", away ? "" : null)
  if (screen.picture_at && image.dataset.at !== screen.picture_at) {
    image.dataset.at = screen.picture_at
    image.alt = `What ${screen.name} showed`
    image.src = `/api/screens/${screen.id}/picture?at=${encodeURIComponent(screen.picture_at)}`
    image.hidden = false
    frame.lastChild.hidden = true
  }
  return element
}

async function flashing(screen) {
  try {
    await call(`/api/screens/${screen.id}/flash`, "POST")
    say(find("said"), `${screen.name} shows its name now.`)
  } catch (error) { say(find("said"), error.message) }
}

function revoking(screen) {
  say(document.getElementById("revoke-title"), `Revoke “${screen.name}”?`)
  ask("revoke", () => call(`/api/screens/${screen.id}`, "DELETE"), () => { say(find("said"), `${screen.name} is revoked.`); refresh() })
}

// the plan

/** One item of a playlist: a board, how long, and its range; filters come with a pasted link. */
function item(entry = {}) {
  const line = h("li.item", {})
  line.filters = entry.filters ?? []
  line.compare = entry.compare ?? "previous"
  const board = h("select", { "aria-label": "Board" }, boards.map((b) => h("option", { value: b.name, selected: b.name === entry.board }, b.title)))
  const known = RANGES.some(([value]) => value === (entry.window ?? ""))
  const range = h("select", { "aria-label": "Range" }, [...(known ? [] : [[entry.window, entry.window]]), ...RANGES].map(([value, text]) => h("option", { value, selected: value === (entry.window ?? "") }, text)))
  const seconds = h("input", { type: "number", min: 5, max: 86400, value: entry.seconds ?? 30, "aria-label": "Seconds" })
  const filters = h("span.limit")
  const told = () => say(filters, line.filters.map((f) => `${f.dim} ${f.op.includes("not") ? "not " : ""}${f.values.join(", ")}`).join(" · "))
  const move = (by) => {
    const other = by < 0 ? line.previousElementSibling : line.nextElementSibling
    if (other) by < 0 ? other.before(line) : other.after(line)
    line.querySelector(by < 0 ? "[data-up]" : "[data-down]").focus()
  }
  const link = h("input.link", { type: "text", placeholder: "or paste the link of a board with its filters", "aria-label": "Link of a board", spellcheck: "false", autocomplete: "off", input: () => {
    const found = read(link.value)
    if (!found) return
    board.value = found.board
    if (found.window && ![...range.options].some((o) => o.value === found.window)) range.append(h("option", { value: found.window }, found.window))
    range.value = found.window ?? ""
    Object.assign(line, { filters: found.filters, compare: found.compare })
    link.value = ""
    told()
  } })
  line.value = () => ({ board: board.value, seconds: Number(seconds.value), window: range.value || null, filters: line.filters, compare: line.compare })
  line.append(board, h("span.time", {}, seconds, " s"), range,
    h("span.order", {}, h("button.btn.ghost.square", { type: "button", "data-up": true, "aria-label": "Earlier", click: () => move(-1) }, "↑"),
      h("button.btn.ghost.square", { type: "button", "data-down": true, "aria-label": "Later", click: () => move(1) }, "↓"),
      h("button.btn.ghost.square", { type: "button", "aria-label": "Remove this board", click: () => line.remove() }, icon("cross"))), link, filters)
  told()
  return line
}

/** Board, window and filters of a board's address; null where it is none. */
function read(text) {
  let url
  try { url = new URL(text, location.href) } catch { return null }
  const asked = url.searchParams
  const name = url.pathname === "/board" ? asked.get("board") : url.pathname.slice(1)
  if (!boards.some((b) => b.name === name)) return null
  const own = ["window", "tz", "compare", "grain", "as_of", "paused", "theme", "board"]
  const filters = [...new Set(asked.keys())].filter((key) => !own.includes(key)).map((key) => {
    const values = asked.getAll(key)
    if (key.endsWith("!")) return { dim: key.slice(0, -1), op: values.length > 1 ? "not_in" : "is_not", values }
    if (key.endsWith("~")) return { dim: key.slice(0, -1), op: "contains", values: values.slice(0, 1) }
    return { dim: key, op: values.length > 1 ? "in" : "is", values }
  })
  return { board: name, window: asked.get("window"), compare: asked.get("compare") ?? "previous", filters }
}

function plan(screen) {
  const form = document.querySelector("#plan form")
  form.reset()
  say(document.getElementById("plan-title"), screen ? `Change “${screen.name}”` : "Add a screen")
  say(form.querySelector("footer .primary"), screen ? "Save" : "Pair")
  find("code-field").hidden = Boolean(screen)
  form.elements.name.value = screen?.name ?? ""
  form.elements.theme.value = screen?.theme ?? "auto"
  ;[form.elements.from.value, form.elements.to.value] = screen?.day ?? [7, 19]
  find("playlist").replaceChildren(...(screen?.playlist ?? [{ board: "overview" }]).map(item))
  hours()
  ask("plan", (fields) => {
    const playlist = [...find("playlist").children].map((line) => line.value())
    if (!screen && !/^[a-z0-9 -]{6,9}$/i.test(fields.get("code").trim())) throw new Error("Type the six letters that the screen shows.")
    if (!fields.get("name").trim()) throw new Error("Give it a name, so that you know later where it hangs.")
    if (!playlist.length) throw new Error("Choose at least one board.")
    if (playlist.some((e) => !(e.seconds >= 5))) throw new Error("A board stays for at least five seconds.")
    const body = { name: fields.get("name").trim(), playlist, theme: fields.get("theme"), day: [Number(fields.get("from")), Number(fields.get("to"))] }
    return screen ? call(`/api/screens/${screen.id}`, "PUT", body) : call("/api/screens", "POST", { ...body, code: fields.get("code") })
  }, (made) => { say(find("said"), screen ? `${made.name} is changed.` : `${made.name} is paired.`); refresh() })
}

const changing = (screen) => plan(screen)
const hours = () => { find("hours").hidden = document.querySelector("#plan form").elements.theme.value !== "auto" }

/** Open a dialog whose form calls `send`; what is refused is said inside, and nothing typed is lost. */
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
for (const place of document.querySelectorAll("[data-control=address]")) say(place, `${location.host}/wall`)
find("new").addEventListener("click", () => plan(null))
find("add").addEventListener("click", () => { find("playlist").append(item()); find("playlist").lastChild.querySelector("select").focus() })
document.querySelector("#plan form").elements.theme.addEventListener("change", hours)
for (const box of document.querySelectorAll("dialog")) {
  for (const button of box.querySelectorAll("[data-control=close]")) button.addEventListener("click", () => box.close())
  box.querySelector("header .btn").append(icon("cross"))
}
addEventListener("visibilitychange", () => { if (!document.hidden) refresh() })
setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) refresh() }, EVERY_MS)
themed()
refresh()
