// The code of a browser that wants to be a screen, shown until an admin has typed it.

import { h, say } from "../dom.js"
import { Since } from "./since.js"

const ASK_MS = 1500
const SOONER_MS = 5000 // a code is replaced before it stops counting, so that nobody types one that just ended

/** Shows codes until this browser is paired. `ask(path, options)` gives a reply, or null where none came. */
export async function pairing(stage, ask) {
  const code = h("p.code", { role: "img" })
  const where = h("p.where", {}, "Type this code on ", h("b", {}, `${location.host}/screens`))
  const left = h("p.left")
  stage.replaceChildren(h("section.pairing", {}, h("h2", {}, "This screen is not paired yet"), code, where, left))
  const given = new Since()
  let offer = null
  for (;;) {
    if (!offer || given.ms > offer.expires_in_s * 1000 - SOONER_MS) {
      const reply = await ask("/api/wall/pairing", { method: "POST", body: "" })
      if (reply?.status === 201) {
        offer = await reply.json()
        given.again()
        code.replaceChildren(...[...offer.code].map((letter) => h("span", {}, letter)))
        code.setAttribute("aria-label", `Code ${[...offer.code].join(" ")}`)
      } else if (given.ms > (offer?.expires_in_s ?? 0) * 1000) offer = null
    }
    if (offer) {
      const reply = await ask("/api/wall/pairing", { headers: { "X-Pairing": offer.secret } })
      if (reply?.status === 200) return
      if (reply?.status === 404) offer = null
    }
    if (!offer) code.replaceChildren()
    say(left, offer ? `A new code in ${Math.max(1, Math.ceil((offer.expires_in_s - given.ms / 1000) / 60))} min` : "Waiting for a code")
    await new Promise((done) => setTimeout(done, ASK_MS))
  }
}
