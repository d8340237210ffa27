// The filter chips: each says what it keeps, opens the picker, goes with a cross, and tells when nothing fits.

import { arrange, h, icon, mark, say } from "./dom.js"
import { popover } from "./menus.js"
import { picker, plainOp, spelled } from "./picker.js"

const WORDS = { is: "", is_not: "not", contains: "contains" }
const AGAIN_MS = 10_000 // a filter that fits nothing is asked about again, for data may have come

/** Show the filters of `scope` in `holder`, with `button` to add one. dataset() names the datasets of the page. */
export function filters({ holder, button, note }, scope, feed, dataset) {
  const dimensions = catalogue(dataset)
  const chips = new Map() // element -> its filter
  const open = (start) => (box, close) => picker(box, { scope, feed, dimensions, start, close, moved: () => adding.place() })
  const adding = popover(button, { kind: "picker", label: () => "Add a filter", fill: open(null) })
  const nothing = emptiness(scope, feed, (alone, whole) => {
    for (const [chip, filter] of chips) {
      mark(chip, "data-none", alone.includes(filter) ? "" : null)
      mark(chip, "title", alone.includes(filter) ? "Nothing in this window fits this filter" : null)
    }
    note.hidden = !whole
    if (whole) say(note.firstChild, alone.length === 1 ? `Nothing in this window has ${spoken(alone[0])}.` : "Nothing in this window fits these filters.")
  })
  note.append(h("span"), h("button.link", { type: "button", click: () => { scope.set({ filters: [] }); button.focus() } }, "Clear filters"))

  const chip = (filter) => {
    const words = [h("i"), h("b")]
    const edit = h("button.edit", { type: "button" }, words)
    const cross = h("button.cross-out", { type: "button", click: () => remove() }, icon("cross"))
    const element = h("span.chip", { role: "group" }, edit, cross)
    const remove = () => {
      const next = element.nextElementSibling ?? element.previousElementSibling
      scope.swap(chips.get(element), null)
      ;(next?.querySelector(".edit") ?? button).focus()
    }
    popover(edit, { kind: "picker", label: () => `Filter by ${chips.get(element)?.dim ?? ""}`, home: () => button,
      fill: (box, close) => picker(box, { scope, feed, dimensions, start: chips.get(element), close }) })
    element.addEventListener("keydown", (event) => { if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); remove() } })
    dress(element, filter)
    return element
  }

  const dress = (element, filter) => {
    chips.set(element, filter)
    const [edit, cross] = element.children
    const op = plainOp(filter.op)
    say(edit.firstChild, `${filter.dim.split(".").at(-1)}${WORDS[op] && ` ${WORDS[op]}`}`)
    const declared = dimensions.known?.find((d) => d.name === filter.dim)
    say(edit.lastChild, short(filter.values.map((v) => spelled(v, declared))))
    mark(element, "aria-label", `Filter: ${spoken(filter, declared)}`)
    mark(edit, "aria-label", `Edit the filter ${spoken(filter, declared)}`)
    mark(cross, "aria-label", `Remove the filter ${filter.dim}`)
    mark(element, "data-op", op)
  }

  const show = () => {
    const old = [...chips]
    const shown = scope.state.filters.map((filter) => {
      // a chip stays the same element while it is edited, so that its picker and the focus stay
      const place = old.findIndex(([, f]) => f === filter || JSON.stringify(f) === JSON.stringify(filter))
      const like = place >= 0 ? place : old.findIndex(([, f]) => f.dim === filter.dim && !scope.state.filters.includes(f))
      if (like < 0) return chip(filter)
      const [[element]] = old.splice(like, 1)
      dress(element, filter)
      return element
    })
    for (const [element] of old) chips.delete(element)
    arrange(holder, shown)
    nothing.look()
    // the number a bin starts with is told with its unit, once that is known
    if (!dimensions.known && scope.state.filters.some((f) => f.values.some((v) => /^\d+\.\d+$/.test(v)))) dimensions().then(() => { for (const [e, f] of chips) dress(e, f) }, () => {})
  }

  scope.on((state, patch) => { if ("filters" in patch || "window" in patch || "as_of" in patch) show() })
  show()
  return { add: () => adding.open(), fresh: () => { nothing.again() } }
}

/** The dimensions of the page's datasets, asked for once. */
function catalogue(dataset) {
  let asked = null
  const dimensions = async () => {
    asked ??= fetch("/api/dimensions").then((answer) => {
      if (!answer.ok) throw new Error("The list of dimensions did not come")
      return answer.json()
    })
    const all = await asked.catch((error) => { asked = null; throw error })
    const here = [].concat(dataset() ?? "events")
    dimensions.known = all
    return all.filter((d) => here.includes(d.dataset))
  }
  dimensions.known = null
  return dimensions
}

/** Finds out whether the filters leave anything, and if not, which of them alone does not: told(those, whether). */
function emptiness(scope, feed, told) {
  let turn = 0
  let empty = false
  let asked = 0
  let timer = null

  const rows = async (some) => (await feed.question({ type: "values", dim: some[0].dim, limit: 1, ...scope.question(), filters: some })).analytics.rows

  const ask = async () => {
    const mine = ++turn
    const all = scope.state.filters
    asked = Date.now()
    try {
      const none = all.length > 0 && (await rows(all)) === 0
      const alone = none ? (await Promise.all(all.map(async (f) => ((await rows([f])) === 0 ? f : null)))).filter(Boolean) : []
      if (mine !== turn) return
      empty = none
      told(alone, none)
    } catch { /* the board says what was wrong with the question */ }
  }

  return {
    look() {
      clearTimeout(timer)
      turn += 1 // what is on its way answers a question that nobody has any more
      if (!scope.state.filters.length) { empty = false; return told([], false) }
      timer = setTimeout(ask, 250)
    },
    again() { if (empty && Date.now() - asked > AGAIN_MS) ask() },
  }
}

function short(said) {
  return said.length > 3 ? `${said.slice(0, 2).join(", ")} +${said.length - 2}` : said.join(", ")
}

function spoken({ dim, op, values }, declared) {
  const said = values.map((v) => spelled(v, declared)).join(" or ")
  return `${dim} ${{ is: "is", is_not: "is not", contains: "contains" }[plainOp(op)]} ${said}`
}
