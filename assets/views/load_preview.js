// What was found in the files, before anything is kept: the first rows, a type for each column, where the time is.

import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { badRows, counted, whole } from "./load_parts.js"

const TYPES = [["text", "Text"], ["integer", "Whole number"], ["number", "Number"], ["boolean", "Yes or no"], ["time", "Time"]]
const EPOCHS = [["time:s", "Time, seconds since 1970"], ["time:ms", "Time, ms since 1970"], ["time:us", "Time, µs since 1970"]]
const DELIMITERS = [[",", "Comma"], [";", "Semicolon"], ["\t", "Tab"], ["|", "Bar"], [" ", "Space"]]
const TOKENS = { "%d": "DD", "%m": "MM", "%Y": "YYYY", "%y": "YY", "%H": "hh", "%I": "hh", "%M": "mm", "%S": "ss", "%f": "ffffff", "%b": "Mon", "%B": "Month", "%p": "AM", "%z": "zone", "%a": "Day", "%A": "Day" }
const TYPING_MS = 500

/** The step as an element. `act` has change(body) → upload, changed(upload), load(), cancel() and said(text). */
export function previewed(upload, act) {
  return new Preview(upload, act).element
}

class Preview {
  constructor(upload, act) {
    Object.assign(this, { upload, act, turn: 0 })
    this.fault = h("p.refusal", { role: "alert", hidden: true })
    this.facts = h("p.fine", {})
    this.holder = h("div.wide.sample", { tabindex: "0", role: "region", "aria-label": "The first rows" })
    this.bad = h("div", {})
    this.makes = h("p.makes", {})
    this.go = h("button.btn.primary", { type: "button", click: () => this.#load() }, "Load")
    this.dataset = h("input", { type: "text", value: upload.dataset, maxlength: "40", spellcheck: "false", autocomplete: "off", input: () => this.#later() })
    this.title = h("input", { type: "text", value: upload.title, maxlength: "100", autocomplete: "off", placeholder: "made of the name", input: () => this.#later() })
    this.element = h("div.card.panel.preview", {},
      h("h2", {}, upload.files.length === 1 ? upload.files[0].name : `${upload.files.length} files`), this.facts, this.fault,
      h("div.fields", {}, h("label", {}, "Dataset", this.dataset), h("label", {}, "Title", this.title), ...this.#reading()),
      this.holder, this.bad, this.makes,
      h("p.row", {}, this.go, h("button.btn", { type: "button", click: () => act.cancel() }, "Cancel")))
    this.#draw()
  }

  /** How CSV is cut. */
  #reading() {
    if (this.upload.format !== "csv") return []
    const chosen = this.upload.delimiter
    const known = DELIMITERS.some(([value]) => value === chosen) ? DELIMITERS : [...DELIMITERS, [chosen, chosen]]
    const delimiter = select(known, chosen, (value) => this.#change({ delimiter: value }))
    const header = h("input", { type: "checkbox", change: () => this.#change({ header: header.checked }) })
    header.checked = this.upload.header
    return [h("label", {}, "Between fields", delimiter), h("label.choice", {}, header, "The first row names the columns")]
  }

  #later() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.#change({}), TYPING_MS)
  }

  /** Ask for another reading, always under the names that stand there. Answers to an earlier change do not count. */
  async #change(more) {
    const body = { dataset: this.dataset.value.trim(), title: this.title.value.trim(), ...more }
    const turn = ++this.turn
    clearTimeout(this.timer)
    this.timer = null
    mark(this.holder, "aria-busy", "true")
    this.queue = (this.queue ?? Promise.resolve()).then(() => this.act.change(body)).then(
      (fresh) => { this.upload = fresh; this.act.changed(fresh); if (turn === this.turn) this.#refuse(null) },
      (error) => { if (turn === this.turn) this.#refuse(error) })
    await this.queue
    if (turn !== this.turn) return
    mark(this.holder, "aria-busy", null)
    this.#draw()
  }

  #refuse(error) {
    this.fault.hidden = !error
    this.fault.replaceChildren(icon("warn"), h("span", {}, error?.message ?? ""))
    mark(this.go, "aria-disabled", error ? "true" : null)
  }

  async #load() {
    if (this.go.getAttribute("aria-disabled")) return
    if (this.timer) await this.#change({})
    await this.queue // a change on its way counts
    if (this.go.getAttribute("aria-disabled")) return
    mark(this.go, "aria-disabled", "true")
    try {
      await this.act.load()
    } catch (error) {
      this.#refuse(error)
      mark(this.go, "aria-disabled", null)
    }
  }

  #draw() {
    const { upload } = this
    const kinds = { csv: "CSV", jsonl: "JSON lines", json: "JSON", parquet: "Parquet", mixed: "Files of several formats" }
    const encoding = ["utf-8", undefined].includes(upload.encoding) || upload.format === "parquet" ? "" : ` in ${upload.encoding}`
    say(this.facts, `${kinds[upload.format] ?? upload.format}${encoding}, ${counted(upload.columns.length, "column")}. ${counted(upload.sampled, "row")} ${upload.sampled === 1 ? "was" : "were"} looked at; nothing is kept yet. ${upload.time === null ? "All rows get the time of loading." : `The rows' time is ${upload.time.replaceAll("+", ", ")}.`}`)
    const focused = this.holder.contains(document.activeElement) ? document.activeElement.dataset.at : null
    const at = this.holder.scrollLeft
    this.holder.replaceChildren(this.#table())
    this.holder.scrollLeft = at
    if (focused) this.holder.querySelector(`[data-at="${CSS.escape(focused)}"]`)?.focus()
    this.bad.replaceChildren(...(upload.rejects?.total ? [badRows(upload.rejects)] : []))
    this.#tellMakes()
    this.act.said(this.makes.textContent)
  }

  /** Those that were times at first sight come first, and stay there: which is the rows' time is seen without scrolling. */
  #ordered() {
    const { columns } = this.upload
    this.early ??= new Set(columns.filter((column) => column.type === "time").map((column) => column.field))
    return [...columns].sort((a, b) => this.early.has(b.field) - this.early.has(a.field))
  }

  #table() {
    const { preview, time } = this.upload
    const columns = this.#ordered()
    const rows = Math.max(0, ...Object.values(preview).map((values) => values.length))
    const own = h("tr", {}, columns.map((column) => h("td", {}, this.#type(column))))
    const times = h("tr.when", {}, columns.map((column) => h("td", {}, column.type === "time" ? this.#time(column.field, "Rows' time", column.field) : null)))
    const notes = columns.some(noted) ? h("tr.remarks", {}, columns.map((column) => h("td", {}, noted(column)))) : null
    const body = Array.from({ length: rows }, (_, i) => h("tr", {}, columns.map((column) => cell(preview[column.field][i], column.type))))
    const parts = time && !columns.some((column) => column.field === time) ? [this.#time(time, `Rows' time of ${time.replaceAll("+", ", ")}`, "parts")] : []
    return h("div", {},
      h("table", {}, h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column.field))), own, times, notes), h("tbody", {}, body)),
      h("div.instead", {}, parts, this.#time(null, "No column: all rows get the time of loading", "none")))
  }

  #time(value, text, at) {
    const input = h("input", { type: "radio", name: "load-time", "data-at": `time ${at}`, change: () => this.#change({ time: value }) })
    input.checked = (this.upload.time ?? null) === value
    return h("label.choice", {}, input, text)
  }

  #type(column) {
    const extra = [column.read_as, ...column.choices].filter((each) => !TYPES.some(([value]) => value === each))
    const digits = ["integer", "number"].includes(column.type) || EPOCHS.some(([value]) => value === column.read_as) ? EPOCHS : []
    const plain = TYPES.filter(([value]) => value !== "time" || !digits.length)
    const options = [...new Map([...extra.map((each) => [each, called(each)]), ...plain, ...digits])]
    return select(options, column.read_as, (value) => this.#change({ types: { [column.field]: value } }), { "data-at": `type ${column.field}`, "aria-label": `Type of ${column.field}` })
  }

  #tellMakes() {
    const { makes, dataset } = this.upload
    const board = `${counted(makes.dimensions, "dimension")} to filter and group by, ${counted(makes.metrics, "metric")} and a board of ${counted(makes.tiles, "tile")}`
    say(this.makes, makes.new ? `Loading makes the dataset ${dataset} with ${board}.` : `The dataset ${dataset} is there: loading adds these rows to it.`)
  }
}

/** What a person should know of a column: its note, and how many values do not fit. */
function noted({ note, misfits, values, nulls }) {
  const told = [note, misfits ? `${whole(misfits)} of ${whole(values)} do not fit` : "", !values && nulls ? "" : nulls ? `${whole(nulls)} empty` : ""].filter(Boolean)
  return told.length ? h("span", { class: misfits || /no value tells/.test(note) ? "warn" : null }, told.join("; ")) : null
}

const cell = (value, type) => (value === null || value === undefined ? h("td", {}, h("span.faint", {}, format.DASH)) : h("td", { class: ["integer", "number"].includes(type) ? "n" : null, title: value.length > 40 ? value : null }, value))

function select(options, value, changed, attributes = {}) {
  const element = h("select", { ...attributes, change: () => changed(element.value) }, options.map(([each, text]) => h("option", { value: each }, text)))
  element.value = value
  return element
}

/** A type with its form in words: "Time, DD/MM/YYYY hh:mm". */
function called(read_as) {
  const [type, ...rest] = read_as.split(":")
  const form = rest.join(":")
  const known = EPOCHS.find(([value]) => value === read_as)
  if (known) return known[1]
  const name = TYPES.find(([value]) => value === type)?.[1] ?? type
  const shown = form.split("|")[0].replace(/%[a-zA-Z]/g, (token) => TOKENS[token] ?? token)
  return form ? `${name}, ${shown}` : name
}
