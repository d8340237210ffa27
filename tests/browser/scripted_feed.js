// In place of WebSocket: a feed that says what a test wants, as fast as it wants. It answers from the real answers in
// `snapshots` (by board), and each tick() tells every socket one frame in which every tile of its board has moved on.

globalThis.feed = {
  snapshots: {}, sockets: new Set(), skew: 0, late: {}, attention: {}, down: false, silent: false, frames: 0, requests: [],
  now() { return Date.now() + this.skew },
  tick() { for (const socket of this.sockets) socket.tick() },
  drop() { for (const socket of [...this.sockets]) socket.end(1006) },
  every(ms) { clearInterval(this.timer); this.timer = setInterval(() => this.tick(), ms) },
}

globalThis.WebSocket = class {
  static OPEN = 1

  constructor(url) {
    Object.assign(this, { url, readyState: 0 })
    setTimeout(() => {
      if (feed.down) return this.end(1006)
      this.readyState = 1
      feed.sockets.add(this)
      this.say({ type: "welcome", v: 1, conn: "c", epoch: "e1", ping_s: 20, limits: {}, principal: "screen" })
    }, 5)
  }

  say(message) {
    if (this.readyState === 1 && !feed.silent) this.onmessage?.({ data: JSON.stringify(message) })
  }

  send(text) {
    const message = JSON.parse(text)
    if (message.type === "ping") this.say({ type: "pong", at: feed.now() })
    if (message.type === "unsubscribe") this.sub = null
    if (message.type !== "subscribe") return
    feed.requests.push(message.request)
    Object.assign(this, { sub: message.sub, seq: 1, board: structuredClone(feed.snapshots[message.request.board]) })
    const now = feed.now()
    const shift = now - this.board.now
    Object.assign(this.board, { now, newest: now - 500 })
    for (const [id, { head, columns }] of Object.entries(this.board.tiles)) {
      Object.assign(head, fresh(id, now))
      for (const name of ["start", "end", "partial"]) if (head[name]) head[name] += shift
      for (const name of ["t", "time"]) if (columns[name]) columns[name] = columns[name].map((t) => t + shift)
    }
    this.say({ type: "analytics_update", sub: this.sub, epoch: "e1", seq: 1, analytics: this.board, insights: [] })
  }

  tick() {
    if (!this.sub) return
    const now = feed.now()
    const tiles = {}
    for (const [id, tile] of Object.entries(this.board.tiles)) tiles[id] = moved(id, tile, now, this.seq)
    feed.frames += 1
    this.seq += 1
    this.say({ type: "frame", sub: this.sub, epoch: "e1", seq: this.seq, at: now, board: { now, newest: now - 500 }, tiles })
  }

  end(code) {
    if (this.readyState === 3) return
    this.readyState = 3
    feed.sockets.delete(this)
    this.onclose?.({ code, reason: "" })
  }

  close() { this.end(1000) }
}

/** What a head says of its age: a source that speaks every two seconds, unless a test made its tile late. */
function fresh(id, now) {
  return { newest: feed.late[id] ?? now - 500, usual_s: 2, ...(id in feed.attention ? { attention: feed.attention[id] } : {}) }
}

/** The next change of a tile: series slide on by a bucket, groups take other values, rows are new ones. */
function moved(id, tile, now, seq) {
  const { head, columns } = tile
  const old = columns.t ?? []
  const wobble = (v, i = 0) => (typeof v === "number" ? v * (1 + 0.04 * Math.sin(seq + i)) : v)
  const shifted = (t, by) => t.map((at) => at + by)
  let next = {}
  let change = {}
  if (columns.low) {
    const by = head.grain_ms
    next = { ...columns, t: shifted(old, by), n: columns.n.map((n, i) => Math.max(1, Math.round(wobble(n, i)))) }
    Object.assign(head, { start: head.start + by, end: head.end + by })
    change = { drop: 0, from: 0, columns: next }
  } else if (old.length > 1) {
    const by = old[1] - old[0]
    const names = Object.keys(columns)
    next = Object.fromEntries(names.map((n) => [n, n === "t" ? shifted(old, by) : [...columns[n].slice(1), wobble(columns[n][(seq * 7) % old.length], seq)]]))
    for (const name of ["start", "end", "partial"]) if (head[name]) head[name] += by
    change = { drop: 1, from: old.length - 1, columns: Object.fromEntries(names.map((n) => [n, next[n].slice(-1)])) }
  } else {
    next = Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, name === "id" ? values.map((_, i) => `${seq - i}`)
      : name === "time" ? shifted(values, 1000) : values.map((v, i) => (Array.isArray(v) ? v.map(wobble) : wobble(v, i)))]))
    change = { drop: 0, from: 0, columns: next }
  }
  if (typeof head.value === "number") head.value = wobble(head.previous ?? head.value)
  Object.assign(head, { ...fresh(id, now), n: (head.n ?? 0) + 1 })
  if (head.items) head.items = head.items.map((item) => ({ ...item, n: seq }))
  tile.columns = next
  return { ...change, head }
}
