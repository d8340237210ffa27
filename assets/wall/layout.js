// Which tiles stand together on one screen of a wall: two rows of three places, at most six tiles.

const PLACES = 3
const ROWS = 2
const WIDTHS = { kpi: 1, bars: 1, heatmap: 1, changes: 1, line: 2, table: 3, latest: 3 }

/** Tiles (in their order) to screens: [[{id, width}, ...row], ...rows] per screen; each row fills its places. */
export function screens(tiles) {
  const found = []
  let rows = []
  let row = []
  const used = (line) => line.reduce((sum, t) => sum + t.width, 0)
  const wrap = () => {
    if (row.length) rows.push(row)
    row = []
  }
  const turn = () => {
    wrap()
    if (rows.length) found.push(rows)
    rows = []
  }
  for (const tile of tiles) {
    const width = WIDTHS[tile.type] ?? 1
    // numbers stand with numbers: a row of charts begins anew, unless the last row still has room for it
    const kind = tile.type === "kpi" ? "kpi" : "chart"
    const mixed = row.length > 0 && row[0].kind !== kind
    if (used(row) + width > PLACES || (mixed && used(row) === PLACES)) wrap()
    if (rows.length === ROWS) turn()
    row.push({ id: tile.id, width, kind })
  }
  turn()
  return found.map((page) => page.map((line) => stretched(line)))
}

/** The same row with its places filled: the widest tile takes what is left. */
function stretched(row) {
  const left = PLACES - row.reduce((sum, t) => sum + t.width, 0)
  const widest = row.reduce((a, b) => (b.width > a.width ? b : a))
  return row.map((t) => ({ id: t.id, width: t.width + (t === widest ? left : 0) }))
}
