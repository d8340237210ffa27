// The page of the screens. The markup is in templates/screens.html; what it shows and does goes through /api/screens.

import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"
import { toast } from "./toast.js"
import { Playlist } from "./wall/playlist.js"

const EVERY_MS = 2000
const SILENT_S = 10 // a screen that beats every two seconds and was not heard for so long is away
const boards = JSON.parse(document.getElementById("boards").textContent)

const find = (name) => document.querySelector(`[data-control="${name}"]`)
const main = document.querySelector("main")
const playlist = new Playlist({ list: find("playlist"), add: find("add"), link: find("link"), told: find("link-told") }, boards)
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
  const scoped = (e) => e.filters.length ? `${titled(e.board)} of ${e.filters.flatMap((f) => f.values).join(", ")}` : titled(e.board)
  const listed = screen.playlist.map((e) => `${scoped(e)} ${format.age(e.seconds)}`).join(", ")
  say(about.querySelector(".playing"), screen.playlist.length > 1 ? `Plays ${listed}` : `Shows ${scoped(screen.playlist[0])}`)
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
    toast(`${screen.name} shows its name now.`, { tone: "good" })
  } catch (error) { toast(error.message, { tone: "bad" }) }
}

function revoking(screen) {
  say(document.getElementById("revoke-title"), `Revoke “${screen.name}”?`)
  ask("revoke", () => call(`/api/screens/${screen.id}`, "DELETE"), () => { toast(`${screen.name} is revoked.`, { tone: "good" }); refresh() })
}

// the plan

function plan(screen) {
  const form = document.querySelector("#plan form")
  form.reset()
  say(document.getElementById("plan-title"), screen ? `Change “${screen.name}”` : "Add a screen")
  say(form.querySelector("footer .primary"), screen ? "Save" : "Pair")
  find("code-field").hidden = Boolean(screen)
  form.elements.name.value = screen?.name ?? ""
  form.elements.theme.value = screen?.theme ?? "auto"
  ;[form.elements.from.value, form.elements.to.value] = screen?.day ?? [7, 19]
  playlist.set(screen?.playlist ?? [{ board: "overview" }])
  hours()
  ask("plan", (fields) => {
    const items = playlist.get()
    if (!screen && !/^[a-z0-9 -]{6,9}$/i.test(fields.get("code").trim())) throw new Error("Type the six letters that the screen shows.")
    if (!fields.get("name").trim()) throw new Error("Give it a name, so that you know later where it hangs.")
    if (items.some((e) => !(e.seconds >= 5))) throw new Error("A board stays for at least five seconds.")
    const body = { name: fields.get("name").trim(), playlist: items, theme: fields.get("theme"), day: [Number(fields.get("from")), Number(fields.get("to"))] }
    return screen ? call(`/api/screens/${screen.id}`, "PUT", body) : call("/api/screens", "POST", { ...body, code: fields.get("code") })
  }, (made) => { toast(screen ? `${made.name} plays this within two seconds.` : `${made.name} is paired.`, { tone: "good" }); refresh() })
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
document.querySelector("#plan form").elements.theme.addEventListener("change", hours)
for (const box of document.querySelectorAll("dialog")) {
  for (const button of box.querySelectorAll("[data-control=close]")) button.addEventListener("click", () => box.close())
  box.querySelector("header .btn").append(icon("cross"))
}
addEventListener("visibilitychange", () => { if (!document.hidden) refresh() })
setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) refresh() }, EVERY_MS)
themed()
refresh()
