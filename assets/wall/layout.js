// Which tiles stand together on one screen of a wall: two rows of three places, at most six tiles.

const PLACES = 3
const ROWS = 2
const WIDTHS = { kpi: 1, bars: 1, heatmap: 1, changes: 1, line: 2, table: 3, budgets: 3, latest: 3 }

/** Tiles to screens, the numbers first: [[{id, width}, ...row], ...rows] per screen; each row fills its places. */
export function screens(tiles) {
  const numbers = tiles.filter((tile) => tile.type === "kpi")
  const rows = []
  let left = 0
  for (const { id, type } of [...numbers, ...tiles.filter((tile) => tile.type !== "kpi")]) {
    const width = WIDTHS[type] ?? 1
    if (width > left) {
      rows.push([])
      left = PLACES
    }
    rows.at(-1).push({ id, width })
    left -= width
  }
  return Array.from({ length: Math.ceil(rows.length / ROWS) }, (_, i) => rows.slice(i * ROWS, (i + 1) * ROWS).map(filled))
}

/** The same row with no place empty: its widest tile takes what is left. */
function filled(row) {
  const left = PLACES - row.reduce((sum, tile) => sum + tile.width, 0)
  const widest = row.reduce((a, b) => (b.width > a.width ? b : a))
  return row.map((tile) => (tile === widest ? { ...tile, width: tile.width + left } : tile))
}
