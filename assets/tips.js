// One tooltip per board: for anything with a data-tip, and for the charts. It takes elements or text, never markup.

import { h } from "./dom.js"

export function tips(root) {
  const box = h("div.tip", { role: "tooltip", hidden: true })
  root.append(box)
  let owner = null
  let at = [0, 0]
  const tip = {
    show(content, x, y) {
      box.replaceChildren(...content)
      box.hidden = false
      const { left: x0, top: y0, width, height } = box.getBoundingClientRect()
      const corner = [x0 - at[0], y0 - at[1]] // not that of the window where something around the board holds what is fixed
      const right = x + 16 + width < innerWidth - 8
      const left = right ? x + 16 : Math.max(8, x - 16 - width)
      at = [Math.round(left - corner[0]), Math.round(Math.max(8, Math.min(y - height / 2, innerHeight - height - 8)) - corner[1])]
      box.style.transform = `translate(${at[0]}px,${at[1]}px)`
    },
    hide() {
      owner = null
      box.hidden = true
    },
    /** What it says; null while it is hidden. */
    words: () => (box.hidden ? null : box.textContent),
    remove() {
      box.remove()
    },
  }
  const over = (event) => {
    const target = event.target.closest?.("[data-tip]")
    if (target === owner || !target) return
    owner = target
    const place = target.getBoundingClientRect()
    tip.show(target.dataset.tip.split("\n").map((line, i) => h(i ? "p" : "strong", {}, line)), place.left + Math.min(place.width, 80) / 2, place.bottom + 26)
  }
  const out = (event) => { if (owner && !owner.contains(event.relatedTarget)) tip.hide() }
  root.addEventListener("pointerover", over)
  root.addEventListener("pointerout", out)
  root.addEventListener("focusin", (event) => { if (event.target.matches?.(":focus-visible")) over(event) })
  root.addEventListener("focusout", out)
  root.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hide() })
  new MutationObserver((changes) => {
    for (const { target } of changes) if (target === owner) { owner = null; over({ target }) }
  }).observe(root, { subtree: true, attributes: true, attributeFilter: ["data-tip"] })
  return tip
}
