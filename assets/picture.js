// Pictures: an element of the page as a vector drawing that stands alone, and that drawing as pixels.
// The page is walked as it was laid out: boxes, runs of text where they stand, drawings with the colours they wear,
// charts through Bokeh's own drawing. At the foot stands when it was taken, so that no picture passes for live.

import { svg } from "./dom.js"

const PAD = 20
const FOOT = { size: 12, leading: 18, above: 14 }
const LEFT_OUT = "[data-picture=none], .tile-menu, [role=menu], [role=tooltip], dialog, .tip, .cross, .toasts, .visually-hidden, .skip, .held, script, style, template"
const LOADING = "[data-state=loading], .figure:not([data-drawn])"
const PATIENCE_MS = 4_000
const STYLED = ["fill", "fill-opacity", "fill-rule", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "stroke-linecap",
  "stroke-linejoin", "vector-effect", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline"]
const STRAIGHT = /^[MLZ\d.,\s-]+$/
const PAIR = /(-?[\d.]+)[\s,]+(-?[\d.]+)/g
const SIDES = ["top", "right", "bottom", "left"]

/**
 * Draw `element`. foot: lines of text below it. Returns {svg: text, width, height} in CSS pixels.
 * The drawing needs nothing from elsewhere: the font is inside.
 */
export async function picture(element, { foot = [] } = {}) {
  await settled(element)
  const font = await inlined(globalThis.Plumbline?.font ?? new URL("./fonts/inter.woff2", import.meta.url).href)
  const look = getComputedStyle(element)
  const box = content(element, look)
  const width = Math.ceil(box.width) + 2 * PAD
  const role = (name) => look.getPropertyValue(`--${name}`).trim()
  const lines = wrapped(foot, width - 2 * PAD, `${FOOT.size}px ${look.fontFamily}`)
  const height = Math.ceil(box.height) + 2 * PAD + (lines.length ? FOOT.above + lines.length * FOOT.leading : 0)
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
    svg("title", {}, foot[0] ?? document.title), svg("style", {}, stylesheet(font, look)),
    svg("rect", { width, height, ...paint("fill", role("bg")) }))
  const walk = new Walk(PAD - box.left, PAD - box.top)
  root.append(walk.drawn(element), walk.defs)
  lines.forEach(({ text, first }, i) => root.append(svg("text", {
    x: PAD, y: Math.ceil(box.height) + PAD + FOOT.above + (i + 1) * FOOT.leading - 4, "font-size": FOOT.size, "font-family": look.fontFamily,
    "font-weight": first ? 620 : 450, ...paint("fill", role(first ? "ink" : "dim")) }, text)))
  return { svg: new XMLSerializer().serializeToString(root), width, height }
}

/** The drawing as a PNG of `scale` pixels per CSS pixel. */
export async function pixels({ svg: text, width, height }, scale = 2) {
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }))
  try {
    const image = new Image()
    image.src = url
    await image.decode()
    const canvas = document.createElement("canvas")
    canvas.width = width * scale
    canvas.height = height * scale
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    return await new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("the picture is too large"))), "image/png"))
  } finally {
    URL.revokeObjectURL(url)
  }
}

/** Wait for what is still on its way; but not for ever, and then it is drawn as it is. */
async function settled(element) {
  await document.fonts.ready
  const end = performance.now() + PATIENCE_MS
  const waits = () => [...element.querySelectorAll(LOADING)].some((e) => e.checkVisibility())
  while (waits() && performance.now() < end) await new Promise(requestAnimationFrame)
}

class Walk {
  constructor(dx, dy) {
    Object.assign(this, { dx, dy, defs: svg("defs"), count: 0 })
  }

