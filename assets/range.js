// The time range: quick ranges, two ends, the typed grammar, the zone; and beside it comparison and grain.

import { chooser } from "./chooser.js"
import { h, icon, mark, say } from "./dom.js"
import { menu, popover } from "./menus.js"
import * as times from "./times.js"

const COMPARES = [["off", "Off"], ["previous", "Previous period"], ["day", "Same time yesterday"], ["week", "Same time last week"]]

/** The popover of the time range under `button`. travel() opens the time travel, where there is one. */
export function range(button, scope, { travel = null } = {}) {
  return popover(button, { kind: "times", label: () => "Time range", fill: (box, close) => pages(box, close).main() })

  function pages(box, close) {
    const choose = (window) => { close(); scope.set({ window, paused: false }) }

    function main() {
      const { window, tz } = scope.state
      const now = scope.now()
      const quick = times.RANGES.map((value) => h("button", { type: "button", "aria-pressed": String(value === window), click: () => choose(value) }, times.said(value, now, tz)))
      const list = h("div.quick", { role: "group", "aria-label": "Quick ranges", keydown: (event) => walk(event, quick) }, quick)
      box.replaceChildren(list, h("div.exact", {}, twoEnds(choose), typed(choose),
        h("div.zone", {}, h("button.btn.small", { type: "button", click: zones }, icon("globe"), h("span", {}, zoned(tz))),
          travel ? h("button.btn.small", { type: "button", click: () => { close(); travel() } }, icon("clock"), "As known at …") : null)))
      return quick.find((b) => b.ariaPressed === "true") ?? quick[0]
    }

    function zones() {
      const own = Intl.DateTimeFormat().resolvedOptions().timeZone
      const all = [...new Set(["UTC", own, ...(Intl.supportedValuesOf?.("timeZone") ?? [])])]
      const list = chooser({
        label: "Time zone", hint: "Search a city or region",
        find: (text) => {
          const words = text.toLowerCase().replace(/\s+/g, "_")
          const found = all.filter((name) => name.toLowerCase().includes(words))
          const options = found.slice(0, 80).map((name) => ({ key: name, text: name.replaceAll("_", " "), more: name === own ? "This browser's own" : null, n: offset(name, scope.now()), on: times.zone(scope.state.tz) === name }))
          return { options, first: text ? 0 : -1, note: found.length > 80 ? `${found.length} zones; type to find one` : found.length ? "" : "No zone is called that" }
        },
        choose: ({ key }) => { scope.set({ tz: key === own ? "" : key }); main().focus() },
      })
      box.replaceChildren(h("div.steps", {}, h("button.btn.ghost.square.small", { type: "button", "aria-label": "Back to the range", click: () => main().focus() }, icon("left")), h("b", {}, "Time zone")), list.element)
      list.field.focus()
    }

    return { main }
  }

  function twoEnds(choose) {
    const tz = times.zone(scope.state.tz)
    const now = scope.now()
    const span = scope.span() ?? { from: now - 3_600_000, to: now }
    const field = (name, at) => h("input", { name, "aria-label": name, value: times.typed(at, tz), spellcheck: "false", autocomplete: "off", maxlength: "40", input: () => check() })
    const [from, to] = [field("From", span.from), field("To", span.to)]
    const help = h("p.help", { role: "status" })
    const apply = h("button.btn.small", {}, "Apply")
    const ends = () => [from, to].map((f) => times.moment(f.value.trim(), now, tz, f === to))
    const check = () => {
      let wrong = ""
      try {
        const [a, b] = ends()
        if (a >= b) wrong = "The start must come before the end"
        else told(help, `${times.length((b - a) / 1000)}, in ${tz.replaceAll("_", " ")}`)
      } catch (error) { wrong = error.message }
      if (wrong) told(help, wrong, true)
      for (const f of [from, to]) mark(f, "aria-invalid", wrong ? "true" : null)
      apply.disabled = Boolean(wrong)
    }
    check()
    return h("form.ends-of", { submit: (event) => { event.preventDefault(); choose(times.pinned(...ends())) } },
      h("label", {}, h("span", {}, "From"), calendar(from, tz, check)), h("label", {}, h("span", {}, "To"), calendar(to, tz, check)), help, apply)
  }

  function typed(choose) {
    const id = `help-${Math.random().toString(36).slice(2, 8)}`
    const field = h("input", { name: "window", value: scope.state.window, spellcheck: "false", autocomplete: "off", maxlength: "80", "aria-label": "Time range, typed", "aria-describedby": id, input: () => check() })
    const help = h("p.help", { id, role: "status" })
    const apply = h("button.btn.small", {}, "Apply")
    const check = () => {
      let wrong = ""
      try { told(help, times.meaning(field.value, scope.now(), scope.state.tz)) } catch (error) { wrong = error.message }
      if (wrong) told(help, wrong, true)
      mark(field, "aria-invalid", wrong ? "true" : null)
      apply.disabled = Boolean(wrong)
    }
    check()
    return h("form.typed", { submit: (event) => { event.preventDefault(); if (!apply.disabled) choose(field.value.trim().replace(/\s+/g, " ")) } },
      h("label", {}, h("span", {}, "Typed"), field), help, apply, h("p.examples", {}, "now-90m · now/d · now-2h to now-1h"))
  }
}

