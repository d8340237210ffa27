// Undo and redo are the browser's own back and forward. An index in each entry's state keeps them inside this page.

export class Steps {
  /** moved() is called when the address has become that of another step. */
  constructor(moved) {
    this.moving = false
    const mark = history.state?.plumbline
    this.run = mark?.run ?? Math.random().toString(36).slice(2)
    this.at = this.aim = mark?.at ?? 0
    this.top = this.#remembered() // what came after is still there when a page is loaded again
    if (!mark) this.replace(location.href)
    addEventListener("popstate", (event) => this.#arrived(event.state?.plumbline, moved))
  }

  push(href) {
    this.moving = false
    this.at = this.aim = this.top = this.at + 1
    history.pushState(this.#mark(), "", href)
    try { sessionStorage.setItem("plumbline.steps", JSON.stringify([this.run, this.top])) } catch { /* storage may be forbidden */ }
  }

  replace(href) {
    history.replaceState(this.#mark(), "", href)
  }

  get canUndo() { return this.aim > 0 }

  get canRedo() { return this.aim < this.top }

  /** So many steps forth, or back where negative, as far as there are any. Steps asked for on the way add up. */
  go(delta) {
    this.aim = Math.min(this.top, Math.max(0, this.aim + delta))
    this.#move()
  }

  #move() {
    if (this.moving || this.aim === this.at) return
    this.moving = true
    history.go(this.aim - this.at)
  }

  #arrived(mark, moved) {
    const wanted = this.moving
    this.moving = false
    if (mark?.run === this.run) {
      this.at = mark.at
      this.top = Math.max(this.top, this.at)
    } else { // a link within the page made an entry of its own
      this.at = this.top = this.at + 1
      this.replace(location.href)
    }
    if (!wanted) this.aim = this.at
    moved()
    this.#move()
  }

  #mark() {
    return { ...history.state, plumbline: { run: this.run, at: this.at } }
  }

  #remembered() {
    try {
      const [run, top] = JSON.parse(sessionStorage.getItem("plumbline.steps") ?? "[]")
      return run === this.run ? Math.max(top, this.at) : this.at
    } catch { return this.at }
  }
}
