// The page around our frame: what it tells us, what we tell it, and the tickets that it brings. In messages:
//
//   in    {plumbline: "set", board, scope, theme, lang, fits}   any of these; fits: the frame is as tall as `size` says
//         {plumbline: "ticket", ticket} or {…, error, final}    an answer to `ticket`, or a ticket out of the blue
//   out   {plumbline: "ready"}                                  `set` may come
//         {plumbline: "ticket", reason}                         a ticket is wanted: each one opens one socket
//         {plumbline: "size", height}, {plumbline: "state", name, reason}

import { sentence } from "../format.js"

const ANSWER_MS = 6_000 // a later one is taken too
const TICKET = /^[\w-]{8,200}$/
const ALONE = "This board was opened without a ticket that counts. A site that may show it brings one each time."
const SILENT = "This board needs a ticket, and a ticket counts once. The page around it can send a new one; loading that page again may be all it takes."

export class Around {
  /** `set(fields)` hears what to show, `brought()` of a ticket that nobody waited for. */
  constructor({ set, brought }) {
    Object.assign(this, { set, brought, framed: parent !== window })
    this.origin = this.framed ? told() : "" // whose page it is, where the browser says
    this.ticket = globalThis.Plumbline.ticket // of the address
    delete globalThis.Plumbline.ticket
    addEventListener("message", (event) => this.#heard(event))
  }

  tell(plumbline, more = {}) {
    if (this.framed) parent.postMessage({ plumbline, ...more }, this.origin || "*") // nothing of it is secret
  }

  /** A ticket for one socket. Rejects with words; `final` where asking again is of no use. */
  async take(reason) {
    const ticket = this.ticket ?? await this.#want(reason)
    this.ticket = null
    if (!TICKET.test(ticket)) throw refused("What was given as a ticket is none", true)
    return ticket
  }

  #want(reason) {
    if (!this.framed) return Promise.reject(refused(ALONE, true))
    this.waiting ??= new Promise((done, failed) => {
      this.wanted = { done, failed }
      this.patience = setTimeout(() => failed(refused(SILENT, true)), ANSWER_MS)
      this.tell("ticket", { reason })
    }).finally(() => {
      clearTimeout(this.patience)
      this.waiting = this.wanted = null
    })
    return this.waiting
  }

  #heard({ source, origin, data }) {
    if (!this.framed || source !== parent || origin === "null" || typeof data?.plumbline !== "string") return
    this.origin = origin
    if (data.plumbline === "set") this.set(data)
    if (data.plumbline !== "ticket") return
    if (typeof data.ticket !== "string") this.wanted?.failed(refused(`There is no ticket for this board. ${sentence(String(data.error ?? "").slice(0, 300))}`, data.final))
    else if (this.wanted) this.wanted.done(data.ticket)
    else {
      this.ticket = data.ticket
      this.brought()
    }
  }
}

export function refused(message, final = false) {
  return Object.assign(new Error(message), { final: Boolean(final) })
}

/** The origin of the page around, or "" where the browser keeps it. */
function told() {
  if (location.ancestorOrigins?.length) return location.ancestorOrigins[0]
  try {
    const { origin } = new URL(document.referrer)
    return origin === location.origin ? "" : origin // after a reload we are our own
  } catch { return "" }
}
