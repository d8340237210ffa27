// Out again: what a tile or a page gives away. Files come from POST /api/export, pictures from picture.js, and code
// that asks the same question anywhere is written in recipes.js.

import { h } from "./dom.js"
import * as format from "./format.js"
import { copy, dialog } from "./menus.js"
import { curl, python } from "./recipes.js"
import { confidence } from "./tiles.js"
import { toast } from "./toast.js"

const DATA = [["CSV", "csv"], ["Parquet", "parquet"]]
const PICTURES = [["PNG", "png"], ["SVG", "svg"]]

/** The entries of a tile's menu: `tile` is a TileView. One without a `request` for its rows has pictures only. */
export function entries(tile, request = tile.head?.request ?? null) {
  const { view, spec, element } = tile
  const title = spec.title || element.querySelector("h2")?.textContent || spec.id
  return listed({
    title, element, request,
    name: [view.spec.board, spec.id].filter(Boolean).join(" "),
    window: view.board?.window,
    foot: () => foot(title, view.board, view.scope, tile.head),
  })
}

/**
 * The entries of a page's menu. `board` gives the state of the page's board, or null. A view says what is in it by a
 * function `exported` of its handle: {title?, request?: the message that asks for all of it}; without it, pictures only.
 */
export function pageEntries({ scope, page, board = () => null }) {
  const own = globalThis.Plumbline?.view?.exported?.() ?? {}
  const title = own.title ?? document.querySelector("h1")?.textContent ?? document.title
  const request = own.request ?? (page.board && !page.view ? scope.request(page.board) : null)
  return listed({
    title, request, element: document.querySelector("main"), name: request?.board || title, window: board()?.window,
    foot: () => foot(title, board(), scope, null),
  })
}

function listed({ title, element, request, name, window, foot }) {
  const whole = request?.type === "board"
  const files = request ? DATA.map(([text, kind]) => ({ text: whole ? `${text} of every tile` : text, act: () => download(request, kind, name, title) })) : []
  const pictures = PICTURES.map(([text, kind]) => ({ text, act: () => draw(element, kind, name, title, foot()) }))
  const recipes = request ? [
    { text: "Copy as Python", act: () => offer(python(request, title, window), "Python") },
    { text: "Copy as curl", act: () => offer(curl(request, title, window), "curl") },
  ] : []
  return [{ heading: "Download" }, ...files, ...pictures, ...(recipes.length ? [{ heading: "Use elsewhere" }, ...recipes] : [])]
}

/** What stands under a picture: what it shows, of which time, seen when, and how far to trust it. */
function foot(title, board, scope, head) {
  const { tz, filters } = scope?.state ?? { tz: "", filters: [] }
  const day = (moment) => `${format.clock(moment, tz, "day")} ${new Date(moment).toLocaleString("en", { timeZone: tz || undefined, year: "numeric" })}`
  const time = (moment) => format.clock(moment, tz, "second")
  const [from, to] = [board?.window?.from, board?.window?.to].map((text) => Date.parse(text ?? ""))
  const span = Number.isNaN(from + to) ? "" : `${day(from)}, ${time(from)} – ${day(to) === day(from) ? "" : `${day(to)}, `}${time(to)}`
  const asked = filters.map((f) => `${f.dim} ${f.op.replaceAll("_", " ")} ${f.values.map((v) => v ?? "(none)").join(", ")}`)
  const seen = board?.now ?? Date.now()
  const parts = Object.entries(head?.parts ?? {}).filter(([, v]) => typeof v === "number").map(([name, v]) => `${name} ${confidence(v)}`)
  const least = head ? head.confidence : undefined
  return [
    [title, board?.label].filter(Boolean).join(" · "),
    [span, ...asked].filter(Boolean).join(" · "),
    [`As of ${day(seen)}, ${time(seen)} ${tz || zone()}`,
      typeof least === "number" ? `confidence ${confidence(least)}${parts.length ? ` (${parts.join(", ")})` : ""}` : "",
      typeof board?.completeness === "number" && !head ? `completeness ${confidence(board.completeness)}` : "",
      typeof board?.watermark === "number" ? `complete up to ${time(board.watermark)}` : "",
    ].filter(Boolean).join(" · "),
    "Plumbline",
  ]
}

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? ""