  /** An element with all that is in it, or nothing where nothing shows. */
  drawn(element) {
    if (element.matches(LEFT_OUT)) return ""
    const look = getComputedStyle(element)
    const box = element.getBoundingClientRect()
    if (look.display === "none" || (!box.width && !box.height && look.display !== "contents")) return ""
    const group = svg("g", look.opacity === "1" ? {} : { opacity: look.opacity })
    const seen = look.visibility === "visible"
    if (seen) group.append(...this.#box(box, look))
    if (element instanceof SVGSVGElement) group.append(...(seen ? this.#vector(element, box) : []))
    else if (element instanceof HTMLCanvasElement) group.append(this.#bitmap(element, box))
    else if (element instanceof HTMLInputElement || element instanceof HTMLSelectElement) group.append(this.#typed(element, box, look))
    else group.append(this.#inside(element, box, look))
    return group.childNodes.length ? group : ""
  }

  #inside(element, box, look) {
    const chart = element.shadowRoot && globalThis.Bokeh?.index.query_one((view) => view.el === element)
    if (chart?.export) return this.#chart(chart, box)
    const inner = svg("g")
    if (look.overflowX !== "visible" || look.overflowY !== "visible") inner.setAttribute("clip-path", `url(#${this.#clip(box, look)})`)
    for (const node of (element.shadowRoot ?? element).childNodes) {
      if (node.nodeType === Node.ELEMENT_NODE) inner.append(this.drawn(node))
      else if (node.nodeType === Node.TEXT_NODE && look.visibility === "visible") inner.append(...this.#words(node, element, look))
    }
    return inner.childNodes.length ? inner : ""
  }

  /** Bokeh draws itself once more, into a drawing in place of its canvas. */
  #chart(view, box) {
    const drawing = view.export("svg", false).canvas
    for (const def of drawing.querySelectorAll("defs > *")) this.defs.append(def)
    const group = svg("g", { transform: `translate(${place(box.left + this.dx + 0.5)} ${place(box.top + this.dy + 0.5)})` })
    group.append(...[...drawing.childNodes].filter((node) => node.nodeName !== "defs"))
    return group
  }

  #vector(element, box) {
    const copy = element.cloneNode(true)
    const unscaled = []
    const originals = [element, ...element.querySelectorAll("*")]
    ;[copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
      const look = getComputedStyle(originals[i])
      if (look.display === "none") return node.setAttribute("display", "none")
      for (const name of STYLED) {
        const value = look.getPropertyValue(name)
        if (!value || value === "normal" || (name === "opacity" && value === "1")) continue
        if (name === "fill" || name === "stroke") for (const [key, own] of Object.entries(paint(name, value))) node.setAttribute(key, own)
        else if (!name.endsWith("-opacity") || value !== "1") node.setAttribute(name, value)
      }
      node.removeAttribute("class")
      node.removeAttribute("style")
      if (look.vectorEffect === "non-scaling-stroke" && STRAIGHT.test(node.getAttribute("d") ?? "")) unscaled.push([node, originals[i].getScreenCTM()])
    })
    for (const [name, value] of Object.entries({ x: box.left + this.dx, y: box.top + this.dy, width: box.width, height: box.height })) copy.setAttribute(name, place(value))
    if (!copy.hasAttribute("viewBox")) copy.setAttribute("overflow", "visible")
    return [copy, ...unscaled.map(([path, matrix]) => this.#flat(path, matrix))]
  }

  /** A path whose line keeps its width however it is stretched: with pixels as its coordinates, so that it does in any scale. */
  #flat(path, { a, d, e, f }) {
    path.setAttribute("d", path.getAttribute("d").replace(PAIR, (_, x, y) => `${place(a * x + e + this.dx)},${place(d * y + f + this.dy)}`))
    path.removeAttribute("vector-effect")
    return path
  }

  #bitmap(canvas, box) {
    if (!canvas.width || !canvas.height) return ""
    return svg("image", { href: canvas.toDataURL(), ...this.#at(box), preserveAspectRatio: "none" })
  }

  #at(box) {
    return { x: place(box.left + this.dx), y: place(box.top + this.dy), width: place(box.width), height: place(box.height) }
  }

  #clip(box, look) {
    const id = `clip-${++this.count}`
    this.defs.append(svg("clipPath", { id }, svg("rect", { ...this.#at(box), rx: place(radius(look, box)) })))
    return id
  }

  /** Background and border. Borders that differ by side are lines, else the box has one outline. */
  #box(box, look) {
    const found = []
    const rx = radius(look, box)
    if (visible(look.backgroundColor)) found.push(svg("rect", { ...this.#at(box), rx: place(rx), ...paint("fill", look.backgroundColor) }))
    const sides = SIDES.map((side) => ({ width: parseFloat(look[`border-${side}-width`]), style: look[`border-${side}-style`], colour: look[`border-${side}-color`] }))
    const shown = sides.filter((s) => s.width > 0 && s.style !== "none" && visible(s.colour))
    if (!shown.length || !box.width) return found
    if (sides[1].width + sides[3].width >= box.width && sides[0].width + sides[2].width >= box.height) return [...found, ...this.#corners(box, sides, shown)]
    if (shown.length === 4 && sides.every((s) => s.width === sides[0].width && s.colour === sides[0].colour)) {
      const w = sides[0].width
      const inner = { left: box.left + w / 2, top: box.top + w / 2, width: box.width - w, height: box.height - w }
      if (inner.width >= 0 && inner.height >= 0) found.push(svg("rect", { ...this.#at(inner), rx: place(Math.max(0, rx - w / 2)), fill: "none", ...stroke(sides[0]) }))
    } else if (box.height || shown.length === 1) SIDES.forEach((side, i) => { if (shown.includes(sides[i])) found.push(this.#edge(box, side, sides[i])) })
    return found
  }

  /** A box that is all border: the triangles of carets and arrows. */
  #corners(box, sides, shown) {
    const [left, top] = [box.left + this.dx, box.top + this.dy]
    const outer = [[left, top], [left + box.width, top], [left + box.width, top + box.height], [left, top + box.height]]
    const [l, t, r, b] = [left + sides[3].width, top + sides[0].width, left + box.width - sides[1].width, top + box.height - sides[2].width]
    const inner = [[l, t], [r, t], [r, b], [l, b]]
    return sides.flatMap((side, i) => {
      const next = (i + 1) % 4
      return shown.includes(side) ? svg("polygon", { points: [outer[i], outer[next], inner[next], inner[i]].map((p) => p.map(place).join(",")).join(" "), ...paint("fill", side.colour) }) : []
    })
  }

  #edge(box, side, edge) {
    const half = edge.width / 2
    const [left, top, right, bottom] = [box.left + this.dx, box.top + this.dy, box.right + this.dx, box.bottom + this.dy]
    const ends = { top: [left, top + half, right, top + half], right: [right - half, top, right - half, bottom],
      bottom: [left, bottom - half, right, bottom - half], left: [left + half, top, left + half, bottom] }[side].map(place)
    return svg("line", { x1: ends[0], y1: ends[1], x2: ends[2], y2: ends[3], ...stroke(edge) })
  }

  /** A text node as one run per line, each on its own baseline. */
  #words(node, parent, look) {
    if (!node.data.trim()) return []
    const cut = ellipsis(parent)
    return runs(node).map(({ text, box }) => {
      const words = cut ? fitted(text, box, cut) : text
      return this.#text(cased(words, parent, look, node), box, look, { whole: words === text })
    })
  }

  #text(text, box, look, { whole = true, fill = look.color } = {}) {
    const { ascent, descent } = metrics(look)
    const y = box.top + (box.height - ascent - descent) / 2 + ascent
    const words = svg("text", { x: place(box.left + this.dx), y: place(y + this.dy), "font-family": look.fontFamily, "font-size": look.fontSize,
      "font-weight": look.fontWeight, "font-style": look.fontStyle === "normal" ? null : look.fontStyle,
      "letter-spacing": look.letterSpacing === "normal" ? null : look.letterSpacing,
      textLength: whole && text.length > 1 ? place(box.width) : null, "xml:space": "preserve", ...paint("fill", fill) }, text)
    return look.textDecorationLine.includes("underline") ? svg("g", {}, this.#underline(box, y + this.dy, look), words) : words
  }

  #underline(box, baseline, look) {
    const y = place(baseline + (parseFloat(look.textUnderlineOffset) || 0.1 * parseFloat(look.fontSize)) + 0.5)
    const edge = { width: parseFloat(look.textDecorationThickness) || 1, style: look.textDecorationStyle, colour: look.textDecorationColor }
    return svg("line", { x1: place(box.left + this.dx), y1: y, x2: place(box.left + box.width + this.dx), y2: y, ...stroke(edge) })
  }

  #typed(input, box, look) {
    const told = input.selectedOptions ? input.selectedOptions[0]?.text : ["checkbox", "radio", "range", "color", "file"].includes(input.type) ? "" : input.value
    const text = told || input.placeholder
    const faint = !told && getComputedStyle(input, "::placeholder").color
    const left = box.left + parseFloat(look.paddingLeft) + parseFloat(look.borderLeftWidth)
    if (!text) return ""
    pen.font = fontOf(look)
    const words = { left, top: box.top, width: pen.measureText(text).width, height: box.height }
    return this.#text(fitted(text, words, box.right - parseFloat(look.paddingRight)), words, look, { whole: false, fill: faint || look.color })
  }
}

/** The box of an element; of one that is no box to see, what is inside its padding. */
function content(element, look) {
  const { left, top, right, bottom } = element.getBoundingClientRect()
  const inset = visible(look.backgroundColor) ? SIDES.map(() => 0) : SIDES.map((side) => parseFloat(look[`padding-${side}`]))
  return { left: left + inset[3], top: top + inset[0], width: right - left - inset[1] - inset[3], height: bottom - top - inset[0] - inset[2] }
}

const place = (number) => Math.round(number * 100) / 100
const radius = (look, box) => {
  const first = look.borderTopLeftRadius.split(" ")[0]
  const own = first.endsWith("%") ? (parseFloat(first) / 100) * box.width : parseFloat(first)
  return Math.min(own || 0, box.width / 2, box.height / 2)
}

/** A CSS colour as [css, opacity]: programs other than browsers know neither rgba() nor color(). */
function colour(value) {
  const mixed = /^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.e-]+))?\)$/.exec(value)
  if (mixed) return [`rgb(${mixed.slice(1, 4).map((c) => Math.round(c * 255)).join(",")})`, Number(mixed[4] ?? 1)]
  const plain = /^rgba?\(([\d.]+),? ([\d.]+),? ([\d.]+)(?:[,/ ]+([\d.]+))?\)$/.exec(value)
  return plain ? [`rgb(${plain.slice(1, 4).join(",")})`, Number(plain[4] ?? 1)] : [value, 1]
}

const visible = (value) => value !== "transparent" && colour(value)[1] > 0

function paint(name, value) {
  const [css, opacity] = colour(value)
  return { [name]: css, ...(opacity < 1 ? { [`${name}-opacity`]: opacity } : {}) }
}

function stroke({ width, style, colour: value }) {
  const dash = style === "dashed" ? `${2 * width} ${2 * width}` : style === "dotted" ? `${width} ${width}` : null
  return { ...paint("stroke", value), "stroke-width": width, "stroke-dasharray": dash }
}

/** The lines of a text node: what stands on each, and where. */
function runs(node) {
  const range = document.createRange()
  const found = []
  const pieces = node.data.matchAll(/\s+|[^\s]+/g)
  for (const piece of pieces) {
    range.setStart(node, piece.index)
    range.setEnd(node, piece.index + piece[0].length)
    const boxes = [...range.getClientRects()].filter((b) => b.width > 0)
    if (!boxes.length) continue
    const last = found.at(-1)
    if (boxes.length === 1 && last && Math.abs(last.box.top - boxes[0].top) < 2) {
      last.text += /^\s/.test(piece[0]) ? " " : piece[0]
      last.box.width = boxes[0].right - last.box.left
    } else if (boxes.length === 1) found.push({ text: piece[0].replace(/\s+/g, " "), box: plain(boxes[0]) })
    else found.push(...broken(node, piece.index, piece[0].length, range))
  }
  return found
}

/** A word that goes over several lines, character by character. */
function broken(node, start, length, range) {
  const found = []
  for (let i = start; i < start + length; i++) {
    range.setStart(node, i)
    range.setEnd(node, i + 1)
    const box = range.getBoundingClientRect()
    const last = found.at(-1)
    if (last && Math.abs(last.box.top - box.top) < 2) { last.text += node.data[i]; last.box.width = box.right - last.box.left }
    else found.push({ text: node.data[i], box: plain(box) })
  }
  return found
}

const plain = ({ left, top, width, height }) => ({ left, top, width, height })

/** The right edge at which an element cuts its text with an ellipsis, or null where it shows all of it. */
function ellipsis(element) {
  for (let e = element, up = 0; e && up < 3; e = e.parentElement, up++) {
    const look = getComputedStyle(e)
    if (look.textOverflow === "ellipsis" && look.overflowX !== "visible" && e.scrollWidth > e.clientWidth) {
      return e.getBoundingClientRect().right - parseFloat(look.paddingRight) - parseFloat(look.borderRightWidth)
    }
  }
  return null
}

function fitted(text, box, right) {
  const room = right - box.left
  if (box.width <= room + 0.5) return text
  const kept = Math.max(0, Math.floor((text.length * (room - 11)) / box.width))
  return text.slice(0, kept).trimEnd() + "…"
}

function cased(text, parent, look, node) {
  if (look.textTransform === "uppercase") return text.toUpperCase()
  const first = parent.firstChild === node && getComputedStyle(parent, "::first-letter").textTransform === "uppercase"
  return first ? text.charAt(0).toUpperCase() + text.slice(1) : text
}

const fontOf = (look) => `${look.fontStyle} ${look.fontWeight} ${look.fontSize} ${look.fontFamily}`
const pen = document.createElement("canvas").getContext("2d")

function metrics(look) {
  pen.font = fontOf(look)
  const { fontBoundingBoxAscent: ascent, fontBoundingBoxDescent: descent } = pen.measureText("x")
  return { ascent, descent }
}

/** Lines no wider than `width`; the first given one is the heading. */
function wrapped(lines, width, font) {
  pen.font = font
  return lines.filter(Boolean).flatMap((line, at) => {
    const found = [""]
    for (const word of line.split(" ")) {
      const longer = found.at(-1) ? `${found.at(-1)} ${word}` : word
      if (pen.measureText(longer).width * 1.06 > width && found.at(-1)) found.push(word)
      else found[found.length - 1] = longer
    }
    return found.map((text) => ({ text: text.replace(/^· | ·$/g, ""), first: at === 0 }))
  })
}

async function inlined(url) {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer())
  let text = ""
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768))
  return `data:font/woff2;base64,${btoa(text)}`
}

function stylesheet(font, look) {
  return `@font-face { font-family: Inter; src: url(${font}) format("woff2"); font-weight: 100 900 }
text { font-feature-settings: ${look.fontFeatureSettings}; font-optical-sizing: auto; white-space: pre }`
}
