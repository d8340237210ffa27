// The code of a browser that wants to be a screen, shown until an admin has typed it.

import { h, say } from "../dom.js"

const ASK_MS = 1500

/** Shows codes until this browser is paired. `unheard(seconds)` is told how long the server has been silent. */
export async function pairing(stage, unheard) {
  const code = h("p.code", { "aria-live": "polite" })
  const where = h("p.where", {}, "Type this code on ", h("b", {}, `${location.host}/screens`))
  const left = h("p.left")
  stage.replaceChildren(h("section.pairing", {}, h("h2", {}, "This screen is not paired yet"), code, where, left))
  let heard = Date.now()
  let offer = null
  for (;;) {
    unheard((Date.now() - heard) / 1000)
    if (!offer || Date.now() > offer.until) {
      const reply = await asked("/api/wall/pairing", { method: "POST", body: "" })
      if (reply) heard = Date.now()
      if (reply?.status === 201) {
        const given = await reply.json()
        offer = { ...given, until: Date.now() + given.expires_in_s * 1000 - 5000 }
        code.replaceChildren(...[...offer.code].map((letter) => h("span", {}, letter)))
        code.setAttribute("aria-label", [...offer.code].join(" "))
      } else offer = null
    } else {
      const reply = await asked("/api/wall/pairing", { headers: { "X-Pairing": offer.secret } })
      if (reply) heard = Date.now()
      if (reply?.status === 200) return
      if (reply?.status === 404) offer = null
    }
    say(left, offer ? `A new code in ${Math.max(1, Math.ceil((offer.until - Date.now()) / 60_000))} min` : "")
    await new Promise((done) => setTimeout(done, ASK_MS))
  }
}

const asked = (path, options) => fetch(path, { cache: "no-store", ...options }).catch(() => null)
