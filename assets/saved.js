// A saved page: a board with its numbers as of then. It asks nobody and never looks live.

import { mount } from "./board.js"
import { say } from "./dom.js"
import { entries } from "./exports.js"
import { Scope } from "./scope.js"
import { said } from "./times.js"

/** What is looked at does not change any more. */
class Fixed extends Scope {
  set() {}
}

/** Draw what is held into the page: {spec, state, scope}. */
export function still(page, { spec, state, scope: looked }) {
  const scope = new Fixed(looked, { window: spec.window })
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone
  const tz = looked.tz || own
  const transport = {
    ask() {}, retry() {}, close() {},
    listen({ message, state: become }) {
      become({ name: "connected", attempt: 0 })
      message({ type: "analytics_update", analytics: state })
    },
  }
  const filters = looked.filters.map((f) => `${f.dim} ${f.op.replaceAll("_", " ")} ${f.values.map((v) => v ?? "(none)").join(", ")}`)
  const span = spec.timeless ? "" : state.label?.includes(" to ") ? said(looked.window, state.now, tz) : state.label ?? ""
  say(page.getElementById("window"), [span, ...filters].filter(Boolean).join(" · "))
  say(page.getElementById("as-of"), `As of ${new Date(state.now).toLocaleString("en-GB", { timeZone: tz, dateStyle: "long", timeStyle: "medium" })}, ${tz}`)
  globalThis.Plumbline = { ...globalThis.Plumbline, font: fontOf(page) }
  return mount(page.getElementById("board"), spec, transport, { scope, bokeh: Promise.resolve(globalThis.Bokeh), files: (tile) => entries(tile, null), still: true })
}

/** The font inside the page, for pictures. */
function fontOf(page) {
  return /url\("(data:font[^"]+)"\)/.exec(page.querySelector("style").textContent)?.[1]
}
