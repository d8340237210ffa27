// One moment in time for all charts of a board: the chart that is pointed at says which, all others show it too.

export class Hover {
  constructor(root) {
    this.charts = new Set()
    this.owner = null
    this.t = null
    // a finger leaves no pointer behind: what it showed stays until it touches something else
    root.addEventListener("pointerdown", (event) => { if (this.owner && !event.composedPath().includes(this.owner.stage)) this.owner.leave() })
  }

  /** `owner` points at `t`. All charts follow in one animation frame, however many events came before it. */
  point(owner, t) {
    const last = this.owner
    Object.assign(this, { owner, t })
    if (last && last !== owner) last.leave()
    this.frame ??= requestAnimationFrame(() => this.#tell())
  }

  leave(owner) {
    if (this.owner !== owner) return
    this.owner = this.t = null
    this.frame ??= requestAnimationFrame(() => this.#tell())
  }

  #tell() {
    this.frame = null
    for (const chart of this.charts) if (chart !== this.owner) chart.mirror(this.t)
  }
}
