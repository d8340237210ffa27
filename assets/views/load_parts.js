// Pieces of the page that loads data: the meter, the list of bad rows, and counts in words.

import { h } from "../dom.js"
import * as format from "../format.js"

/** A bar with its numbers in words. */
export class Meter {
  constructor() {
    this.fill = h("i", {})
    this.bar = h("div.meter", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, this.fill)
    this.words = h("p.numbers", {}, "\u00a0")
    this.element = h("div", {}, this.bar, this.words)
    this.started = performance.now()
  }

  #set(done, total, words) {
    const percent = total ? Math.min(100, (100 * done) / total) : 0
    this.fill.style.width = `${percent}%`
    this.bar.setAttribute("aria-valuenow", String(Math.round(percent)))
    this.bar.setAttribute("aria-valuetext", words.join(", "))
    this.words.replaceChildren(...words.map((word) => h("span", {}, word)))
  }

  bytes(done, total) {
    const seconds = (performance.now() - this.started) / 1000
    const rate = done / Math.max(seconds, 0.001)
    const left = seconds > 1 && rate ? [`${took((total - done) / rate)} left`] : []
    this.#set(done, total, [`${size(done)} of ${size(total)}`, ...(seconds > 1 ? [`${size(rate)}/s`] : []), ...left])
  }

  rows({ stage, done, total, rows, rate, remaining_s: left }) {
    const words = stage === "loading" ? [counted(rows, "row"), ...(rate ? [`${whole(Math.round(rate))} rows/s`] : [])] : ["Checking the files"]
    this.#set(done, total, [...words, ...(left === null ? [] : [`${took(left)} left`])])
  }
}

/** Counts by reason, the first ones, and where to get them all. */
export function badRows(rejects, url) {
  const several = new Set(rejects.first.map((r) => r.file)).size > 1
  return h("details.bad-rows", { open: rejects.total <= 5 },
    h("summary", {}, h("b", {}, `${counted(rejects.total, "row")} ${url ? "not kept:" : "cannot be kept:"}`), ` ${rejects.reasons.map((r) => `${whole(r.count)} ${REASONS[r.reason] ?? r.reason}`).join(", ")}`),
    h("div.wide", {}, h("table", {}, h("thead", {}, h("tr", {}, [several ? "File" : null, "Line", "Why", "The row"].filter(Boolean).map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rejects.first.map((r) => h("tr", {}, several && h("td", {}, r.file), h("td.n", {}, whole(r.line)), h("td", {}, format.sentence(r.expected)), h("td", {}, h("code", {}, r.raw))))))),
    url && h("p.row", {}, h("a.btn.small", { href: url, download: "" }, "Download all of them as CSV")))
}

const REASONS = {
  bad_fields: "with too many or too few fields", open_quote: "with an open quotation mark", bad_encoding: "in another encoding", not_json: "that are no JSON",
  not_an_object: "that are no objects", bad_type: "with a value of another type", bad_time: "with a time that does not read", no_time: "without a time", too_large: "that are too long",
}

export const whole = (count) => count.toLocaleString("en-US")
export const counted = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`
export const took = (seconds) => (seconds < 1 ? "a moment" : format.age(seconds))

function size(bytes) {
  const unit = ["B", "kB", "MB", "GB"].findIndex((_, i, all) => bytes < 1000 ** (i + 1) || i === all.length - 1)
  const value = bytes / 1000 ** unit
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${["B", "kB", "MB", "GB"][unit]}`
}
