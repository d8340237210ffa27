// Charts with the same `share` name stand on one scale, so that they can be compared by eye.

export class Shares {
  /** again(id) draws a tile whose range has been moved by another. */
  constructor(again) {
    this.again = again
    this.clear()
  }

  /** Forget what was reached: another window has other heights. */
  clear() {
    this.scales = new Map()
    this.extents = new Map()
  }

  /** What a tile remembers of its scale from one drawing to the next; one object for all that share it. */
  scale({ id, share }) {
    const key = share ? `share ${share}` : id
    if (!this.scales.has(key)) this.scales.set(key, {})
    return this.scales.get(key)
  }

  /** The lowest and highest value of all that share a tile's scale, this tile's own being given. */
  extent({ id, share }, low, high) {
    if (!share) return [low, high]
    if (!this.extents.has(share)) this.extents.set(share, new Map())
    const group = this.extents.get(share)
    const before = reach(group)
    group.set(id, [low, high])
    const now = reach(group)
    if (before[0] !== now[0] || before[1] !== now[1]) for (const other of group.keys()) if (other !== id) this.again(other)
    return now
  }
}

const reach = (group) => [...group.values()].reduce(([a, b], [low, high]) => [Math.min(a, low), Math.max(b, high)], [Infinity, -Infinity])
