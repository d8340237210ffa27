// The keyboard: single keys that mean nothing while somebody types or a menu is open, and the sheet that lists them.

import { h } from "./dom.js"
import { anyOpen, dialog } from "./menus.js"
import { toast } from "./toast.js"
import { whyOfTheLargest } from "./why.js"

const KEYS = [
  ["Space", "pause and go on"], ["0", "back to live"], ["[  ]", "back and forth in time"], ["+  −", "zoom in and out"],
  ["f", "add a filter"], ["l", "search the list of flows"], ["c", "comparison on and off"], ["/", "ask a question"], ["w", "why: the largest change"], ["s", "share a link"],
  ["z  Z", "undo and redo"], ["k", "only the board; Esc leaves"], ["t", "light or dark"], ["←  →", "walk along a focused chart"], ["↑  ↓", "its series"],
  ["Shift ←  Shift →", "select a span of it; Enter zooms, w asks why"], ["m", "the menu of a focused tile"], ["Esc", "let go, else undo"], ["?", "this sheet"],
]

const TYPING = "input,textarea,select,dialog,[contenteditable],[role=menu],[role=dialog],[role=listbox]"

/** Bind keys to functions by name: {ask, pause, live, back, forth, in, out, filter, compare, why, share, undo, redo, wall, theme, help}. */
export function keyboard(act) {
  const keys = {
    " ": act.pause, 0: act.live, "[": act.back, "]": act.forth, "+": act.closer, "=": act.closer, "-": act.wider, f: act.filter, c: act.compare,
    "/": act.ask, w: act.why, s: act.share, z: act.undo, Z: act.redo, k: act.wall, t: act.theme, "?": act.help,
  }
  addEventListener("keydown", (event) => {
    const { key, target } = event
    if (event.defaultPrevented || event.altKey || event.isComposing || target.closest?.(TYPING) || anyOpen()) return
    const control = event.ctrlKey || event.metaKey
    if (control && key.toLowerCase() !== "z") return
    if (key === " " && target.closest?.("button,a,summary,[tabindex]:not(main)")) return
    const wanted = control ? (event.shiftKey ? act.redo : act.undo) : Object.hasOwn(keys, key) ? keys[key] : null
    if (!wanted) return
    event.preventDefault()
    wanted()
  })
}

export const help = () => dialog("Keys", h("dl.keys", {}, KEYS.flatMap(([keys, what]) =>
  [h("dt", {}, keys.split("  ").map((key) => h("kbd", {}, key))), h("dd", {}, what)])))

/** Ask about the largest change that the page tells of. */
export const why = () => { if (!whyOfTheLargest()) toast("Nothing on this page has changed") }

/** Go to the ask box. */
export const ask = () => document.querySelector(".ask .ask-open")?.click()

/** Only the board, over the whole screen; the same key or Escape leaves. Returns the switch. */
export function wall() {
  const root = document.documentElement
  const leave = () => {
    delete root.dataset.wall
    if (document.fullscreenElement) document.exitFullscreen()
  }
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !("wall" in root.dataset) || anyOpen()) return
    event.preventDefault()
    event.stopImmediatePropagation() // it leaves this view and undoes nothing
    leave()
  }, { capture: true })
  document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) delete root.dataset.wall })
  return () => {
    if ("wall" in root.dataset) return leave()
    root.dataset.wall = ""
    root.requestFullscreen?.().catch(() => { /* without the right to it, the page alone is enough */ })
  }
}
