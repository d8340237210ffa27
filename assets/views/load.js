// Load data: files dropped or chosen, sent, looked at, corrected, loaded. All of it goes through /api/uploads.

import { h, icon, say } from "../dom.js"
import * as format from "../format.js"
import { call, sent } from "./load_api.js"
import { Meter, badRows, counted, took, whole } from "./load_parts.js"
import { previewed } from "./load_preview.js"

const POLL_MS = 400
const KEPT = "plumbline.upload" // the upload of this tab, so that a reload finds it again
const NAMES = { connected: "live", connecting: "loading" } // of the connection, as the header calls them
const WORKING = ["inspecting", "loading"]

export function mount(main, { bar, feed, page }) {
  const status = (state) => ({ name: NAMES[state.name] ?? state.name, age: 0, late: 0, waiting: 0, connection: state })
  feed.listen({ state: (state) => bar.status(status(state)), message() {} })
  return page.scopes.includes("admin") ? new Loader(main) : refused(main, page)
}

/** A key without the scope: what it would take, and what it may do instead. */
function refused(main, page) {
  const also = page.scopes.includes("ingest")
    ? "Your key may send rows to datasets that are there: see Send data in the docs."
    : null
  main.append(h("section.load", {}, h("div.card.panel.away", {},
    h("h2", {}, "Loading data needs an admin"),
    h("p", {}, "It makes datasets and boards that everybody sees, so it takes a key with the scope ", h("code", {}, "admin"), ". Sign in with one, or ask who runs this server to load your file."),
    also && h("p", {}, also),
    h("p.row", {}, h("a.btn", { href: "/docs/load" }, "How loading works"), h("a.btn.ghost", { href: "/overview" }, "Back to the overview")))))
}

class Loader {
  constructor(main) {
    this.said = h("p.visually-hidden", { role: "status" })
    this.place = h("div.load-step")
    main.append(h("section.load", {}, this.said, this.place))
    addEventListener("beforeunload", (event) => { if (this.sending) event.preventDefault() })
    this.#dropAnywhere(main)
    this.#resume()
  }

  async #resume() {
    let id = null
    try { id = sessionStorage.getItem(KEPT) } catch { /* storage may be forbidden */ }
    this.start()
    if (id) await call(`/api/uploads/${id}`).then((upload) => this.show(upload), () => this.#keep(null))
  }

