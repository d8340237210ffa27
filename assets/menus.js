// Menus, popovers and dialogs as the ARIA practices describe them: arrows walk, Escape closes, focus goes back.

import { h, icon } from "./dom.js"

const MARGIN = 8

/** Whether a menu, a popover or a dialog is open: then single keys mean nothing to the page. */
export const anyOpen = () => Boolean(document.querySelector(".menu:not(details .menu), dialog[open], details.pages[open]"))

/**
 * A box under a button. fill(box, close) puts its content in and may return what takes the focus. `home` is where the
 * focus goes when the button is gone by then. Returns {open, close, toggle, place}.
 */
function popup(button, { role, label, kind = "", fill, keys, closed, home }) {
  button.setAttribute("aria-haspopup", role)
  button.setAttribute("aria-expanded", "false")
  let box = null

  const close = (refocus = true) => {
    if (!box) return
    box.remove()
    box = null
    button.setAttribute("aria-expanded", "false")
    document.removeEventListener("pointerdown", away, true)
    removeEventListener("resize", place)
    removeEventListener("scroll", place)
    closed?.()
    const back = button.isConnected ? button : home?.()
    if (refocus) back?.focus()
  }

  const away = (event) => {
    const path = event.composedPath()
    if (!path.includes(box) && !path.includes(button)) close(false)
  }

  const place = () => {
    if (!box) return
    const at = (button.isConnected ? button : home?.() ?? document.body).getBoundingClientRect()
    const { clientWidth: width, clientHeight: height } = document.documentElement
    const below = height - at.bottom - 6 - MARGIN
    box.style.left = box.style.top = "0px"
    const corner = box.getBoundingClientRect() // not that of the window where something around the board holds what is fixed
    box.style.left = `${Math.max(MARGIN, Math.min(at.left, width - box.offsetWidth - MARGIN)) - corner.left}px`
    box.style.top = `${Math.max(MARGIN, Math.min(at.bottom + 6, height - Math.min(box.scrollHeight, Math.max(below, 240)) - MARGIN)) - corner.top}px`
    box.style.maxHeight = `${Math.max(below, 240)}px`
  }

  const open = () => {
    if (box) return
    ground(button).querySelector(":scope > .menu")?.dispatchEvent(new CustomEvent("done", { detail: { refocus: false } }))
    box = h(`div.menu${kind && `.${kind}`}`, { role, "aria-label": label?.() ?? button.getAttribute("aria-label") ?? button.textContent.trim() })
    const first = fill(box, close)
    box.addEventListener("done", (event) => close(event.detail?.refocus ?? true))
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return keys?.(event, box, close)
      event.preventDefault()
      event.stopPropagation()
      close()
    })
    ground(button).append(box)
    document.addEventListener("pointerdown", away, true)
    addEventListener("resize", place)
    addEventListener("scroll", place, { passive: true })
    place()
    button.setAttribute("aria-expanded", "true")
    ;(first ?? box.querySelector("button, input, [tabindex]"))?.focus()
  }

  button.addEventListener("click", () => (box ? close() : open()))
  return { open, close, place, toggle: () => (box ? close() : open()), get box() { return box } }
}

/** What has the focus, in the page or in the shadow that `element` is in. */
const focused = (element) => element.getRootNode().activeElement

/** Where a box of this button lies on top of everything: the body, or what is in front of it, or the shadow it is in. */
function ground(button) {
  const root = button.getRootNode()
  const front = button.closest("dialog") ?? document.fullscreenElement
  if (front && front !== document.documentElement && front.contains(button)) return front
  return root.body ?? button.closest("[data-theme]") ?? root.lastElementChild ?? document.body
}

/** A popover that is a small dialog: Tab stays in it. fill(box, close) as for `popup`. */
export function popover(button, options) {
  return popup(button, { ...options, role: "dialog", kind: `popover${options.kind ? `.${options.kind}` : ""}`, keys: trapped })
}

function trapped(event, box) {
  if (event.key !== "Tab") return
  const stops = [...box.querySelectorAll("button, input, select, a[href], [tabindex='0']")].filter((e) => e.tabIndex >= 0 && !e.disabled && e.offsetParent)
  const [first, last] = [stops[0], stops.at(-1)]
  const edge = event.shiftKey ? first : last
  if (focused(box) !== edge && box.contains(focused(box))) return
  event.preventDefault()
  ;(event.shiftKey ? last : first)?.focus()
}

/**
 * A menu under a button. items(): entries {text, hint?, note?, on?, off?, keep?, act | href}, or {heading}.
 * `on` makes a choice of it, `off` says why it cannot be chosen, `keep` leaves the menu open after a choice.
 */
export function menu(button, items) {
  const entry = (item, box, close) => {
    if (item.heading) return h("p.heading", { role: "presentation" }, item.heading)
    const role = item.on === undefined ? "menuitem" : item.keep ? "menuitemcheckbox" : "menuitemradio"
    const words = h("span.words", {}, item.text, item.note ? h("small", {}, item.note) : null)
    const inner = [h("span.tick", {}, item.on ? icon("check") : null), words, item.hint ? h("kbd", {}, item.hint) : null]
    const states = { ...(item.on === undefined ? {} : { "aria-checked": String(item.on) }), ...(item.off ? { "aria-disabled": "true", title: item.off } : {}) }
    if (item.href) return h("a", { role, href: item.href, tabindex: "-1" }, inner)
    const choose = () => {
      if (item.off) return
      if (!item.keep) close()
      item.act()
      if (item.keep) fill(box, close, item.text)
    }
    return h("button", { role, type: "button", tabindex: "-1", click: choose, ...states }, inner)
  }

  const fill = (box, close, chosen) => {
    box.replaceChildren(...items().map((item) => entry(item, box, close)))
    if (chosen) [...box.children].find((c) => c.textContent === chosen)?.focus()
    return box.querySelector("[aria-checked=true]") ?? box.querySelector("[role^=menuitem]")
  }

  const walk = (event, box, close) => {
    const entries = [...box.querySelectorAll("[role^=menuitem]")]
    const now = entries.indexOf(focused(box))
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key]
    if (event.key === "Tab") close()
    else if (to !== undefined && entries.length) {
      event.preventDefault()
      entries.at(to % entries.length).focus()
    } else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
      const after = [...entries.slice(now + 1), ...entries.slice(0, now + 1)]
      after.find((e) => e.querySelector(".words").textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus()
    }
  }

  const made = popup(button, { role: "menu", fill, keys: walk })
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return
    event.preventDefault()
    made.open()
  })
  return made
}

export function dialog(title, content) {
  const box = h("dialog.sheet", { "aria-label": title, close: () => box.remove() },
    h("header", {}, h("h2", {}, title), h("form", { method: "dialog" }, h("button.btn.ghost", { "aria-label": "Close" }, icon("cross")))), content)
  box.addEventListener("click", (event) => { if (event.target === box) box.close() })
  box.addEventListener("keydown", (event) => { if (event.key === "Escape") event.stopPropagation() })
  document.body.append(box)
  box.showModal()
}

/** Put text on the clipboard; false where no browser way is open. Pages that come over plain HTTP know only the old one. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = h("textarea.visually-hidden", { "aria-hidden": "true", tabindex: "-1" })
    field.value = text
    const before = document.activeElement
    document.body.append(field)
    field.select()
    const done = document.execCommand("copy")
    field.remove()
    before?.focus()
    return done
  }
}
