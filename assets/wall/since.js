// How long ago something was, by whichever clock says more: the wall clock goes on while a device sleeps, the other one
// when the wall clock is set back.

export class Since {
  constructor() {
    this.again()
  }

  again() {
    Object.assign(this, { wall: Date.now(), run: performance.now() })
  }

  get ms() {
    return Math.max(Date.now() - this.wall, performance.now() - this.run)
  }
}
