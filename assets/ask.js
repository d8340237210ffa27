// The ask box in the header: a field that opens over the page, remembers what was asked, and hands questions to its
// panel, which is loaded when it is first needed. Pages without a feed send the question to one that has it.

import { mark } from "./dom.js"

const KEPT = 30 // questions remembered
const STORE = "plumbline.asked"

/** Bind the form. With a feed it answers here; without one the form goes to its page. */
export function asking(form, { scope, feed, page } = {}) {
  if (!form) return null
  const [field, opener, shut, place] = ["input", ".ask-open", ".shut", ".ask-panel"].map((s) => form.querySelector(s))
  const past = history()
  let back = null // what had the focus before
  let panel = null
  let loading = null

  const load = () => {
    loading ??= import("./ask_panel.js").then(({ Panel }) => { panel = new Panel({ form, field, place, scope, feed, page, past, ask, close }) })
    return loading
  }

  const open = async () => {
    const fresh = !("open" in form.dataset)
    if (fresh) back = document.activeElement === field ? null : document.activeElement
    mark(form, "data-open", "")
    shut.hidden = false
    field.focus()
    if (fresh) field.select() // the next question takes the place of the last
    if (!feed) return
    document.addEventListener("pointerdown", away, true)
    await load()
    if ("open" in form.dataset) panel.offer()
  }

  const close = (refocus = true) => {
    if (!("open" in form.dataset)) return
    mark(form, "data-open", null)
    shut.hidden = true
    document.removeEventListener("pointerdown", away, true)
    panel?.hide()
    if (!refocus) return field.blur()
    const to = back?.isConnected && back !== document.body && back.offsetParent !== null ? back : null
    if (to) to.focus({ preventScroll: true })
    else field.blur()
  }

  const away = (event) => {
    const path = event.composedPath()
    if (!path.includes(form) && !path.some((e) => e.matches?.(".menu, dialog, .toasts, .tip"))) close(false)
  }

  async function ask(text = field.value) {
    const question = text.trim()
    if (!question) return
    field.value = question
    past.add(question)
    await open()
    panel.ask(question)
  }

  form.addEventListener("submit", (event) => {
    if (!feed) { if (!field.value.trim()) event.preventDefault(); return }
    event.preventDefault()
    if (!panel?.chosen()) ask()
  })
  field.addEventListener("focus", () => { if (!("open" in form.dataset)) open() })
  opener.addEventListener("click", open)
  shut.addEventListener("click", () => close())
  field.addEventListener("input", () => { past.reset(); panel?.offer() })
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); return close() }
    if (event.target !== field || event.isComposing || !["ArrowUp", "ArrowDown"].includes(event.key)) return
    event.preventDefault()
    if (panel?.walk(event.key === "ArrowDown" ? 1 : -1)) return
    const found = past.step(event.key === "ArrowUp" ? 1 : -1, field.value)
    if (found !== null) { field.value = found; field.setSelectionRange(found.length, found.length); panel?.offer() }
  })
  if (feed && scope.state.args.ask) { // a link that brings its question
    const asked = scope.state.args.ask
    scope.put({ ask: "" }, { step: false })
    ask(asked)
  }
  return { open, ask }
}

/** Questions asked before, the newest first; step() walks them as a shell does. */
function history() {
  let known = []
  try { known = JSON.parse(localStorage.getItem(STORE) ?? "[]").filter((text) => typeof text === "string").slice(0, KEPT) } catch { /* storage may be forbidden */ }
  let at = -1
  let typed = ""
  return {
    get all() { return known },
    get walking() { return at >= 0 },
    reset() { at = -1 },
    add(text) {
      at = -1
      known = [text, ...known.filter((other) => other !== text)].slice(0, KEPT)
      try { localStorage.setItem(STORE, JSON.stringify(known)) } catch { /* storage may be forbidden */ }
    },
    step(by, now) {
      const to = at + by
      if (to < -1 || to >= known.length) return null
      if (at < 0) typed = now
      at = to
      return at < 0 ? typed : known[at]
    },
  }
}
