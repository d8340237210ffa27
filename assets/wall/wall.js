// A wall: unpaired it shows its code; paired it plays boards, says how fresh they are, and heals by itself.
//
// Nobody is there to press a key. Whatever ends (the server, the network, the browser's sleep) is said on the
// screen and tried again for ever; a new version of the server loads the page anew, once the server answers.

import { h, say } from "../dom.js"
import { pairing } from "./pairing.js"
import { Player } from "./player.js"
import { Since } from "./since.js"

const BEAT_MS = 1500
const AWAY_MS = 6000 // no answer for so long: the screen says so
const PATIENCE_MS = 5000 // with one request
const PLAN_MS = 60_000 // what is played is asked for so often, as the workspace may have changed
const IDLE_MS = 5_000 // and more often while there is nothing to play
const SLEPT_MS = 15_000 // timers that stood still for so long
const RELOADS_MS = 20_000 // a version that keeps changing must not make a screen that only loads
const BROKEN_MS = 300_000 // nor must a fault that comes back
const SKEW_MS = 2000 // a clock that is off by more than this is not shown
const DRIFT_MS = 60_000
const DRIFT = [[0, 0], [3, 1], [5, 3], [3, 5], [0, 4], [-3, 3], [-5, 0], [-3, -3], [0, -5], [3, -3]] // px, a small walk

const page = JSON.parse(document.getElementById("wall").textContent)
const stage = document.getElementById("stage")

class Wall {
  constructor() {
    Object.assign(this, { answered: new Since(), ticked: new Since(), planned: new Since(), failures: 0, skew: 0, step: 0 })
    this.away = h("div.away", { role: "alert", hidden: true }, h("strong"), h("span"))
    this.flash = h("div.flash", { hidden: true }, h("span"))
    document.body.append(this.away, this.flash)
    setInterval(() => this.#second(), 1000)
    setInterval(() => this.#drift(), DRIFT_MS)
    document.addEventListener("resume", () => this.#woke())
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#woke() })
    addEventListener("online", () => this.#woke())
    addEventListener("error", (event) => { if (event.error) this.faulty = true })
    addEventListener("resize", () => {
      clearTimeout(this.resizing)
      this.resizing = setTimeout(() => this.player?.resized(), 500)
    })
  }

  async start() {
    let plan
    while (!(plan = await this.#plan())) {
      document.body.dataset.state = "pairing"
      await pairing(stage, (path, options) => this.#fetch(path, options))
    }
    this.plan = plan
    document.body.dataset.state = "playing"
    this.player = new Player(stage, page, plan, {
      now: () => this.now(), outdated: () => this.#replan(), ended: () => this.#beat(), broken: () => { this.broken = true },
    })
    setInterval(() => this.#beat(), BEAT_MS)
    this.#woke()
  }

  /** What to play; null for who is not paired. Asked until the server answers. */
  async #plan() {
    for (let pause = 500; ; pause = Math.min(5000, pause * 1.6)) {
      const reply = await this.#fetch("/wall/me.json")
      const plan = reply?.ok ? await reply.json().catch(() => null) : null
      if (plan) return plan
      if (reply?.status === 401) return null
      await new Promise((done) => setTimeout(done, pause))
    }
  }

  /** A sign of life, which brings back what is new. */
  async #beat() {
    if (this.beating) return
    this.beating = true
    const said = { ...this.player.said(), revision: this.plan.revision, version: page.version }
    const reply = await this.#fetch("/api/wall/beat", { method: "POST", body: JSON.stringify(said) })
    const pulse = reply?.ok ? await reply.json().catch(() => null) : null
    this.beating = false
    if (reply?.status === 401) return this.#revoked()
    if (!pulse) return
    this.skew = pulse.at - Date.now()
    this.flash.hidden = !pulse.flash
    say(this.flash.firstChild, this.plan.name)
    if (pulse.version !== page.version) this.#reload()
    else if (pulse.revision !== this.plan.revision || this.planned.ms > (this.player.item ? PLAN_MS : IDLE_MS)) this.#replan()
  }

  /** Nothing of the boards stays; the page, loaded anew, shows a code. */
  #revoked() {
    this.player.end()
    this.#reload(0)
  }

  async #replan() {
    if (this.replanning) return
    this.replanning = true
    const plan = await this.#plan()
    this.replanning = false
    this.planned.again()
    if (!plan) return this.#revoked()
    if (JSON.stringify(plan) === JSON.stringify(this.plan)) return
    this.plan = plan
    this.player.play(plan)
  }

  /** Load the page anew, once the server gives it, and no sooner than `least` ms after the last time. */
  async #reload(least = RELOADS_MS) {
    const ago = Date.now() - kept("reloaded")
    if (this.reloading || (ago >= 0 && ago < least)) return
    this.reloading = true
    const reply = await this.#fetch("/wall", { cache: "reload" })
    this.reloading = false
    if (!reply?.ok) return
    kept("reloaded", Date.now())
    location.reload()
  }

  /** The server's time, as this screen's own clock may be wrong; a little beside it is near enough, and does not jump. */
  now() {
    return Date.now() + (Math.abs(this.skew) > SKEW_MS ? this.skew : 0)
  }

  /** Once a second: the time, the age of everything, and whether this browser was asleep. */
  #second() {
    if (this.ticked.ms > SLEPT_MS) this.#woke()
    this.ticked.again()
    this.player?.second()
    this.#told()
    if (this.broken || this.player?.worn) this.#reload() // charts that did not load, or were embedded many times over
    else if (this.faulty) this.#reload(BROKEN_MS)
  }

  #woke() {
    if (!this.player) return
    this.player.woke()
    this.#beat()
    if (!document.hidden) navigator.wakeLock?.request("screen").catch(() => { /* the browser decides */ })
  }

  /** The server gave no answer for some seconds: say so over the whole screen. */
  #told() {
    const gone = this.failures > 0 && this.answered.ms > AWAY_MS
    this.away.hidden = !gone
    document.body.toggleAttribute("data-away", gone)
    if (!gone) return
    const since = new Date(this.now() - this.answered.ms).toLocaleTimeString("en-GB")
    say(this.away.firstChild, "The server does not answer")
    say(this.away.lastChild, this.player ? `What you see is from ${since}. It comes back by itself.` : `since ${since}. This screen keeps trying.`)
  }

  /** Some pixels to the side each minute, so that nothing burns into the screen. */
  #drift() {
    this.step = (this.step + 1) % DRIFT.length
    const [x, y] = DRIFT[this.step]
    stage.style.transform = `translate(${x}px, ${y}px)`
  }

  async #fetch(path, options = {}) {
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), PATIENCE_MS)
    try {
      const reply = await fetch(path, { cache: "no-store", signal: over.signal, ...options })
      if (reply.status >= 500) throw new Error(reply.statusText)
      this.answered.again()
      this.failures = 0
      this.#told()
      return reply
    } catch {
      this.failures += 1
      return null
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A number that outlives a reload. */
function kept(name, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(`plumbline.wall.${name}`, String(value))
    return Number(sessionStorage.getItem(`plumbline.wall.${name}`))
  } catch { return 0 }
}

new Wall().start()
