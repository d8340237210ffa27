// Explore: one line of controls that reads as a sentence, the picture it asks for, and the numbers behind it.
// The whole question is in the address; the tiles it makes are an inline board like any other.

import { chooser } from "../chooser.js"
import { h, icon, mark, say } from "../dom.js"
import * as format from "../format.js"
import { popover } from "../menus.js"
import { segments } from "../picker.js"
import { SpecSource, Stage, present } from "./inline.js"
import { numbers } from "./numbers.js"
import { pinning } from "./pin.js"
import { CHARTS, MOST_METRICS, catalogue, firstDim, groupLabel, metricTitle, presets, preview, question, sentence, tiles } from "./question.js"

const REST_MS = 120 // after a change of the question, before it is asked
const GROUPS = 500 // that are counted exactly
const NUMBERS_MS = 1000 // between two looks of the table at the charts

const OWN_NAME = /board 'explore', tile '[^']*': /g // where the server says that something is wrong; here it is plain

export async function mount(main, context) {
  const view = new Explore(main, context)
  await view.start()
  return view
}

class Explore {
  constructor(main, { scope, feed, bar, page, bokeh, restarted }) {
    Object.assign(this, { scope, feed, bar, page, restarted, turn: 0, found: null, fields: null })
    this.bar = bar
    this.words = null
    this.told = h("p.saying", { role: "status" })
    this.fault = h("div.banner", { role: "alert", hidden: true })
    this.place = h("div.stage")
    this.numbers = h("details.numbers.card", { hidden: true, toggle: () => this.#numbers(true) }, h("summary", {}, "Numbers"), h("div.holder"))
    this.sheets = numbers(this.numbers.lastElementChild)
    this.controls = h("div.builder", { role: "group", "aria-label": "What to show" })
    main.append(h("section.explore", {}, this.controls, this.fault, this.told, this.place, this.numbers))
    this.stage = new Stage(this.place, {
      scope, feed, bokeh, specs: new SpecSource(),
      data: (fields) => { this.fields = fields; bar.data(fields); restarted?.(); this.#tell(); this.#numbers() },
      status: (status) => bar.status(status),
    })
  }

  async start() {
    try {
      this.words = await catalogue()
    } catch (error) {
      return this.#failed(error.message, () => location.reload())
    }
    this.#build()
    this.scope.on((state, patch) => this.#changed(patch))
    await this.#ask()
  }

  get q() { return question(this.scope.state.args, this.words) }

  /** Put arguments into the address; what is the default stays out of it. */
  put(args) {
    this.scope.put(args)
  }

  // controls

  #build() {
    const pick = (kind, label, fill) => {
      const button = h("button.btn.asked", { type: "button" }, h("span"), h("b.caret", { "aria-hidden": "true" }))
      popover(button, { kind, label: () => label, fill })
      return button
    }
    this.metric = pick("pick-metric", "Metrics", (box, close) => this.#metrics(box, close))
    this.by = pick("pick-by", "Group by", (box, close) => this.#groups(box, close))
    this.limit = h("select", { "aria-label": "How many groups", change: () => this.put({ limit: this.limit.value }) })
    this.limits = h("label.limit", {}, "top ", this.limit)
    this.small = h("button.btn.toggle", { type: "button", "aria-pressed": "false", click: () => this.#toggleSmall() }, icon("grid"), "Small multiples")
    this.pin = pinning({ page: this.page, feed: this.feed, pinned: () => this.#pinned() })
    this.clear = h("button.btn.ghost", { type: "button", click: () => this.put({ metrics: "", by: "", chart: "", limit: "", multiples: "" }) }, "Start over")
    this.chart = h("span.charts")
    this.controls.replaceChildren(h("span.word", {}, "Show"), this.metric, h("span.word", {}, "by"), this.by, h("span.word", {}, "as"), this.chart,
      this.limits, this.small, h("span.tail", {}, this.clear, this.pin))
  }

  #show() {
    const q = this.q
    const title = (name) => { const m = this.words.metrics.get(name); return m ? metricTitle(m) : name }
    say(this.metric.firstChild, q.metrics.length ? `${title(q.metrics[0])}${q.metrics.length > 1 ? ` + ${q.metrics.length - 1}` : ""}` : "Choose a metric")
    mark(this.metric, "title", q.metrics.length > 1 ? q.metrics.map(title).join(", ") : null)
    mark(this.metric, "aria-label", `Metrics: ${q.metrics.map(title).join(", ") || "none chosen"}`)
    mark(this.metric, "data-empty", q.metrics.length ? null : "")
    const dim = q.all.find((d) => d.name === (q.by || q.lacks))
    say(this.by.firstChild, q.by ? dim?.title || q.by : "nothing")
    mark(this.by, "aria-label", `Group by ${q.by ? dim?.title || q.by : "nothing"}`)
    mark(this.by, "data-empty", q.lacks === "by" ? "" : null)
    if (this.chart.dataset.chart !== q.chart) {
      this.chart.dataset.chart = q.chart
      const had = this.chart.contains(document.activeElement)
      this.chart.replaceChildren(segments("Chart", Object.entries(CHARTS), q.chart, (chart) => this.#choose(chart)))
      if (had) this.chart.querySelector("[aria-checked=true]")?.focus()
    }
    this.limits.hidden = !q.limits || !q.by
    if (q.limits) {
      const choices = q.limits.includes(q.limit) ? q.limits : [...q.limits, q.limit].sort((a, b) => a - b)
      if (this.limit.dataset.choices !== String(choices)) this.limit.replaceChildren(...choices.map((n) => h("option", { value: n }, String(n))))
      this.limit.dataset.choices = String(choices)
      this.limit.value = String(q.limit)
    }
    const forced = q.chart === "heatmap" && Boolean(q.by)
    mark(this.small, "aria-pressed", String(q.small))
    mark(this.small, "aria-disabled", !q.split || forced || !q.dims.length ? "true" : null)
    mark(this.small, "title", !q.split ? "Bars and tables already show every group" : forced ? "A heatmap shows one group each" : null)
    const idle = !q.metrics.length
    this.clear.hidden = idle
    this.controls.classList.toggle("idle", idle)
  }

  #metrics(box, close) {
    const list = chooser({
      label: "Metrics", hint: "Search metrics", multi: true,
      find: (text) => {
        const { metrics, dataset } = this.q
        const several = new Set([...this.words.metrics.values()].map((m) => m.dataset)).size > 1
        const of = (m) => (several ? `${this.words.datasets.get(m.dataset)?.title || m.dataset} · ` : "")
        const fits = (m) => `${m.title} ${m.name} ${m.description} ${of(m)}`.toLowerCase()
        const wanted = text.toLowerCase().split(/\s+/).filter(Boolean)
        const order = [...this.words.datasets.keys()].sort((a, b) => (a === dataset ? -1 : b === dataset ? 1 : 0))
        const found = [...this.words.metrics.values()].filter((m) => wanted.every((w) => fits(m).includes(w)))
          .sort((a, b) => order.indexOf(a.dataset) - order.indexOf(b.dataset))
        return {
          options: found.map((m) => ({ key: m.name, text: metricTitle(m), more: `${of(m)}${m.description || m.name}`, n: m.unit || "number", on: metrics.includes(m.name),
            off: metrics.length >= MOST_METRICS && !metrics.includes(m.name) && m.dataset === dataset ? `${MOST_METRICS} metrics are the most` : undefined })),
          first: text ? 0 : found.findIndex((m) => metrics.includes(m.name)),
          note: found.length ? `${format.text(found.length)} metric${found.length > 1 ? "s" : ""}; choose up to ${MOST_METRICS} of one dataset` : "No metric is called that",
        }
      },
      choose: ({ key }) => { this.#metric(key); list.refresh() },
    })
    box.append(list.element, h("footer.ends", {}, h("button.btn.small", { type: "button", click: () => close() }, "Done")))
    return list.field
  }

  /** Add or remove a metric. One of another dataset begins anew, for a board of two would have no common groups. */
  #metric(name) {
    const { metrics, dataset } = this.q
    const fresh = this.words.metrics.get(name)
    const other = metrics.length && fresh.dataset !== dataset
    const kept = other ? [name] : metrics.includes(name) ? metrics.filter((m) => m !== name) : [...metrics, name]
    this.put({ metrics: kept.join(","), dataset: fresh.dataset === "events" ? "" : fresh.dataset, ...(other ? { by: "" } : {}) })
  }

  #groups(box, close) {
    const list = chooser({
      label: "Group by", hint: "Search dimensions",
      find: (text) => {
        const q = this.q
        const found = q.dims.filter((d) => `${d.title} ${d.name} ${d.description}`.toLowerCase().includes(text.toLowerCase()))
        const none = text || q.lacks === "by" ? [] : [{ key: "", text: "Nothing", more: "All rows together", on: !q.by }]
        return { options: [...none, ...found.map((d) => ({ key: d.name, text: d.title || d.name, more: d.description, on: d.name === q.by }))], first: text ? 0 : -1,
          note: q.dims.length ? (found.length ? "" : "No dimension is called that") : "This dataset has no dimensions" }
      },
      choose: ({ key }) => { this.put({ by: key, ...(key ? {} : { multiples: "" }) }); close() },
    })
    box.append(list.element)
    return list.field
  }

  #choose(chart) {
    const { by, dims } = this.q
    const needs = (chart === "bars" || chart === "table") && !by && dims.length
    this.put({ chart: chart === "line" ? "" : chart, limit: "", ...(needs ? { by: firstDim(this.q) } : {}) })
  }

  #toggleSmall() {
    if (this.small.getAttribute("aria-disabled")) return
    const q = this.q
    this.put({ multiples: q.small ? "" : "1", limit: "", ...(q.small || q.by ? {} : { by: firstDim(q) }) })
  }

  // asking and drawing

  #changed(patch) {
    this.#show()
    if (!["args", "window", "filters", "as_of", "tz"].some((part) => part in patch)) return
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.#ask(), REST_MS)
  }

  /** What stands with or without a picture: the header lives either way, but there must be one to pin it. */
  #attend() {
    this.pin.hidden = this.stage.empty || !this.q.metrics.length
    if (this.stage.empty) this.attending ??= present(this.feed, this.bar)
    else {
      this.attending?.()
      this.attending = null
    }
  }

  async #ask() {
    const turn = ++this.turn
    this.#show()
    const q = this.q
    mark(this.place, "aria-busy", "true")
    try {
      if (!q.metrics.length) return await this.#begin(q)
      if (q.lacks) return this.#lacks(q)
      this.place.querySelector(".prompt")?.remove()
      const counted = q.by && q.limit ? this.#count(q) : Promise.resolve(null)
      this.counted = counted
      const found = q.small ? await counted : null
      if (turn !== this.turn) return
      if (found) this.found = found
      const made = tiles(q, found?.values.slice(0, q.limit))
      if (q.small && !made.length) return this.#empty()
      const shown = this.stage.show(made, "Explore", "explore")
      counted.then((late) => { if (turn === this.turn) { this.found = late; this.#tell() } }, () => {})
      await shown
      if (turn !== this.turn) return
      this.fault.hidden = true
      this.presented(null)
      this.place.classList.toggle("small", q.small && this.stage.tiles[0]?.spec.metrics.length === 1)
      this.#tell()
      this.#numbers(true)
    } catch (error) {
      if (turn === this.turn) this.#failed(error.message)
    } finally {
      if (turn === this.turn) mark(this.place, "aria-busy", null)
      this.#attend()
    }
  }

  /** The groups of the first metric, biggest first, up to GROUPS of them. */
  async #count(q) {
    const { analytics } = await this.feed.question({ type: "query", metrics: q.chart === "table" ? q.metrics : [q.metrics[0]], group_by: [q.by], limit: GROUPS, ...this.scope.question() })
    const [at, first] = [q.by, q.metrics[0]].map((name) => analytics.columns.indexOf(name))
    const rows = analytics.other ? analytics.rows.slice(0, -1) : analytics.rows
    const values = rows.filter((row) => !q.small || row[first] !== null).map((row) => row[at]) // no chart for what has no value
    return { values, known: values.length, more: analytics.other }
  }

  /** Nothing is chosen yet: a few questions to begin with, each with its picture. */
  async #begin(q) {
    const offered = presets(this.words, this.words.datasets.has(this.scope.state.args.dataset) ? q.dataset : "events")
    this.found = null
    this.fault.hidden = true
    this.numbers.hidden = true
    this.place.querySelector(".prompt")?.remove()
    if (!offered.length) return this.#prompt("This dataset declares no metrics yet", "Declare some in a workspace file, and they are offered here.", [])
    await this.stage.show(offered.map((preset, i) => preview(preset, this.words, `p${i}`)), "Explore", "explore")
    this.presented(offered)
    this.#tell()
  }

  /** Make each tile of the beginning a way into its question; null takes the ways away. */
  presented(offered) {
    this.place.classList.toggle("starting", Boolean(offered))
    if (!offered) return
    this.stage.tiles.forEach((tile, i) => {
      if (tile.element.querySelector(".enter")) return
      const { title, args } = offered[i]
      tile.element.append(h("a.enter", { href: this.scope.href({ args }), "aria-label": `Explore: ${title}`, click: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return
        event.preventDefault()
        this.put({ metrics: "", by: "", chart: "", limit: "", multiples: "", ...args })
      } }))
    })
  }

  #lacks(q) {
    if (q.lacks === "bins") {
      return this.#prompt("A heatmap needs a dimension with bins", "Declare one with `log` in the workspace; this dataset has none. The other charts work.",
        [h("button.btn", { type: "button", click: () => this.#choose("line") }, "Show as lines")])
    }
    const some = q.dims.slice(0, 6)
    this.#prompt(`${CHARTS[q.chart]} compare groups`, some.length ? "Choose what to group by:" : "This dataset has no dimensions to group by.",
      some.map((d) => h("button.btn", { type: "button", click: () => this.put({ by: d.name }) }, d.title || d.name)))
  }

  #prompt(title, words, ways) {
    this.stage.clear()
    this.numbers.hidden = true
    say(this.told, "")
    this.place.querySelector(".prompt")?.remove()
    this.place.append(h("section.card.prompt", {}, h("h2", {}, title), h("p", {}, words), h("p.ways", {}, ways)))
  }

  #empty() {
    this.#prompt("No groups in this window", "Nothing that this metric counts has happened here. Try a longer time range or fewer filters.",
      [h("button.btn", { type: "button", click: () => this.scope.set({ window: "now-24h" }) }, "Last 24 hours")])
  }

  #failed(message, act = () => this.#ask()) {
    this.fault.hidden = false
    this.fault.replaceChildren(icon("warn"), h("span", {}, h("b", {}, "This cannot be drawn. "), format.sentence(message.replaceAll(OWN_NAME, ""))),
      h("button.btn", { type: "button", click: act }, "Try again"))
  }