  #keep(id) {
    try { id ? sessionStorage.setItem(KEPT, id) : sessionStorage.removeItem(KEPT) } catch { /* as above */ }
  }

  /** Everything on the page is a place to drop files, as long as it takes some. */
  #dropAnywhere(main) {
    let depth = 0
    const over = (on) => main.toggleAttribute("data-over", on)
    const takes = (event) => this.open && event.dataTransfer?.types.includes("Files")
    addEventListener("dragenter", (event) => { if (takes(event)) { event.preventDefault(); depth += 1; over(true) } })
    addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false) })
    addEventListener("dragover", (event) => { if (takes(event)) event.preventDefault() })
    addEventListener("drop", (event) => {
      depth = 0
      over(false)
      if (!takes(event)) return
      event.preventDefault()
      this.send([...event.dataTransfer.files])
    })
  }

  #step(element, said) {
    this.open = false
    this.place.replaceChildren(element)
    if (said) say(this.said, said)
    const title = element.querySelector("h2")
    if (this.moved) { title.setAttribute("tabindex", "-1"); title.focus({ preventScroll: true }); scrollTo({ top: 0 }) }
    this.moved = true
  }

  // 1: choose

  start(error) {
    clearTimeout(this.timer)
    this.upload = null
    this.#keep(null)
    const input = h("input", { type: "file", multiple: true, hidden: true, id: "load-files", accept: ".csv,.tsv,.txt,.json,.jsonl,.ndjson,.parquet,.gz,.zst,.bz2,.xz,.zip", change: () => this.send([...input.files]) })
    this.#step(h("div.card.panel.drop", {},
      error && h("p.refusal", { role: "alert" }, icon("warn"), h("span", {}, error)),
      h("span.sign", {}, icon("empty")),
      h("h2", {}, "Drop files here"),
      h("p", {}, "CSV, JSON lines, JSON or Parquet, also packed with gzip or zip. Files dropped together become one dataset."),
      input, h("button.btn.primary", { type: "button", click: () => input.click() }, "Choose files"),
      h("p.fine", {}, "You see what was found before anything is kept. On the server itself: ", h("code", {}, "python app.py load FILE"), ". ", h("a", { href: "/docs/load" }, "More"))))
    this.open = true
  }

  // 2: send

  async send(files) {
    if (!files.length) return
    const total = files.reduce((sum, file) => sum + file.size, 0)
    const meter = new Meter()
    const sending = { cancelled: false, request: null }
    this.sending = sending
    const cancel = () => { sending.cancelled = true; sending.request?.abort() }
    this.#step(h("div.card.panel", {}, h("h2", {}, `Sending ${named(files.map((file) => file.name))}`), meter.element,
      h("p.row", {}, h("button.btn", { type: "button", click: cancel }, "Cancel"))), `Sending ${named(files.map((file) => file.name))}`)
    let upload = null
    let before = 0
    try {
      for (const [i, file] of files.entries()) {
        const query = new URLSearchParams({ name: file.name, ...(upload && { id: upload.id }), ...(i < files.length - 1 && { more: "1" }) })
        upload = await sent(`/api/uploads?${query}`, file, sending, (done) => meter.bytes(before + done, total))
        before += file.size
      }
      this.sending = null
      this.#keep(upload.id)
      this.show(upload)
    } catch (error) {
      this.sending = null
      if (upload) call(`/api/uploads/${upload.id}`, "DELETE").catch(() => {})
      this.start(sending.cancelled ? null : error.message)
    }
  }

  // 3 to 5: look, load, done

  show(upload) {
    const before = this.upload
    this.upload = upload
    clearTimeout(this.timer)
    if (WORKING.includes(upload.state)) this.timer = setTimeout(() => this.#poll(), POLL_MS)
    if (before?.state === upload.state && upload.state === "loading") return this.#progress(upload)
    if (before?.state === upload.state && upload.state === "inspecting") return undefined
    if (upload.state === "inspecting") return this.#looking(upload)
    if (upload.state === "ready") return this.#ready(upload)
    if (upload.state === "loading") return this.#loading(upload)
    if (upload.state === "done") return this.#done(upload)
    if (upload.state === "failed") return this.#failed(upload)
    return this.start()
  }

  async #poll() {
    try {
      this.show(await call(`/api/uploads/${this.upload.id}`))
    } catch (error) {
      if (error.status === 0) this.timer = setTimeout(() => this.#poll(), 2000) // the server comes back, or says that it is gone
      else this.start(error.message)
    }
  }

  #looking(upload) {
    this.#step(h("div.card.panel", {}, h("h2", {}, `Looking at ${names(upload)}`), h("p", {}, "Finding columns, types and times.")), "Looking at the data")
  }

  #ready(upload) {
    const step = previewed(upload, {
      change: (change) => call(`/api/uploads/${upload.id}`, "PUT", change),
      changed: (fresh) => { this.upload = fresh },
      load: async () => this.show(await call(`/api/uploads/${upload.id}/load`, "POST")),
      cancel: () => this.#remove(),
      said: (text) => say(this.said, text),
    })
    this.#step(step, `${counted(upload.sampled, "row")} of ${names(upload)} looked at: ${upload.columns.length} columns. Nothing is kept yet. ${step.querySelector(".makes").textContent}`)
  }

  async #remove() {
    const { id } = this.upload
    this.start()
    await call(`/api/uploads/${id}`, "DELETE").catch(() => {})
  }

  #loading(upload) {
    this.meter = new Meter()
    this.bad = h("p.fine", {})
    this.spoken = 0
    const cancel = h("button.btn", { type: "button", click: () => this.#remove() }, "Cancel")
    this.#step(h("div.card.panel", {}, h("h2", {}, `Loading into ${upload.dataset}`), this.meter.element, this.bad, h("p.row", {}, cancel)), `Loading into ${upload.dataset}`)
    this.#progress(upload)
  }

  #progress({ progress, rejects }) {
    this.meter.rows(progress)
    say(this.bad, rejects?.total ? `${counted(rejects.total, "row")} cannot be kept so far` : "")
    const quarter = Math.floor((4 * progress.done) / (progress.total || 1))
    if (progress.stage === "loading" && quarter > this.spoken) say(this.said, `${25 * (this.spoken = quarter)} percent loaded`)
  }

  #done(upload) {
    this.#keep(null)
    const { progress, rejects, dataset } = upload
    const per_s = progress.rows / Math.max(progress.elapsed_s, 0.001)
    const title = progress.accepted ? `${counted(progress.accepted, "new row")} in ${dataset}` : `Nothing new for ${dataset}`
    this.#step(h("div.card.panel", {}, h("h2", {}, icon("check"), title),
      h("p", {}, `In ${took(progress.elapsed_s)}, ${whole(Math.round(per_s))} rows a second.`,
        progress.repeated ? ` ${counted(progress.repeated, "row")} were there already and ${progress.repeated === 1 ? "was" : "were"} not kept twice.` : ""),
      rejects?.total ? badRows(rejects, `/api/uploads/${upload.id}/rejects`) : null,
      h("p.row", {}, h("a.btn.primary", { href: upload.board }, "Open the board"), h("button.btn", { type: "button", click: () => this.start() }, "Load more"))), `Done. ${title}.`)
  }

  #failed(upload) {
    this.#keep(null)
    const { message, hint } = upload.error ?? {}
    const words = [message ?? "It failed", hint].filter(Boolean).map(format.sentence)
    this.#step(h("div.card.panel", {}, h("h2", {}, `${names(upload)} cannot be loaded`),
      h("p.refusal", { role: "alert" }, icon("warn"), h("span", {}, words.join(" "))),
      upload.rejects?.total ? badRows(upload.rejects, upload.progress.rejected ? `/api/uploads/${upload.id}/rejects` : null) : null,
      h("p.row", {}, h("button.btn.primary", { type: "button", click: () => this.#remove() }, "Choose other files"))))
  }
}

const names = (upload) => named(upload.files.map((file) => file.name))
const named = (all) => (all.length === 1 ? all[0] : `${all.length} files`)
