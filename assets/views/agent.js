// One agent: the board `agent` for whoever the filter names. Without such a filter it asks for one.

import { mount as board } from "../board.js"
import { chooser } from "../chooser.js"
import { arrange, h, icon, say } from "../dom.js"
import * as format from "../format.js"
import { popover } from "../menus.js"
import { askWhy } from "../why_request.js"
import { SpecSource, present, shared } from "./inline.js"

const SHOWN = 200

export async function mount(main, { scope, feed, bar, bokeh, restarted }) {
  const names = h("h2")
  const change = h("button.btn.small", { type: "button" }, h("span", {}, "Another agent"), h("b.caret", { "aria-hidden": "true" }))
  const back = h("a.btn.ghost.small", {}, icon("left"), "All agents")
  const head = h("header.headline", {}, back, names, change)
  const place = h("div.place")
  const fault = h("div.banner", { role: "alert", hidden: true })
  main.append(head, fault, place)

  const chosen = () => scope.kept("agent")?.values ?? []
  const take = (name) => scope.swap(scope.kept("agent"), { dim: "agent", op: "is", values: [name] })
  const others = () => scope.state.filters.filter((f) => f !== scope.kept("agent"))

  /** The agents seen in the window, most active first. */
  const find = async (search) => {
    const { analytics } = await feed.question({ type: "values", dim: "agent", search, limit: SHOWN, ...scope.question(), filters: others() })
    const found = analytics.values.filter(({ value }) => value !== null)
    const most = Math.max(1, ...found.map(({ n }) => n))
    return {
      options: found.map(({ value, n }) => ({ key: value, text: value, n: format.text(n), share: n / most, on: chosen().includes(value) })),
      first: search ? 0 : -1,
      note: found.length ? "Events of each agent in this window" : search ? "No agent in this window is called that" : "No agent has been seen in this window",
    }
  }
  popover(change, { kind: "picker", label: () => "Another agent", fill: (box, close) => {
    const list = chooser({ label: "Agents", hint: "Search agents", find, choose: ({ key }) => { close(); take(key) } })
    box.append(list.element)
    return list.field
  } })

  const specs = new SpecSource()
  let drawn = null
  let asking = null

  const show = async () => {
    const agents = chosen()
    head.hidden = !agents.length
    say(names, agents.map((name) => name ?? "(none)").join(", "))
    back.href = scope.href({ filters: others(), args: {} }, "/agents")
    if (!agents.length) return ask()
    asking?.end()
    asking = null
    if (drawn) return
    drawn = { holder: h("div.inline"), wire: shared(feed) }
    const mine = drawn
    try {
      const spec = await specs.get({ board: "agent" })
      if (drawn !== mine) return
      arrange(place, [mine.holder])
      mine.board = board(mine.holder, spec, mine.wire, { scope, bokeh, why: askWhy, status: bar.status, data: (fields) => { bar.data(fields); restarted?.() } })
    } catch (error) {
      if (drawn === mine) drawn = null
      fault.hidden = false
      fault.replaceChildren(icon("warn"), h("span", {}, h("b", {}, "The board did not load. "), format.sentence(error.message)),
        h("button.btn", { type: "button", click: () => { fault.hidden = true; show() } }, "Try again"))
    }
  }

  /** The chooser, and beside it a header that lives: what the senders do is asked for until an agent is chosen. */
  const ask = () => {
    if (asking) return asking.list.refresh()
    drawn?.wire.off()
    drawn?.board?.destroy()
    drawn = null
    feed.ask(null)
    const list = chooser({ label: "Agents", hint: "Search agents", find, choose: ({ key }) => take(key) })
    const card = h("section.card.choose", {}, h("h2", {}, "Which agent?"), h("p", {}, "Its flows, tools, models, errors and cost, live."), list.element)
    asking = { list, end: present(feed, bar) }
    arrange(place, [card])
    list.field.focus()
  }

  scope.on((state, patch) => { if (["filters", "window", "as_of"].some((part) => part in patch)) show() })
  await show()
  return { show }
}