/** Fetch the file and save it; the toast says how far it is, and stops it. */
export async function download(request, kind, name, title = name) {
  const stop = new AbortController()
  const note = toast(`Exporting ${title} …`, { stay: true, action: { text: "Cancel", act: () => stop.abort() } })
  try {
    const query = new URLSearchParams({ format: kind, name })
    const reply = await fetch(`/api/export?${query}`, { method: "POST", body: JSON.stringify(request), signal: stop.signal,
      headers: { "Content-Type": "application/json" } })
    if (!reply.ok) throw await refusal(reply)
    const blob = await received(reply, (done, all) => note.say(`Exporting ${title}: ${format.text(done, "bytes")} of ${format.text(all, "bytes")}`))
    const file = named(reply.headers.get("Content-Disposition")) ?? `${name}.${kind}`
    note.close()
    save(blob, file)
    const rows = Number(reply.headers.get("X-Plumbline-Rows"))
    if (reply.headers.get("X-Plumbline-Truncated") === "true" && request.limit === undefined) toast(`Saved the first ${format.exact(rows)} rows; there are more. A shorter window or a filter gets the rest.`, { tone: "warn" })
    else toast(`Saved ${file}`, { tone: "good" })
  } catch (error) {
    note.close()
    if (error.name === "AbortError") return toast("The export was cancelled")
    toast(`The export failed. ${format.sentence(error.message)}`, { tone: "bad", action: { text: "Try again", act: () => download(request, kind, name, title) } })
  }
}

async function refusal(reply) {
  const problem = await reply.json().catch(() => ({}))
  return new Error([problem.detail ?? `The server answered ${reply.status}`, problem.hint].filter(Boolean).map(format.sentence).join(" "))
}

/** The body as it comes in; `told(done, all)` in bytes. */
async function received(reply, told) {
  const all = Number(reply.headers.get("Content-Length"))
  const chunks = []
  let done = 0
  for (const reader = reply.body.getReader(); ;) {
    const { value, done: over } = await reader.read()
    if (over) return new Blob(chunks, { type: reply.headers.get("Content-Type") })
    chunks.push(value)
    done += value.length
    if (all > 1_000_000) told(done, all)
  }
}

const named = (disposition) => {
  const found = /filename\*=UTF-8''([^;]+)/.exec(disposition ?? "")
  return found ? decodeURIComponent(found[1]) : null
}

function save(blob, file) {
  const url = URL.createObjectURL(blob)
  const link = h("a", { href: url, download: file, hidden: true })
  document.body.append(link)
  link.click()
  link.remove()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

/** Save a picture of `element` as png or svg, with `lines` of text at its foot. */
export async function draw(element, kind, name, title, lines) {
  try {
    const { picture, pixels } = await import("./picture.js")
    const drawn = await picture(element, { foot: lines })
    const blob = kind === "svg" ? new Blob([drawn.svg], { type: "image/svg+xml" }) : await pixels(drawn)
    const file = `${name.trim().replace(/[^\p{L}\p{N}.+-]+/gu, "-")}_${new Date().toISOString().slice(0, 19).replace(/[:-]/g, "")}Z.${kind}`
    save(blob, file)
    toast(`Saved ${file}`, { tone: "good" })
  } catch (error) {
    toast(`The picture of ${title} failed. ${format.sentence(error.message)}`, { tone: "bad" })
  }
}

/** To the clipboard; where the page may not, into a sheet to copy from by hand. */
async function offer(text, what) {
  if (await copy(text)) return toast(`Copied as ${what}`, { tone: "good" })
  const field = h("textarea", { readonly: true, spellcheck: "false", "aria-label": `As ${what}` })
  field.value = text
  dialog(`Copy as ${what}`, h("div.copied", {}, h("p", {}, "This page may not write to the clipboard: copy it from here."), field))
  field.select()
}
