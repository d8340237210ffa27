// A tile over the whole window. It stays where it is in the page, so that nothing of it is drawn anew; all else is
// inert meanwhile.

import { h, mark } from "./dom.js"

/** Enlarge `element`; calls done() once it is small again. Returns the way to make it so. */
export function enlarge(element, done) {
  const hole = h("div", { class: `hole ${element.className}`, "aria-hidden": "true", style: `${element.getAttribute("style")};height:${element.offsetHeight}px` })
  const others = aside(element)
  const close = () => {
    hole.remove()
    for (const other of others) other.inert = false
    element.classList.remove("large")
    mark(element, "role", null)
    mark(element, "aria-modal", null)
    document.documentElement.style.removeProperty("overflow")
    done()
  }
  element.before(hole)
  for (const other of others) other.inert = true
  element.classList.add("large")
  mark(element, "role", "dialog")
  mark(element, "aria-modal", "true")
  document.documentElement.style.overflow = "hidden"
  return close
}

/** All that is beside the element on the way up, except what shows words about it. */
function aside(element) {
  const found = []
  for (let at = element; at.parentElement && at !== document.body; at = at.parentElement) {
    found.push(...[...at.parentElement.children].filter((other) => other !== at && !other.inert && !other.matches(".tip, [role=status], .toasts, script")))
  }
  return found
}
