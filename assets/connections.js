// Below the board of the page Health: which parts of the server are well, and who is connected.
// Both are asked for again and again while somebody can see them; what gets no answer is never shown as new.

import { arrange, h, icon, mark, say } from "./dom.js"
import * as format from "./format.js"

const EVERY_MS = 2_000
const SHOWN = 200 // the server sends the slowest first
const STATES = { open: ["check", "good"], behind: ["clock", "warn"], closing: ["cross", "dim"] }

const find = (name) => document.querySelector(`[data-health=${name}]`)
const [parts, section, count, body] = ["parts", "connections", "count", "rows"].map(find)
const rows = new Map()

/** JSON from the server, a 503 with a body too; null when there is no answer. */
async function ask(path, accepted = [200]) {
  const reply = await fetch(path, { cache: "no-store" }).catch(() => null)
  return reply && accepted.includes(reply.status) ? reply.json().catch(() => null) : null
}

function showParts(found) {
  mark(parts, "data-old", found ? null : "stale")
  if (!found) return
  arrange(parts, Object.entries(found.parts).map(([name, part]) => {
    const item = [...parts.children].find((c) => c.dataset.part === name) ?? h("li", { "data-part": name }, h("span"), h("b", {}, name), h("span"))
    const [sign, , why] = item.children
    if (item.dataset.ok !== String(part.ok)) sign.replaceChildren(icon(part.ok ? "check" : "warn"))
    mark(item, "data-ok", String(part.ok))
    mark(item, "data-tip", part.ok ? `${name}: ok\n${part.reason}` : null)
    say(why, part.ok ? "ok" : part.reason)
    return item
  }))
}

function row(conn) {
  const cells = Array.from({ length: 8 }, (_, i) => h(i > 2 ? "td.n" : "td"))
  const button = h("button.btn.small", { type: "button", click: () => close(conn, button) }, "Close")
  return { cells, button, element: h("tr", { "data-conn": conn }, cells, h("td.n", {}, button)) }
}

async function close(conn, button) {
  button.disabled = true
  const reply = await fetch(`/api/connections/${encodeURIComponent(conn)}`, { method: "DELETE" }).catch(() => null)
  button.disabled = Boolean(reply?.ok)
  await look()
}

function fill({ cells, button }, c, now) {
  const [icons, tone] = STATES[c.state] ?? STATES.open
  const age = (at) => format.age(Math.max(0, now - at) / 1000)
  const words = [c.principal, c.address ?? "", null, format.text(c.subscriptions.length), format.text(c.lag_s * 1000, "ms"),
    format.text(c.buffered, "bytes"), age(c.last_seen), age(c.opened)]
  words.forEach((text, i) => { if (text !== null) say(cells[i], text) })
  mark(cells[0], "data-tip", `${c.principal}\nconnection ${c.conn}\n${c.protocol}`)
  mark(cells[3], "data-tip", c.subscriptions.length ? ["Subscriptions", ...c.subscriptions.slice(0, 12)].join("\n") : null)
  if (cells[2].dataset.state !== c.state) cells[2].replaceChildren(h(`span.status.${tone}`, {}, icon(icons), c.state))
  cells[2].dataset.state = c.state
  mark(button, "aria-label", `Close the connection of ${c.principal}`)
}

function showConnections(found) {
  mark(section, "data-old", found ? null : "stale")
  if (!found) return say(count, "no answer; these may be gone")
  const { now, total, connections } = found
  for (const c of connections) {
    if (!rows.has(c.conn)) rows.set(c.conn, row(c.conn))
    fill(rows.get(c.conn), c, now)
  }
  const open = new Set(connections.map((c) => c.conn))
  for (const conn of rows.keys()) if (!open.has(conn)) rows.delete(conn)
  arrange(body, connections.map((c) => rows.get(c.conn).element))
  say(count, total > connections.length ? `the slowest ${format.text(connections.length)} of ${format.text(total)}` : `${format.text(total)} open`)
}

let looking = null

/** One look at a time; whoever asks meanwhile waits for the one under way. */
function look() {
  looking ??= Promise.all([
    ask("/readyz", [200, 503]).then(showParts),
    section && ask(`/api/connections?limit=${SHOWN}`).then(showConnections),
  ]).finally(() => { looking = null })
  return looking
}

async function watch() {
  if (document.visibilityState === "visible") await look()
  setTimeout(watch, EVERY_MS)
}

document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") look() })
watch()
