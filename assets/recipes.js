// The same question elsewhere: a message as a Python program, and as a command for curl. No key is ever in them.

/**
 * A whole program that gets the rows of `request` with Plumbline's own client. `seen` is the window {from, to} that is on
 * screen: a window that moves with time stays so, and a comment tells how to pin it to that.
 */
export function python(request, title, seen) {
  const body = { query: queried, board: boarded }[request.type] ?? tabled
  const used = new Set(["Client"])
  const lines = body(request, used, pinned(seen))
  return [
    `# ${oneLine(title)}: ${location.href}`,
    "# The key is read from the environment variable PLUMBLINE_KEY.",
    ...(used.delete("datetime") ? ["from datetime import datetime", ""] : []),
    `from analytics.client import ${[...used].sort().join(", ")}`,
    "",
    `with Client(${literal(location.origin)}) as client:`,
    ...lines.map((line) => (line ? `    ${line}` : line)),
    "",
  ].join("\n")
}

function queried({ type, id, timestamp, metrics, ...more }, used, pin) {
  return ["table = client.query(", `    ${literal(metrics)},`, ...options(more, used, pin), ")", ...ROWS]
}

function tabled({ type, id, timestamp, limit, after, ...more }, used, pin) {
  const name = type === "rows" ? "Rows" : "Flows"
  used.add(name)
  return ["table = client.table(", `    ${name}(`, ...options(more, used, pin).map((line) => `    ${line}`), "    ),",
    ...(limit ? [`    max_rows=${literal(limit)},`] : []), ")", ...ROWS]
}

const ROWS = ["rows = [dict(zip(table.columns, row)) for row in table.rows]  # or table.to_pandas(), table.to_polars()", "for row in rows:", "    print(row)"]

function boarded({ type, id, timestamp, board, ...more }, used, pin) {
  return ["update = client.board(", `    ${literal(board)},`, ...options(more, used, pin), ")", 'tiles = update.analytics["tiles"]',
    "for name, tile in tiles.items():", '    print(name, tile["columns"])']
}

/** Arguments, one on each line. */
function options(fields, used, pin) {
  return Object.entries(fields).flatMap(([name, value]) => {
    if (value === null || value === undefined || (Array.isArray(value) && !value.length)) return []
    return `    ${(SPECIAL[name] ?? ((v) => `${name}=${literal(v)},`))(value, used, pin)}`
  })
}

const SPECIAL = {
  window(value, used, pin) {
    const { from, to = "now", tz = "UTC" } = typeof value === "string" ? ends(value) : value
    const plain = to === "now" && tz === "UTC"
    if (!plain) used.add("Window")
    return `window=${plain ? literal(from) : `Window(${[from, to, tz].map(literal).join(", ")})`},` +
      (moves(from, to) ? `  # moves with time; to pin it: window=(${pin.map(literal).join(", ")})` : "")
  },
  filters(value, used) {
    used.add("Filter")
    return `filters=[${value.map(({ dim, op = "is", values = [] }) => `Filter(${[dim, op, values].map(literal).join(", ")})`).join(", ")}],`
  },
  as_of(value, used) {
    used.add("datetime")
    return `as_of=datetime.fromisoformat(${literal(value)}),`
  },
}

const ends = (text) => {
  const [from, to = "now"] = text.split(/\s+to\s+/)
  return { from, to }
}

/** The ends of a window as they are on screen, to the second. */
const pinned = (seen) => [seen?.from ?? "2026-01-06T12:00:00Z", seen?.to ?? "2026-01-06T13:00:00Z"].map((text) => text.replace(/\.\d+/, ""))

const moves = (...ends) => ends.some((end) => String(end).includes("now"))

/** A command that prints the rows as CSV; a board goes to a file, as a zip. */
export function curl(request, title, seen) {
  const [first, last] = pinned(seen)
  const { from, to = "now" } = typeof request.window === "object" ? request.window : ends(request.window ?? "now-1h")
  return [
    `# ${oneLine(title)}. The key is read from PLUMBLINE_KEY.`,
    ...(moves(from, to) ? [`# The window moves with time; to pin it, write "window":${JSON.stringify({ from: first, to: last })}`] : []),
    `curl --fail-with-body -sS ${shell(`${location.origin}/api/export?format=csv`)} \\`,
    '  -H "X-API-Key: $PLUMBLINE_KEY" -H "Content-Type: application/json" \\',
    ...(request.type === "board" ? [`  -o ${shell(`${request.board.replace(/[^\w-]+/g, "-") || "board"}.zip`)} \\`] : []),
    `  --data-raw ${shell(JSON.stringify(request))}`,
    "",
  ].join("\n")
}

const oneLine = (text) => String(text).replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ")
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`

/** A JSON value as Python writes it. */
function literal(value) {
  if (value === null || value === undefined) return "None"
  if (value === true) return "True"
  if (value === false) return "False"
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`
  if (typeof value === "object") return `{${Object.entries(value).map(([k, v]) => `${literal(k)}: ${literal(v)}`).join(", ")}}`
  return JSON.stringify(value)
}
