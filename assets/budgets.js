// Budgets: what is spent of each limit, beside where an even pace would be.

import { arrange, h, mark, say } from "./dom.js"
import { foretell } from "./forecast.js"
import * as format from "./format.js"
import { choice } from "./grid.js"
import { hang } from "./summary.js"

const THIS = { day: "today", week: "this week", month: "this month" }
const AHEAD = 1.1 // of an even pace

/** A bar of what is spent of a limit; beyond it the line stands where the limit is. A tick marks an even pace. */
export function gauge() {
  const [fill, even, end] = [h("u"), h("i.even"), h("i.end")]
  const element = h("span.gauge", { role: "img" }, h("span.track", {}, fill), even, end)
  return {
    element,
    fill(row) {
      const { spent, limit, unit } = row
      const known = typeof spent === "number" && typeof limit === "number"
      const whole = known ? Math.max(spent, limit) : 1
      const at = (v) => `${Math.max(0, Math.min(100, (100 * v) / whole)).toFixed(2)}%`
      mark(element, "data-level", row.attention ?? null)
      mark(fill, "style", `width:${known ? at(spent) : 0}`)
      even.hidden = !known
      end.hidden = !known || spent <= limit
      if (known) mark(even, "style", `left:${at(row.even * limit)}`)
      if (known) mark(end, "style", `left:${at(limit)}`)
      mark(element, "aria-label", known ? `${format.text(spent / limit, "percent")} of the limit, even would be ${format.text(row.even, "percent")}` : "No limit to compare with")
      mark(element, "data-tip", known ? [
        `${format.exact(spent, unit)} of ${format.exact(limit, unit)}`,
        `Even: ${format.text(row.even * limit, unit)} by now`,
      ].join("\n") : null)
    },
  }
}

const SHORT = { remaining: "left", pace: "pace" }

export function budgets(tile, body, board) {
  const list = h("div.budgets")
  body.append(list)
  const known = { groups: new Map(), rows: new Map() }
  return {
    update(head, columns) {
      const rows = (columns.budget ?? []).map((_, i) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[i]])))
      const names = [...new Set(rows.map((row) => row.budget))]
      arrange(list, names.map((name) => {
        const own = rows.filter((row) => row.budget === name)
        const shown = kept(known.groups, name, group)
        shown.fill(own, head.more?.[name] ?? 0, board)
        arrange(shown.list, own.map((row) => {
          const line = kept(known.rows, JSON.stringify([row.budget, row.label]), item)
          line.fill(row, board)
          return line.element
        }))
        return shown.element
      }))
      for (const [key, row] of known.rows) if (!row.element.isConnected) known.rows.delete(key)
    },
    describe: (text) => hang(list, `${board.prefix}${tile.id}-summary`, text),
  }
}

function kept(map, key, make) {
  if (!map.has(key)) map.set(key, make())
  return map.get(key)
}

/** A budget: what it is, and its rows. */
function group() {
  const [title, about, list, more] = [h("h3"), h("span"), h("ul"), h("p.more", { hidden: true })]
  return {
    element: h("section", {}, h("header", {}, title, about), list, more),
    list,
    fill(rows, hidden, board) {
      const [{ period, until, by, example, title: name }] = rows
      say(title, name)
      const ends = `${period === "day" ? "" : `${format.clock(until, board.tz, "day")} `}${format.clock(until, board.tz)}`
      const [part, aged] = [rows.find((row) => row.spent !== null && row.reason), rows.find((row) => row.prices)?.prices]
      say(about, [THIS[period], `until ${ends}`, by && `each ${by.split(".").at(-1)} has its limit`, example && "an example",
        aged && format.prices(aged), part?.reason].filter(Boolean).join(" · "))
      mark(about, "data-tip", aged ? format.aged(aged) : null)
      mark(list, "aria-label", name)
      more.hidden = !hidden
      say(more, `and ${hidden} more, further from ${hidden > 1 ? "their limits" : "its limit"}`)
    },
  }
}

/** One limit: who, the bar, how much of how much, pace, what remains, when it is reached. */
function item() {
  const [name, amount, pace, left, when, note] = [h("span.who"), h("span.amount"), h("span.pace"), h("span.left"), h("span.forecast"), h("span.note")]
  const bar = gauge()
  const [spent, limit] = [h("b"), h("span")]
  amount.append(spent, limit)
  const element = h("li.budget", {}, name, bar.element, amount, pace, left, when, note)
  return {
    element,
    fill(row, board) {
      const { unit } = row
      const who = row.by ? (row.label === null ? `no ${row.by.split(".").at(-1)}` : row.label) : "All"
      if (row.by && row.label !== null) say(choice(name, [row.by, row.label], board), who)
      else say(name, who)
      bar.fill(row)
      mark(element, "data-free", row.limit === null ? "" : null)
      say(spent, format.text(row.spent, unit))
      const why = row.reason && format.sentence(row.reason)
      say(limit, row.limit !== null ? ` of ${format.text(row.limit, unit)}` : why ? ", a part" : ", no limit")
      mark(amount, "data-tip", row.spent === null ? why : format.exact(row.spent, unit))
      say(pace, row.pace === null ? format.DASH : `${format.text(row.pace, "percent")} ${SHORT.pace}`)
      mark(pace, "data-ahead", row.pace !== null && row.pace > AHEAD ? "" : null)
      mark(pace, "data-tip", row.pace === null ? why ?? "The period has only begun, or there is nothing to compare" : "Share that is spent, against the share of the period that is over: 100% is even")
      const over = row.remaining !== null && row.remaining < 0
      say(left, row.remaining === null ? format.DASH : over ? `${format.text(-row.remaining, unit)} over` : `${format.text(row.remaining, unit)} ${SHORT.remaining}`)
      mark(left, "data-tip", row.remaining === null ? why : null)
      mark(left, "data-level", row.attention === "bad" ? "bad" : null)
      foretell(when, row.forecast, board)
      const reached = row.attention === "bad"
      if (reached || !row.forecast) {
        when.hidden = false
        mark(when, "data-near", reached ? "" : null)
        mark(when, "data-tip", null)
        say(when, reached ? "Limit reached" : "")
      }
      const estimated = row.estimated && row.spent ? row.estimated / row.spent : 0
      say(note, [row.spent === null && row.reason, estimated && format.estimated(estimated), row.unpriced && `${format.text(row.unpriced)} without a price`].filter(Boolean).join(", "))
    },
  }
}
