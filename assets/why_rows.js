// The evidence for a cause: the flows it is made of, or of a dataset without flows its newest rows.

import { h, say } from "./dom.js"
import * as format from "./format.js"
import { grid, heading } from "./grid.js"
import { dialog } from "./menus.js"
import { Scope } from "./scope.js"
import * as times from "./times.js"

const MOST = 50

/** A link to the flows that `filters` keep, or a button that shows rows. */
export function evidence(filters, { dataset, window }, { scope, feed, subject }) {
  const kept = [...filters, ...subject.where]
  const range = subject.window ? times.pinned(Date.parse(window.from), Date.parse(window.to)) : scope.state.window
  if ((dataset ?? "events") === "events") return h("a.btn.small", { href: scope.href({ filters: kept, window: range, args: {} }, "/flows") }, "Show flows")
  const question = { type: "rows", dataset, limit: MOST, ...new Scope({ ...scope.state, window: range, filters: kept }).question() }
  return h("button.btn.small", { type: "button", click: () => show(question, feed) }, "Show rows")
}

async function show(question, feed) {
  const note = h("p.note", { role: "status" }, "Reading …")
  const holder = h("div.why-rows", {}, note)
  dialog(`Rows of ${question.dataset}`, holder)
  try {
    const { analytics: { columns, rows, next } } = await feed.question(question)
    const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"))
    const write = grid(holder, `Rows of ${question.dataset}`)
    write(columns.map((name, i) => ({ name: i, title: heading(name), number: numeric[i] })), rows.map((_, i) => `row ${i}`),
      (cell, field, i) => say(cell, rows[i][field.name] === null ? format.DASH : String(rows[i][field.name])))
    say(note, next ? `The newest ${rows.length} rows` : `${rows.length} row${rows.length === 1 ? "" : "s"}`)
  } catch (error) {
    say(note, format.sentence(error.message))
  }
}
