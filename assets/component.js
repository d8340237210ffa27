// The Panel component's side of a board: dashboard/board.py imports `adopt` and hands over its model.

import { mount } from "./board.js"
import { h } from "./dom.js"
import { Feed } from "./feed.js"
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
  const spec = await (await fetch(new URL(model.spec_url, document.baseURI))).json()
  const transport = model.feed_url ? new Feed(model.feed_url) : channel(model)
  const sheet = h("link", { rel: "stylesheet", href: new URL("./app.css", import.meta.url).href })
  const host = h("div", { "data-theme": model.scope.theme || "light" })
  el.append(sheet, host)
  await new Promise((done) => setTimeout(done)) // Bokeh embeds only into elements that are in the page
  const handle = mount(host, spec, transport, { scope })
  model.on("remove", () => handle.destroy())
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
