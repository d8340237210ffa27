// The table behind a chart: the same rows, in words and numbers.

import * as format from "./format.js"
import { h, mark, say } from "./dom.js"
import { choice, grid, heading } from "./grid.js"
import { named } from "./legend.js"

/** Types that have a table behind them; the others are tables, or text. */
export const SHEETS = new Set(["line", "kpi", "heatmap", "bars"])

/** {element, update(head, columns)} for a tile. The newest time comes first. */
export function sheet(tile, board) {
  const element = h("div.sheeted")
  const write = grid(element, `${tile.title}, as a table`)
  return {
    element,
    update(head, columns) {
      const { fields, rows, data } = ROWS[tile.type](tile, head, columns, board)
      write(fields, rows.map((row) => row.key), (cell, field, i) => {
        const v = data[field.name]?.[rows[i].at] ?? null
        if (field.dim && !(head.other && i === rows.length - 1)) return say(choice(cell, [field.dim, v], board), field.text(v))
        if (field.text) return say(cell, field.text(v))
        say(cell, format.text(v, field.unit, field.per))
        mark(cell, "data-tip", format.exact(v, field.unit, field.per))
      })
    },
  }
}

const number = (name, { unit = "", per = null }, title) => ({ name, unit, per, title, number: true })

/** Newest first, keyed by what stays the same as time goes on. */
const newest = (columns, key) => (columns.t ?? []).map((_, at) => ({ at, key: key(at) })).reverse()

function time(head, board) {
  const style = board.span > 86_400_000 ? "full" : head.grain_ms % 60_000 ? "second" : "minute"
  return { name: "t", title: "Time", text: (v) => format.clock(v, board.tz, style) }
}

const ROWS = {
  line(tile, head, columns, board) {
    const fields = (head.series ?? []).flatMap((s, i) => [number(`s${i}`, s, named(s)),
      ...(columns[`p${i}`]?.some((v) => v !== null) ? [number(`p${i}`, s, `${named(s)}, ${board.previous_label}`)] : [])])
    if (columns.hi?.some((v) => v !== null)) fields.splice(1, 0, number("lo", head.series[0], "Expected from"), number("hi", head.series[0], "to"))
    return { fields: [time(head, board), ...fields], rows: newest(columns, (i) => columns.t[i]), data: columns }
  },

  kpi(tile, head, columns, board) {
    return { fields: [time(head, board), number("v", head, head.title)], rows: newest(columns, (i) => columns.t[i]), data: columns }
  },

  heatmap(tile, head, columns, board) {
    return {
      fields: [time(head, board), number("low", head, "From"), number("high", head, "Up to"), number("n", {}, tile.metrics[0]?.title ?? "Rows")],
      rows: newest(columns, (i) => `${columns.t[i]} ${columns.low[i]}`), data: columns,
    }
  },

  bars(tile, head, columns, board) {
    const kind = (columns.kind ?? [])[0] ?? "relative"
    const fields = [{ name: "label", title: heading(head.by), dim: head.by, text: (v) => v ?? "(none)" }, number("value", head, head.title)]
    if (columns.previous?.some((v) => v !== null)) fields.push(number("previous", head, board.previous_label),
      { name: "change", title: "Change", number: true, text: (v) => format.change(v, kind) })
    return { fields, rows: (columns.label ?? []).map((label, at) => ({ at, key: `${at} ${label}` })), data: columns }
  },
}
