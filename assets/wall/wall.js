// A wall: unpaired it shows its code; paired it plays boards, says how fresh they are, and heals by itself.
//
// Nobody is there to press a key. Whatever ends (the server, the network, the browser's sleep) is said on the
// screen and tried again for ever; a new version of the server loads the page anew, once the server answers.

import { h, say } from "../dom.js"
import { pairing } from "./pairing.js"
import { Player } from "./player.js"

const BEAT_MS = 2000
const AWAY_MS = 6000 // no answer for so long: the screen says so
const DRIFT_MS = 60_000
const DRIFT = [[0, 0], [3, 1], [5, 3], [3, 5], [0, 4], [-3, 3], [-5, 0], [-3, -3], [0, -5], [3, -3]] // px, a small walk
const RELOAD_EVERY_MS = 20_000 // a version that keeps changing must not make a screen that only loads

const page = JSON.parse(document.getElementById("wall").textContent)
const stage = document.getElementById("stage")

class Wall {
  constructor() {
    this.answered = Date.now()
    this.ticked = Date.now()
    this.away = h("div.away", { role: "alert", hidden: true }, h("strong", {}), h("span", {}))
    this.flash = h("div.flash", { hidden: true }, h("span", {}))
    document.body.append(this.away, this.flash)
    this.loaded = this.#session("loaded") ?? 0
  }

  async start() {
    for (;;) {
      const plan = await this.#plan()
      if (plan) return this.#play(plan)
      document.body.dataset.state = "pairing"
      await pairing(stage, (seconds) => this.#unheard(seconds))
    }
  }

  /** What to play; null for who is not paired. Asked until the server answers. */
  async #plan() {
    for (let pause = 500; ; pause = Math.min(5000, pause * 1.6)) {
      const reply = await this.#fetch("/wall/me.json")
      if (reply?.ok) return reply.json()
      if (reply?.status === 401) return null
      await new Promise((done) => setTimeout(done, pause))
    }
  }

  #play(plan) {
    document.body.dataset.state = "playing"
    this.plan = plan
    stage.replaceChildren()
    this.player = new Player(stage, page, plan)
    this.timers = [
      setInterval(() => this.#beat(), BEAT_MS), setInterval(() => this.#second(), 1000), setInterval(() => this.#drift(), DRIFT_MS),
    ]
    this.#beat()
    globalThis.Plumbline = { ...globalThis.Plumbline, wall: this }
  }

  async #beat() {
    const reply = await this.#fetch("/api/wall/beat", { method: "POST", body: JSON.stringify(this.player.said(this.plan, page.version)) })
    if (reply?.status === 401) return location.reload() // revoked: the code again
    if (!reply?.ok) return
    const pulse = await reply.json()
    if (pulse.version !== page.version && pulse.version) return this.#reload()
    if (pulse.revision !== this.plan.revision) return this.#replan()
    this.flash.hidden = !pulse.flash
    say(this.flash.firstChild, this.plan.name)
  }

  async #replan() {
    if (this.replanning) return
    this.replanning = true
    const plan = await this.#plan()
    this.replanning = false
    if (!plan) return location.reload()
    this.plan = plan
    this.player.play(plan)
  }

  /** A new version of the server: the page, its scripts and its charts are another. */
  #reload() {
    const at = this.#session("reloaded") ?? 0
    if (Date.now() - at < RELOAD_EVERY_MS) return
    this.#session("reloaded", Date.now())
    location.reload()
  }

  /** Once a second: the time, the age of everything, and whether this browser was asleep. */
  #second() {
    const now = Date.now()
    if (now - this.ticked > 15_000) this.player.woke()
    this.ticked = now
    this.player.second(now)
    this.#unheard((now - this.answered) / 1000)
    if (this.player.worn()) this.#reload() // charts embedded many times over: start afresh before it hurts
  }

  /** The server gave no answer for some seconds: say so over the whole screen. */
  #unheard(seconds) {
    const gone = seconds * 1000 > AWAY_MS
    if (this.away.hidden === !gone && !gone) return
    this.away.hidden = !gone
    document.body.toggleAttribute("data-away", gone)
    if (!gone) return
    const since = new Date(Date.now() - seconds * 1000).toLocaleTimeString("en-GB")
    say(this.away.firstChild, "The server does not answer")
    say(this.away.lastChild, `since ${since}. What you see is from then. It comes back by itself.`)
  }

  #drift() {
    this.step = ((this.step ?? 0) + 1) % DRIFT.length
    const [x, y] = DRIFT[this.step]
    stage.style.transform = `translate(${x}px, ${y}px)`
  }

  async #fetch(path, options = {}) {
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), 5000)
    try {
      const reply = await fetch(path, { cache: "no-store", signal: over.signal, ...options })
      if (reply.status < 500) this.answered = Date.now()
      return reply
    } catch {
      return null
    } finally {
      clearTimeout(timer)
    }
  }

  #session(name, value) {
    try {
      if (value !== undefined) sessionStorage.setItem(`plumbline.wall.${name}`, String(value))
      return Number(sessionStorage.getItem(`plumbline.wall.${name}`))
    } catch { return null }
  }
}

new Wall().start()