/** A field with the browser's own calendar beside it. */
function calendar(field, tz, changed) {
  const native = h("input.picker-of", { type: "datetime-local", step: "1", tabindex: "-1", "aria-hidden": "true", change: () => { field.value = native.value.replace("T", " "); changed(); field.focus() } })
  const show = () => {
    const at = times.tried(`${field.value} to now+1d`, Date.now(), tz)?.from
    if (at !== undefined) native.value = times.typed(at, tz).replace(" ", "T")
    native.showPicker?.()
  }
  return h("span.when", {}, field, h("button.btn.square", { type: "button", "aria-label": `Calendar: ${field.name}`, click: show }, icon("calendar")), native)
}

function told(help, words, wrong) {
  say(help, words.charAt(0).toUpperCase() + words.slice(1))
  mark(help, "data-wrong", wrong ? "" : null)
}

function walk(event, buttons) {
  const to = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  if (!to) return
  event.preventDefault()
  buttons.at((buttons.indexOf(document.activeElement) + to) % buttons.length).focus()
}

const zoned = (tz) => `${times.zone(tz).replaceAll("_", " ")}${tz ? "" : ", this browser's"}`

/** How far a zone is from UTC: "UTC+05:30". */
function offset(tz, now) {
  const minutes = Math.round((times.wall(now, tz) - now) / 60_000)
  if (!minutes) return "UTC"
  const size = Math.abs(minutes)
  return `UTC${minutes < 0 ? "−" : "+"}${String(Math.floor(size / 60)).padStart(2, "0")}:${String(size % 60).padStart(2, "0")}`
}

/** The menu of comparisons; toggle() switches between off and the last one chosen. */
export function compares(button, scope, board) {
  let last = scope.state.compare === "off" ? "previous" : scope.state.compare
  scope.on(({ compare }) => { if (compare !== "off") last = compare })
  menu(button, () => [{ heading: "Compare with" }, ...COMPARES.map(([value, text]) => ({ text, on: scope.state.compare === value, hint: value === "off" ? "c" : null, act: () => scope.set({ compare: value }) }))])
  return {
    toggle: () => scope.set({ compare: scope.state.compare === "off" ? last : "off" }),
    show() {
      const { compare } = scope.state
      const name = compare === "previous" ? board()?.previous_label ?? "previous period" : COMPARES.find(([v]) => v === compare)?.[1] ?? compare
      say(button.querySelector("span"), compare === "off" ? "Compare" : name.charAt(0).toUpperCase() + name.slice(1))
      mark(button, "data-off", compare === "off" ? "" : null)
      mark(button, "aria-label", compare === "off" ? "Compare: off" : `Compared with ${name}`)
    },
  }
}

/** The menu of bucket lengths, those that fit the window to be chosen. */
export function grains(button, scope, board) {
  const actual = () => board()?.window?.grain
  menu(button, () => [{ heading: "Length of a bucket" }, { text: "Auto", on: !scope.state.grain, note: scope.state.grain || !actual() ? null : spoken(actual()), act: () => scope.set({ grain: "" }) },
    ...times.GRAINS.map((grain) => ({ text: spoken(grain), on: scope.state.grain === grain, off: scope.fits(grain) ? null : "does not fit this range", act: () => scope.set({ grain }) }))])
  return {
    show() {
      const grain = scope.state.grain || actual()
      say(button.querySelector("span"), grain ? spoken(grain) : "Auto")
      mark(button, "aria-label", `Buckets of ${grain ? spoken(grain) : "a fitting length"}${scope.state.grain ? "" : ", chosen automatically"}`)
      mark(button, "data-chosen", scope.state.grain ? "" : null)
    },
  }
}

const spoken = (grain) => grain.replace(/^(\d+)([smhdwM])$/, (all, n, unit) => `${n} ${{ m: "min", M: "mo" }[unit] ?? unit}`)
