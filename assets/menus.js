// Menus and dialogs as the ARIA practices describe them: arrows walk, Escape closes, focus goes back.

import { h, icon } from "./dom.js"

/**
 * A menu under a button. items(): entries {text, hint?, on?, keep?, act | href}, {heading}, or elements.
 * `keep` leaves the menu open after a choice, for lists where several may be on.
 */
export function menu(button, items) {
  button.setAttribute("aria-haspopup", "menu")
  button.setAttribute("aria-expanded", "false")
  let box = null

  const close = (refocus) => {
    if (!box) return
    box.remove()
    box = null
    button.setAttribute("aria-expanded", "false")
    if (refocus) button.focus()
  }

  const entry = (item) => {
    if (item instanceof Element) return item
    if (item.heading) return h("p.heading", {}, item.heading)
    const role = item.on === undefined ? "menuitem" : item.keep ? "menuitemcheckbox" : "menuitemradio"
    const inner = [h("span.tick", {}, item.on ? icon("check") : null), h("span", {}, item.text), item.hint ? h("kbd", {}, item.hint) : null]
    const checked = item.on === undefined ? {} : { "aria-checked": String(item.on) }
    if (item.href) return h("a", { role, href: item.href, tabindex: "-1" }, inner)
    const choose = () => {
      item.act()
      if (item.keep) fill(item.text)
      else close(true)
    }
    return h("button", { role, type: "button", tabindex: "-1", click: choose, ...checked }, inner)
  }

  const fill = (focused) => {
    box.replaceChildren(...items().map(entry))
    if (focused) [...box.children].find((c) => c.textContent === focused)?.focus()
  }

  const open = () => {
    box = h("div.menu", { role: "menu", "aria-label": button.getAttribute("aria-label") ?? button.textContent.trim() })
    fill()
    box.addEventListener("done", () => close(true))
    box.addEventListener("keydown", walk)
    button.parentElement.append(box)
    const place = button.getBoundingClientRect()
    const room = document.documentElement.clientWidth
    box.style.left = `${Math.max(8, Math.min(place.left, room - box.offsetWidth - 8))}px`
    box.style.top = `${place.bottom + 6}px`
    button.setAttribute("aria-expanded", "true")
    ;(box.querySelector("[aria-checked=true]") ?? box.querySelector("[role^=menuitem]"))?.focus()
  }

  const walk = (event) => {
    const entries = [...box.querySelectorAll("[role^=menuitem], input")]
    const now = entries.indexOf(event.target)
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (event.key === "Escape") { event.stopPropagation(); close(true) }
    else if (event.key === "Tab" && event.target.getAttribute("role")) close(false)
    else if (step && entries.length) {
      event.preventDefault()
      entries[(now + step + entries.length) % entries.length].focus()
    }
  }

  button.addEventListener("click", () => (box ? close(true) : open()))
  button.addEventListener("keydown", (event) => { if (event.key === "ArrowDown" && !box) { event.preventDefault(); open() } })
  document.addEventListener("pointerdown", (event) => { if (box && !box.contains(event.target) && !button.contains(event.target)) close(false) })
  addEventListener("resize", () => close(false))
}

export function dialog(title, content) {
  const box = h("dialog.sheet", { "aria-label": title, close: () => box.remove() },
    h("header", {}, h("h2", {}, title), h("form", { method: "dialog" }, h("button.btn.ghost", { "aria-label": "Close" }, icon("cross")))), content)
  box.addEventListener("click", (event) => { if (event.target === box) box.close() })
  document.body.append(box)
  box.showModal()
}
