// <plumbline-board>: a board of a Plumbline server in a page of any site that the server allows.
//
//   <script src="https://plumbline.example/embed.js"></script>
//   <plumbline-board board="overview" scope="window=now-1h&agent=planner" ticket-url="/my-ticket"></plumbline-board>
//
// It frames the server's page /embed, tells it what to show, brings it a ticket for each connection, and is as tall as
// what is in it. Where the element is taken out, its frame and socket are gone. Plain script, nothing to load.
{
  const WHAT = ["board", "scope", "theme", "lang"]
  const LOAD_MS = 20_000
  const READY_MS = 1_500 // after the frame has loaded, whatever it loaded
  const TICKET_MS = 10_000
  const TALLEST = 30_000
  const PASSING = [408, 425, 429]
  const home = document.currentScript?.src ? new URL(document.currentScript.src).origin : ""

  const style = new CSSStyleSheet() // a policy of the page around may forbid style elements
  style.replaceSync(`
    :host { display: flex; flex-direction: column; box-sizing: border-box; inline-size: 100%; min-inline-size: 0; min-block-size: 120px; overflow: auto }
    :host([hidden]) { display: none }
    iframe { flex: 1 0 auto; inline-size: 100%; min-inline-size: 0; border: 0; border-radius: inherit }
    p { margin: 0; padding: 12px 14px; border: 1px solid #b45309; border-radius: 8px; font: 14px/1.45 system-ui, sans-serif; color: #12161c; background: #fff7e6; overflow-wrap: anywhere }
    [hidden] { display: none }
  `)

  const failed = (words, final = false) => Object.assign(new Error(words), { final })

  class PlumblineBoard extends HTMLElement {
    static observedAttributes = [...WHAT, "src", "ticket", "ticket-url"]

    #words = document.createElement("p")
    #frame = null
    #origin = ""
    #state = ""
    #tries = 0
    #doubted = false
    #timer = 0
    #telling = false
    #spoke = false // the frame, since it loaded last
    #listen = (event) => this.#heard(event)

    constructor() {
      super()
      const root = this.attachShadow({ mode: "open" })
      root.adoptedStyleSheets = [style]
      this.#words.setAttribute("role", "alert")
      this.#words.hidden = true
      root.append(this.#words)
    }

    connectedCallback() {
      addEventListener("message", this.#listen)
      this.#open()
    }

    disconnectedCallback() {
      removeEventListener("message", this.#listen)
      this.#close()
    }

    attributeChangedCallback(name, before, now) {
      if (!this.isConnected || before === now) return
      if (name === "src") {
        this.#say("")
        this.#open()
      } else if (WHAT.includes(name)) this.#tell()
      else if (now !== null && this.#state === "closed") this.#bring("") // it waits for one
    }

    /** live, loading, delayed, stale, reconnecting, refused or closed; "" before it is known. */
    get state() {
      return this.#state
    }

    #open() {
      this.#close()
      this.#origin = this.#server()
      if (!this.#origin) return this.#say("This board has no server: `src` is to be an address such as https://plumbline.example")
      const frame = document.createElement("iframe")
      const theme = this.getAttribute("theme")
      frame.src = `${this.#origin}/embed${theme === "light" || theme === "dark" ? `?theme=${theme}` : ""}`
      frame.referrerPolicy = "origin"
      frame.sandbox = "allow-scripts allow-same-origin allow-downloads"
      frame.addEventListener("load", () => {
        if (!this.#spoke) this.#patient(READY_MS)
        this.#spoke = false
      })
      frame.hidden = !this.#words.hidden
      this.#frame = frame
      this.#dress()
      this.shadowRoot.append(frame)
      this.#patient(LOAD_MS)
    }

    #close() {
      clearTimeout(this.#timer)
      this.#frame?.remove()
      this.#frame = null
      this.#spoke = false
      this.#become("", "")
    }

    #server() {
      try {
        const { origin, protocol } = new URL(this.getAttribute("src") ?? home, document.baseURI)
        return /^https?:$/.test(protocol) ? origin : ""
      } catch { return "" }
    }

    #dress() {
      const theme = this.getAttribute("theme")
      this.#frame.title = `Board ${this.getAttribute("board") ?? ""}`.trim()
      this.#frame.style.colorScheme = theme === "light" || theme === "dark" ? theme : "" // auto: as the page around
    }

    // what the frame says, and is told

    #heard({ source, origin, data }) {
      if (!this.#frame || source !== this.#frame.contentWindow || origin !== this.#origin) return
      if (data?.plumbline === "ready") this.#ready()
      if (data?.plumbline === "ticket") this.#bring(String(data.reason ?? ""))
      if (data?.plumbline === "size" && data.height >= 0 && data.height <= TALLEST) this.#frame.style.blockSize = `${data.height}px`
      if (data?.plumbline === "state") this.#become(String(data.name), String(data.reason))
    }

    #post(message) {
      this.#frame?.contentWindow?.postMessage(message, this.#origin)
    }

    #ready() {
      clearTimeout(this.#timer)
      this.#spoke = true
      this.#doubted = false
      this.#tries = 0
      this.#frame.hidden = false
      this.#say("")
      this.#send()
    }

    /** Tell the frame what to show, once however many attributes change together. */
    #tell() {
      if (this.#telling) return
      this.#telling = true
      queueMicrotask(() => {
        this.#telling = false
        this.#send()
      })
    }

    #send() {
      if (!this.#frame) return
      this.#dress()
      this.#post({ plumbline: "set", fits: true, ...Object.fromEntries(WHAT.map((name) => [name, this.getAttribute(name) ?? ""])) })
    }

    #become(name, reason) {
      if (name === this.#state) return
      this.#state = name
      if (name) this.dispatchEvent(new CustomEvent("plumbline-state", { bubbles: true, composed: true, detail: { name, reason } }))
    }

    // tickets

    async #bring(reason) {
      const frame = this.#frame
      const answer = await this.#ticket(reason).then((ticket) => ({ ticket }), (error) => ({ error: error.message, final: Boolean(error.final) }))
      if (frame && frame === this.#frame) this.#post({ plumbline: "ticket", ...answer })
    }

    /** The attribute once, then the address on this site, or else whoever hears the event. */
    async #ticket(reason) {
      const own = this.getAttribute("ticket")
      this.removeAttribute("ticket")
      if (own) return own
      const url = this.getAttribute("ticket-url")
      if (url) return fetched(url)
      let given
      const provide = (ticket) => { given = ticket }
      this.dispatchEvent(new CustomEvent("plumbline-ticket", { bubbles: true, composed: true, detail: { reason, provide } }))
      if (given === undefined) throw failed("This page brought none: it needs `ticket-url`, or to answer the event plumbline-ticket.", true)
      return String(await given)
    }

    // what goes wrong before the frame can say it

    #patient(ms) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#ask(), ms)
    }

    /** The frame says nothing: is the server away, or may this page not have it? Browsers do not tell, so ask. */
    async #ask() {
      const frame = this.#frame
      const there = await fetch(`${this.#origin}/healthz`, { mode: "no-cors", cache: "no-store", credentials: "omit" }).then(() => true, () => false)
      if (frame !== this.#frame) return
      if (there && !this.#doubted) { // it may have come back since the frame was opened: blame nobody before a second look
        this.#doubted = true
        return this.#open()
      }
      this.#doubted = false
      this.#become("closed", "")
      if (there) return this.#end(`${this.#origin} shows no boards on ${location.origin}. Whoever runs it can allow that: --embed-origin ${location.origin}`)
      this.#end(`${this.#origin} does not answer. This page tries again by itself.`)
      this.#timer = setTimeout(() => this.#open(), Math.min(60_000, 4_000 * 2 ** this.#tries++) * (0.75 + Math.random() / 2))
    }

    #end(words) {
      this.#frame.hidden = true
      this.#say(words)
    }

    #say(words) {
      this.#words.textContent = words
      this.#words.hidden = !words
    }
  }

  /** A ticket from an address of this site: {"ticket": "…"}. */
  async function fetched(address) {
    const url = URL.canParse(address, document.baseURI) ? new URL(address, document.baseURI) : null
    if (url?.origin !== location.origin) throw failed("`ticket-url` is to be an address of this site.", true)
    const options = { method: "POST", cache: "no-store", credentials: "same-origin", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(TICKET_MS) }
    const reply = await fetch(url, options).catch(() => { throw failed(`${url.pathname} did not answer.`) })
    if (!reply.ok) throw failed(`${url.pathname} answered ${reply.status}.`, reply.status < 500 && !PASSING.includes(reply.status))
    const { ticket } = await reply.json().catch(() => ({})) ?? {}
    if (typeof ticket !== "string") throw failed(`${url.pathname} answered without a ticket.`, true)
    return ticket
  }

  if (!customElements.get("plumbline-board")) customElements.define("plumbline-board", PlumblineBoard)
}
