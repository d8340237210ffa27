// A search field over a list, as the ARIA practices describe a combobox: typing searches, arrows walk, Enter chooses.

import { h, icon, mark } from "./dom.js"

const PATIENCE_MS = 140 // between the last letter and the search

/**
 * find(text) gives, or promises, {options, note}. An option is {key, text, more?, n?, on?, off?, share?}: `more` a
 * second line, `n` what stands at its end, `share` (0..1) a bar behind it, `off` why it cannot be chosen.
 * choose(option, text) acts on one; `multi` lists may have several on. Returns {element, field, refresh(keep)}.
 */
export function chooser({ label, hint = "", find, choose, multi = false }) {
  const id = `list-${Math.random().toString(36).slice(2, 8)}`
  const list = h("ul.options", { id, role: "listbox", "aria-label": label, ...(multi ? { "aria-multiselectable": "true" } : {}) })
  const note = h("p.note", { role: "status" })
  const field = h("input", { type: "text", role: "combobox", "aria-label": label, "aria-controls": id, "aria-expanded": "true", "aria-autocomplete": "list",
    placeholder: hint, autocomplete: "off", spellcheck: "false", maxlength: "200" })
  let options = []
  let active = -1
  let asked = 0
  let timer = null

  const point = (to) => {
    active = options.length ? Math.max(-1, Math.min(options.length - 1, to)) : -1
    ;[...list.children].forEach((e, i) => mark(e, "data-active", i === active ? "" : null))
    mark(field, "aria-activedescendant", active >= 0 ? `${id}-${active}` : null)
    list.children[active]?.scrollIntoView({ block: "nearest" })
  }

  const row = (option, i) => h("li", { role: "option", id: `${id}-${i}`, "aria-selected": String(Boolean(option.on)), ...(option.off ? { "aria-disabled": "true", title: option.off } : {}),
    style: option.share === undefined ? null : `--share:${Math.max(0, Math.min(1, option.share))}`,
    pointerdown: (event) => event.preventDefault(), // the field keeps the focus
    click: () => { point(i); pick() } },
    h("span.tick", {}, option.on ? icon("check") : null),
    h("span.words", {}, option.text, option.more ? h("small", {}, option.more) : null),
    option.n === undefined ? null : h("em", {}, option.n))

  const show = (found, keep) => {
    const key = keep ? options[active]?.key : undefined
    options = found.options
    list.replaceChildren(...options.map(row))
    list.hidden = !options.length
    note.textContent = found.note ?? ""
    const place = options.findIndex((o) => o.key === key)
    point(place >= 0 ? place : found.first ?? -1)
  }

  const refresh = async (keep = true) => {
    const turn = ++asked
    mark(list, "aria-busy", "true")
    try {
      const found = await find(field.value.trim())
      if (turn === asked) show(found, keep)
    } catch (error) {
      if (turn === asked) show({ options: [], note: error.message }, false)
    }
    if (turn === asked) mark(list, "aria-busy", null)
  }

  const pick = () => {
    const option = options[active]
    if (!option || option.off) return
    choose(option, field.value.trim())
  }

  field.addEventListener("input", () => {
    clearTimeout(timer)
    timer = setTimeout(() => { timer = null; refresh(false) }, PATIENCE_MS)
  })
  field.addEventListener("keydown", async (event) => {
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 8, PageUp: Math.max(0, active - 8) }[event.key]
    if (to !== undefined) {
      event.preventDefault()
      point(to >= options.length && event.key === "ArrowDown" ? 0 : to < 0 ? options.length - 1 : to)
    } else if (event.key === "Enter") {
      event.preventDefault()
      clearTimeout(timer)
      if (timer) await refresh(false) // what was typed a moment ago counts
      timer = null
      if (active < 0) point(0)
      pick()
    }
  })
  refresh(false)
  return { element: h("div.chooser", {}, field, list, note), field, refresh }
}
