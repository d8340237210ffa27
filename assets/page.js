// A page of the site: the socket first, then the board, then Bokeh for the charts, and last the session.
// Each step starts as early as it can, so that the first numbers stand before the charting library is parsed.

import { mount } from "./board.js"
import { controls } from "./controls.js"
import { asking } from "./ask.js"
import { Feed } from "./feed.js"
import { Scope } from "./scope.js"
import { reasons } from "./why.js"
import { askWhy } from "./why_request.js"

const page = JSON.parse(document.getElementById("page").textContent)
const scope = new Scope(page.scope, { window: page.home, url: true, args: page.arguments })
const feed = new Feed(new URL(page.feed_url, location.href).href.replace(/^http/, "ws"))
if (!page.view) feed.ask(scope.request(page.board))

const script = (src) => new Promise((done, failed) => {
  const element = document.createElement("script")
  element.addEventListener("load", done)
  element.addEventListener("error", () => failed(new Error(`${src} did not load`)))
  element.src = src
  document.head.append(element)
})

const bokeh = script(page.scripts[0]).then(() => globalThis.Bokeh)
globalThis.Plumbline = { ...globalThis.Plumbline, page: Promise.resolve({ scope, feed }) }

function themed(name) {
  document.documentElement.dataset.theme = name
  try { localStorage.setItem("plumbline.theme", name) } catch { /* storage may be forbidden */ }
}

async function start() {
  const theme = document.documentElement.dataset.theme
  scope.state.theme = page.scope.theme
  scope.on((state, patch) => { if (patch.theme) themed(patch.theme) }) // first, so that all after it see the new theme
  reasons({ scope, feed }) // before the board, so that Escape closes the drawer before it undoes
  asking(document.querySelector(".ask"), { scope, feed, page })
  const bar = controls(document.body, scope, { home: page.home, feed, page })
  const main = document.querySelector("main")
  if (page.view) {
    // a view draws itself: mount(main, {scope, feed, bar, page, bokeh}) of its module in views/
    const view = await import(page.view)
    globalThis.Plumbline.view = await view.mount(main, { scope, feed, bar, page, bokeh, restarted })
  } else {
    const spec = await (await fetch(page.specs[theme])).json()
    const data = (fresh) => { bar.data(fresh); restarted(); redrawn(spec, fresh) }
    globalThis.Plumbline.board = mount(main, spec, feed, { scope, bokeh, status: bar.status, data, why: askWhy })
  }
  // the board stands without a session; the session follows when the charts are drawn
  await bokeh
  await new Promise((done) => (globalThis.requestIdleCallback ?? setTimeout)(done, { timeout: 1500 }))
  await session()
}

async function session() {
  // Panel asks for a shim of ES modules that browsers no longer need
  globalThis.importShim ??= Object.assign((url) => import(url), { addImportMap() {} })
  for (const src of page.scripts.slice(1)) await script(src)
  const [docs, items] = page.session
  await globalThis.Bokeh.embed.embed_items(docs, items)
}

/** The server was started anew, so this page's session is gone: load again, once per start, nothing is lost. */
function restarted() {
  if (!feed.restarted) return
  try {
    const [epoch, at] = JSON.parse(sessionStorage.getItem("plumbline.reload") ?? "[]")
    if (epoch === feed.epoch || Date.now() - at < 10_000) return
    sessionStorage.setItem("plumbline.reload", JSON.stringify([feed.epoch, Date.now()]))
  } catch { return }
  feed.restarted = false
  location.reload()
}

/** The workspace draws this board differently now: load again, at most once per change. */
function redrawn(spec, data) {
  if (!data.layout || data.layout === spec.layout) return
  try {
    if (sessionStorage.getItem("plumbline.layout") === data.layout) return
    sessionStorage.setItem("plumbline.layout", data.layout)
  } catch { return }
  location.reload()
}

start()
