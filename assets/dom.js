// Building elements without markup strings: text stays text, whatever a series is called.

const SVG = "http://www.w3.org/2000/svg"

/** h("p.note", {title: "…"}, "text", child): classes after dots; null children are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document, tag, attributes, children)
}

export function svg(tag, attributes = {}, ...children) {
  return fill({ createElement: (name) => document.createElementNS(SVG, name) }, tag, attributes, children)
}

function fill(maker, tag, attributes, children) {
  const [name, ...classes] = tag.split(".")
  const element = maker.createElement(name)
  if (classes.length) element.setAttribute("class", classes.join(" "))
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value)
    else if (value === true) element.setAttribute(key, "")
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value)
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** Set text only where it differs: no work for the screen reader, none for layout. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Set or remove an attribute only where it differs. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name)
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value)
}

/** Make `parent` hold exactly these children, moving as few as possible; what has the focus keeps it. */
export function arrange(parent, children) {
  const kept = new Set(children)
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove()
  const focused = parent.getRootNode().activeElement
  children.forEach((child, i) => { if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null) })
  if (focused && parent.contains(focused) && parent.getRootNode().activeElement !== focused) focused.focus({ preventScroll: true })
}

const ICONS = {
  grid: "M2.5 2.5H7V7H2.5zM9 2.5h4.5V7H9zM2.5 9H7v4.5H2.5zM9 9h4.5v4.5H9z",
  warn: "M8 1.8 15 14H1zM8 6v4M8 12v.2",
  clock: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.6V8l2.4 1.6",
  pause: "M5.2 3v10M10.8 3v10",
  play: "M5 3l8 5-8 5z",
  check: "M3 8.5l3.2 3.2L13 4.8",
  cross: "M4 4l8 8M12 4l-8 8",
  copy: "M6 6h7v7H6zM3 10V3h7",
  empty: "M2 9l2.5-6h7L14 9v4H2zM2 9h3.5l1 2h3l1-2H14",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M13 1.8v3h-3",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  wider: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 14 14M5 7h4",
  share: "M8 9.5V1.8M5 4.4 8 1.6l3 2.8M3 8.5V14h10V8.5",
  calendar: "M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 1.8v3M10.5 1.8v3",
  globe: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M1.8 8h12.4M8 1.8c2.3 1.8 2.9 3.9 2.9 6.2S10.3 12.4 8 14.2M8 1.8C5.7 3.6 5.1 5.7 5.1 8S5.7 12.4 8 14.2",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1z",
}

/** A line icon in the colour of its text; the word beside it carries the meaning. */
export function icon(name) {
  return svg("svg.icon", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }))
}
