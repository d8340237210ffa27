// The Panel component's side of a board: dashboard/board.py imports `adopt` and hands over its model.

import { mount } from "./board.js"
import { h } from "./dom.js"
import { Scope } from "./scope.js"

/**
 * The component's way in (see dashboard/board.py). On a page the board stands already and only its scope is tied to
 * the session; elsewhere it is mounted here, with messages from the feed socket or from the component itself.
 */
export async function adopt(model, el) {
  const page = globalThis.Plumbline?.page
  const scope = page ? (await page).scope : new Scope(model.scope, {})
  const tie = () => { if (JSON.stringify(model.scope) !== JSON.stringify(scope.state)) model.scope = { ...scope.state } }
  scope.on(tie)
  model.on("scope", () => scope.set(model.scope, { step: false }))
  tie()
  if (page) return
  await lettered(model.font)
  const host = h("div", { "data-theme": model.scope.theme || "light" })
  el.append(h("style", {}, model.style_text), host)
  await new Promise((done) => setTimeout(done)) // Bokeh embeds only into elements that are in the page
  const brushed = (tile, from, to) => model.send_msg({ type: "brushed", tile, from, to })
  const handle = mount(host, model.spec, channel(model), { scope, brushed })
  model.on("remove", () => handle.destroy())
}

/** A saved board: its numbers as of then, in a page that asks nobody. */
export function still(element, { spec, state, scope }, said) {
  const held = new Scope(scope, { window: spec.window })
  const transport = {
    ask() {}, retry() {}, close() {},
    listen({ message, state: become }) {
      become({ name: "connected", attempt: 0 })
      message({ type: "analytics_update", analytics: state })
    },
  }
  said.textContent = `As of ${new Date(state.now).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "long" })}`
  return mount(element, spec, transport, { scope: held, bokeh: Promise.resolve(globalThis.Bokeh) })
}

/** A shadow root loads no font: the document does. */
async function lettered(font) {
  if (!font || [...document.fonts].some((face) => face.family === "Inter")) return
  const bytes = Uint8Array.from(atob(font), (c) => c.charCodeAt(0))
  document.fonts.add(await new FontFace("Inter", bytes, { weight: "100 900" }).load().catch(() => null) ?? new FontFace("Inter", "local(Inter)"))
}

/** The transport of a notebook: the component's own messages. */
function channel(model) {
  const send = (data) => model.send_msg(data)
  return {
    request: null,
    ask(request) { this.request = request; send({ type: "ask", request }) },
    listen({ message, state }) {
      state({ name: "connected", attempt: 0 })
      model.on("msg:custom", message)
    },
    retry() { send({ type: "ask", request: this.request }) },
    close() { send({ type: "close" }) },
  }
}
