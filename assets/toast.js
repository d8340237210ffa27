// Short news at the edge of the screen: what was done, what is under way, what failed. Read aloud politely.

import { h, icon, say } from "./dom.js"

const STAYS_MS = 5_000
const SIGNS = { good: "check", bad: "warn", warn: "warn" }

/**
 * Show `text`. tone: good, bad, warn or none. action: {text, act}, a button beside it, or a list of them.
 * stay: until it is closed, as what is under way does.
 * Returns {say(text), close()}. A toast waits while the pointer or the focus is in it.
 */
export function toast(text, { tone = "none", action = null, stay = false } = {}) {
  const words = h("span", {}, text)
  const close = () => { clearTimeout(timer); box.remove() }
  const box = h("div.toast", { "data-tone": tone }, SIGNS[tone] ? icon(SIGNS[tone]) : stay ? h("i.busy", { "aria-hidden": "true" }) : null, words,
    [].concat(action ?? []).map(({ text: name, act }) => h("button.btn.small", { type: "button", click: () => { close(); act() } }, name)),
    stay ? null : h("button.shut", { type: "button", "aria-label": "Close", click: () => close() }, icon("cross")))
  let timer = null
  const wait = () => { clearTimeout(timer); if (!stay) timer = setTimeout(close, tone === "bad" ? 2 * STAYS_MS : STAYS_MS) }
  const hold = () => clearTimeout(timer)
  for (const name of ["pointerenter", "focusin"]) box.addEventListener(name, hold)
  for (const name of ["pointerleave", "focusout"]) box.addEventListener(name, wait)
  shelf().append(box)
  wait()
  return { say: (other) => say(words, other), close }
}

/** The place of all toasts. */
function shelf() {
  const ground = globalThis.Plumbline?.ground ?? document.body // a board inside another page has a ground of its own
  return ground.querySelector(".toasts") ?? ground.appendChild(h("div.toasts.plumbline", { role: "status", "aria-live": "polite" }))
}

shelf() // a screen reader speaks what is put into a place that was there before
