// The feed socket, as a board's transport: one standing request, endless reconnect, nothing lost silently.
// Beside it, `question(message)` asks once, and `stand(request, heard)` keeps a further request standing.
//
// A transport is { listen({message, state}), ask(request), retry(), close() }. Messages are those of
// analytics.v1 for the current subscription: analytics_update (a snapshot), frame, error. What arrived before
// anybody listened is kept and replayed, so the socket can open before the page has a board.

const CAP_MS = 5_000 // longest pause between two tries
const SILENCE_MS = 10_000 // no byte for so long: the socket is dead, whatever it says
const PING_MS = 4_000
const TRIES_BEFORE_ASKING = 3 // a refused upgrade looks like a dead server: then ask who we are

export class Feed {
  /** `ticket()`, where pages have no sign-in, resolves to what opens one socket; `told(state)` hears each state. */
  constructor(url, { session = "/api/session", ticket = null, told = null } = {}) {
    Object.assign(this, { url, session, ticket, told })
    this.epoch = null
    this.restarted = false
    this.attempt = 0
    this.count = 0
    this.kept = []
    this.listener = null
    this.request = null
    this.asked = new Map() // id -> {message, done, failed}: questions without an answer yet, asked again after a loss
    this.standing = new Map() // sub -> {request, heard}
    this.wait_ms = null
    this.state = { name: "connecting", attempt: 0 }
    this.watch = setInterval(() => this.#watchdog(), 1000)
    this.hurry = () => { if (document.visibilityState === "visible" && this.timer) this.#connect() }
    addEventListener("online", this.hurry)
    document.addEventListener("visibilitychange", this.hurry)
    this.#connect()
  }

  /** Hand over everything from now on, and first what was kept. */
  listen(listener) {
    this.listener = listener
    listener.state(this.state)
    for (const message of this.kept.splice(0)) listener.message(message)
  }

  /** Make `request` the standing one. The answers to the one before are ignored from here on. */
  ask(request) {
    if (JSON.stringify(request) === JSON.stringify(this.request)) return
    this.request = request
    this.renew()
  }

  /** Ask again from the start: after a gap, or because the viewer said so. */
  renew() {
    this.kept.length = 0
    this.seq = null
    if (this.state.name !== "connected") return
    if (this.sub) this.#send({ type: "unsubscribe", sub: this.sub })
    this.sub = `board-${++this.count}`
    if (this.request) this.#send({ type: "subscribe", id: this.sub, sub: this.sub, request: this.request })
  }

  /** One question, answered once: resolves to the `analytics_update`, rejects with the server's error. */
  question(message) {
    const id = `q${++this.count}`
    return new Promise((done, failed) => {
      this.asked.set(id, { message, done, failed })
      if (this.state.name === "connected") this.#send({ ...message, id })
      if (this.state.name === "closed") this.#give(id, { type: "error", error: { message: this.state.reason } })
    })
  }

  /** Keep a further request standing: `heard(message)` gets each analytics_update or error. Returns the way to end it. */
  stand(request, heard) {
    const sub = `also-${++this.count}`
    this.standing.set(sub, { request, heard })
    if (this.state.name === "connected") this.#send({ type: "subscribe", id: sub, sub, request })
    return () => {
      if (this.standing.delete(sub)) this.#send({ type: "unsubscribe", sub })
    }
  }

  #give(id, message) {
    const { done, failed } = this.asked.get(id)
    this.asked.delete(id)
    if (message.type === "error") failed(Object.assign(new Error(message.error?.message ?? "no answer"), message.error))
    else done(message)
  }

  retry() {
    if (this.state.name === "connected") this.renew()
    else this.#connect()
  }

  close() {
    clearInterval(this.watch)
    clearTimeout(this.timer)
    removeEventListener("online", this.hurry)
    document.removeEventListener("visibilitychange", this.hurry)
    this.#drop()
  }

  #connect() {
    clearTimeout(this.timer)
    this.timer = null
    this.#drop()
    if (!this.ticket) return this.#open([])
    const turn = (this.turn = {})
    this.ticket().then((ticket) => { if (turn === this.turn) this.#open([`ticket.${ticket}`]) }, (error) => {
      if (turn !== this.turn) return
      if (error.final) this.#end(4501, error.message)
      else this.#lost(1006, error.message)
    })
  }

