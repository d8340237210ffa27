// "Pin to board…": the tiles on the screen become part of a board in a workspace file, comments and all kept.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { dialog } from "../menus.js"
import { toast } from "../toast.js"

const WIDTHS = [[3, "a quarter"], [4, "a third"], [6, "half"], [8, "two thirds"], [12, "the whole width"]]
const SLUG = /^[a-z0-9][a-z0-9_-]*$/

/** The button. pinned() gives {tiles, title}: tiles as a workspace declares them. Only who administers may write. */
export function pinning({ page, pinned }) {
  const may = page.scopes?.includes("admin")
  const button = h("button.btn.primary.pin", { type: "button", "aria-disabled": may ? null : "true",
    title: may ? null : "Pinning writes a workspace file: it needs a key with the scope admin" }, "Pin to board…")
  button.addEventListener("click", () => { if (may) open(pinned()) })
  return button
}

async function open({ tiles, title }) {
  const boards = await fetch("/api/boards").then((reply) => (reply.ok ? reply.json() : [])).catch(() => [])
  const choose = h("select", { name: "board" }, boards.map((b) => h("option", { value: b.name }, b.title || b.name)), h("option", { value: "" }, "A new board…"))
  const fresh = h("input", { name: "fresh", maxlength: "60", placeholder: "Morning check", autocomplete: "off" })
  const freshRow = h("label", { hidden: true }, h("span", {}, "Its title"), fresh)
  const name = h("input", { name: "title", maxlength: "80", value: title, autocomplete: "off" })
  const width = h("select", { name: "width" }, WIDTHS.map(([n, text]) => h("option", { value: n, selected: n === (tiles[0].width === 12 ? 8 : tiles[0].width) }, text)))
  const fault = h("p.fault", { role: "alert", hidden: true }, icon("warn"), h("span"))
  const send = h("button.btn.primary", {}, tiles.length > 1 ? `Pin ${tiles.length} tiles` : "Pin")
  const form = h("form.pinning", {}, h("label", {}, h("span", {}, "Board"), choose), freshRow,
    tiles.length === 1 ? h("label", {}, h("span", {}, "Tile title"), name) : h("p.note", {}, `${tiles.length} tiles, each with its own title.`),
    h("label", {}, h("span", {}, "Width"), width), fault, h("footer.ends", {}, h("button.btn", { type: "button", click: () => form.closest("dialog").close() }, "Cancel"), send))
  choose.addEventListener("change", () => { freshRow.hidden = choose.value !== ""; if (!freshRow.hidden) fresh.focus() })
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const board = choose.value || slug(fresh.value)
    const wrong = board && SLUG.test(board) ? "" : "A new board needs a title"
    if (wrong) return told(wrong)
    mark(send, "disabled", "")
    try {
      const done = await pin(tiles, { board, boardTitle: choose.value ? "" : fresh.value.trim(), title: tiles.length === 1 ? name.value.trim() : "", width: Number(width.value) })
      form.closest("dialog").close()
      toast(`Pinned to ${choose.value ? choose.selectedOptions[0].text : fresh.value.trim()}`, { tone: "good", action: [
        { text: "Open board", act: () => location.assign(addressOf(board)) }, { text: "Undo", act: () => undo(board, done) }] })
    } catch (error) {
      told(error.message)
    } finally {
      mark(send, "disabled", null)
    }
  })
  const told = (words) => { fault.hidden = !words; say(fault.lastChild, format.sentence(words)) }
  dialog("Pin to board", form)
  choose.focus()
}

const slug = (title) => title.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60)

/** Where a board is looked at: its own page, if it has one. */
const addressOf = (board) => (document.querySelector(`.top nav a[href="/${CSS.escape(board)}"]`) ? `/${board}` : `/board?board=${encodeURIComponent(board)}`)

/** Pin one after the other; what was pinned stays known, so that it can be taken back. Rejects with the server's words. */
async function pin(tiles, { board, boardTitle, title, width }) {
  const done = []
  for (const { id: _, ...tile } of tiles) {
    const query = boardTitle ? `?title=${encodeURIComponent(boardTitle)}` : ""
    const reply = await fetch(`/api/boards/${encodeURIComponent(board)}/tiles${query}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...tile, width, ...(title ? { title } : {}) }),
    })
    const said = await reply.json().catch(() => ({}))
    if (!reply.ok) {
      await takeOff(board, done)
      throw new Error(said.detail ?? `The server answered ${reply.status}`)
    }
    done.push(said.tile.id)
  }
  return done
}

async function undo(board, ids) {
  const gone = await takeOff(board, ids)
  toast(gone ? "Taken off again" : "Some of it could not be taken off", { tone: gone ? "good" : "bad" })
}

/** Take tiles off a board, the last one first; whether all of them went. */
async function takeOff(board, ids) {
  let gone = true
  for (const id of [...ids].reverse()) {
    const reply = await fetch(`/api/boards/${encodeURIComponent(board)}/tiles/${encodeURIComponent(id)}`, { method: "DELETE" }).catch(() => null)
    gone = gone && Boolean(reply?.ok)
  }
  return gone
}