  // words and numbers

  #tell() {
    const q = this.q
    if (!q.metrics.length) return say(this.told, this.place.classList.contains("starting") ? "Choose a metric, or start from one of these." : "")
    if (q.lacks) return
    const parts = sentence(q, { found: this.found, label: this.fields?.label ?? "", previous: this.fields?.compare ? this.fields.previous_label : "", filters: this.scope.state.filters })
    const words = parts.map((p) => p.t).join("")
    if (this.told.textContent !== words) this.told.replaceChildren(...parts.map((p) => (p.b ? h("b", {}, p.t) : p.t)))
  }

  #numbers(now = false) {
    const shown = this.q.metrics.length > 0 && !this.q.lacks && this.q.chart !== "table"
    this.numbers.hidden = !shown
    if (!shown || !this.numbers.open || (!now && performance.now() - (this.numbered ?? 0) < NUMBERS_MS)) return
    this.numbered = performance.now()
    this.sheets(this.stage.tiles, this.q.small)
  }

  /** What "Pin to board" would pin: the tiles as a workspace declares them, and a title. */
  #pinned() {
    const q = this.q
    const made = tiles(q, this.found?.values.slice(0, q.limit) ?? []).map(({ share, ...tile }) => tile)
    const title = made.length === 1 ? sentence({ ...q, limit: null }, { found: null }).map((p) => p.t).join("") : q.by ? `${metricTitle(q.declared[0])}: ${groupLabel(made[0]?.title)} …` : ""
    return { tiles: made, title }
  }
}