  #open(more) {
    const socket = new WebSocket(this.url, ["analytics.v1", ...more])
    this.socket = socket
    this.heard = Date.now()
    socket.onmessage = (event) => this.#receive(event.data)
    socket.onclose = (event) => { if (socket === this.socket) this.#lost(event.code, event.reason) }
  }

  /** Forget the present socket: what it still says is nobody's business. */
  #drop() {
    const socket = this.socket
    this.socket = this.sub = this.turn = null
    if (!socket) return
    socket.onmessage = socket.onclose = null
    socket.close()
  }

  #send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message))
  }

  #become(name, more = {}) {
    this.state = { name, attempt: this.attempt, ...more }
    this.listener?.state(this.state)
    this.told?.(this.state)
  }

  #receive(data) {
    this.heard = Date.now()
    let message
    try { message = JSON.parse(data) } catch { return }
    if (message.type === "welcome") return this.#welcomed(message)
    if (message.type === "going_away") { this.wait_ms = message.reconnect_after_ms; return }
    if (this.asked.has(message.id)) return this.#give(message.id, message)
    const also = this.standing.get(message.sub ?? message.id)
    if (also) return message.type === "analytics_update" || message.type === "error" ? also.heard(message) : undefined
    if (message.type === "error" && message.id === this.sub) return this.#deliver(message)
    if (message.sub !== this.sub || !this.sub) return
    if (message.type === "analytics_update") {
      this.seq = message.seq
      this.kept.length = 0
    } else if (message.type === "frame") {
      if (this.seq === null) return // the snapshot is still on its way
      if (message.seq !== this.seq + 1) return this.renew()
      this.seq = message.seq
    } else if (message.type !== "error") return
    this.#deliver(message)
  }

  #deliver(message) {
    if (this.listener) this.listener.message(message)
    else this.kept.push(message)
  }

  #welcomed(message) {
    this.restarted ||= this.epoch !== null && this.epoch !== message.epoch
    this.epoch = message.epoch
    this.attempt = 0
    this.wait_ms = null
    this.spent = false
    this.#become("connected", { principal: message.principal, token: message.token })
    this.renew()
    for (const [sub, { request }] of this.standing) this.#send({ type: "subscribe", id: sub, sub, request })
    for (const [id, { message }] of this.asked) this.#send({ ...message, id })
  }

  #lost(code, reason) {
    const again = code === 4501 && this.ticket && !this.spent // one ticket may have been too old
    if (again) this.spent = true
    else if (code >= 4500 && code <= 4999) return this.#end(code, reason || refusal(code))
    this.attempt += 1
    if (this.session && this.attempt % TRIES_BEFORE_ASKING === 0) return this.#whoAmI()
    this.#later(reason || (this.attempt < TRIES_BEFORE_ASKING ? "the connection was lost" : this.state.reason))
  }

  /** The browser hides why an upgrade was refused; a plain request tells "signed out" from "server gone". */
  async #whoAmI() {
    const answer = await fetch(this.session, { cache: "no-store" }).catch(() => null)
    if (answer?.status === 401) return this.#end(4501, refusal(4501))
    this.#later(answer ? "the feed is not answering" : "the server is not answering")
  }

  #end(code, reason) {
    this.#drop()
    this.#become("closed", { code, reason })
    for (const id of this.asked.keys()) this.#give(id, { type: "error", error: { message: reason } })
  }

  #later(reason) {
    const pause = this.wait_ms ?? Math.max(100, Math.random() * Math.min(CAP_MS, 250 * 2 ** this.attempt))
    this.wait_ms = null
    this.#become("reconnecting", { reason })
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.#connect(), pause)
  }

  #watchdog() {
    if (!this.socket || this.timer) return
    const silent = Date.now() - this.heard
    if (silent < 0) this.heard = Date.now() // this device's clock was set back
    if (silent > SILENCE_MS) {
      this.#drop()
      this.#lost(4002, "the server went silent")
    } else if (silent > PING_MS) this.#send({ type: "ping" })
  }
}

function refusal(code) {
  if (code === 4501) return "You are signed out"
  if (code === 4503) return "Your access was revoked or has expired"
  if (code === 4504) return "Too many connections with this key"
  return "The server refused this connection"
}
