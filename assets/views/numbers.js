// The numbers behind the charts of Explore: the sheet of each tile, or one for all where they are small multiples.

import { h } from "../dom.js"
import { SHEETS, sheet } from "../sheet.js"

/** Keeps sheets in `holder` true to tiles; returns update(tiles, small). */
export function numbers(holder) {
  let shown = ""
  let sheets = []
  return (tiles, small) => {
    const ready = tiles.filter((tile) => SHEETS.has(tile.spec.type) && tile.head && (tile.head.state ?? "ok") === "ok")
    const parts = small && ready.length > 1 && ready[0].spec.type === "line" ? [together(ready)] : ready.map(alone)
    const now = JSON.stringify(parts.map(({ spec }) => [spec.type, spec.title]))
    if (now !== shown || !parts.every((part, i) => sheets[i].view === part.view)) {
      shown = now
      sheets = parts.map((part) => ({ view: part.view, ...sheet(part.spec, part.view.common) }))
      holder.replaceChildren(...(parts.length ? sheets.map((s, i) => h("section", {}, parts.length > 1 ? h("h3", {}, parts[i].spec.title) : null, s.element)) : [h("p.none", {}, "No numbers yet")]))
    }
    parts.forEach(({ head, columns }, i) => sheets[i].update(head, columns))
  }
}

const alone = ({ spec, head, columns, view }) => ({ spec, head, columns, view })

/** Small multiples as one table: a column of times, and one for each chart. */
function together(tiles) {
  const times = [...new Set(tiles.flatMap((tile) => tile.columns.t ?? []))].sort((a, b) => a - b)
  const columns = { t: times }
  tiles.forEach((tile, k) => {
    const at = new Map((tile.columns.t ?? []).map((t, i) => [t, tile.columns.s0?.[i] ?? null]))
    columns[`s${k}`] = times.map((t) => at.get(t) ?? null)
  })
  const series = tiles.map((tile) => ({ ...tile.head.series[0], name: tile.spec.title, title: tile.spec.title }))
  return { spec: { type: "line", title: "Small multiples" }, head: { ...tiles[0].head, series }, columns, view: tiles[0].view }
}
