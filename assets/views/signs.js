// What stands for a kind of span and for a status: an icon, a colour role and a word.

import { h, icon, svg } from "../dom.js"

export const KINDS = {
  flow: { word: "flow", role: "c5", path: "M2.5 2.5h4v4h-4zM9.5 9.5h4v4h-4zM6.5 4.5h5v5" },
  agent: { word: "agent", role: "c1", path: "M8 2.2a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2M2.8 13.8c.4-2.9 2.4-4.3 5.2-4.3s4.8 1.4 5.2 4.3" },
  tool: { word: "tool call", role: "c2", path: "M10.9 2.2a3.3 3.3 0 0 0-3.6 4.5L2.3 11.7a1.4 1.4 0 0 0 2 2l5-5a3.3 3.3 0 0 0 4.5-3.6l-2 2-2.2-.7-.7-2.2z" },
  model: { word: "model call", role: "c3", path: "M8 1.8l1.5 4.7L14.2 8l-4.7 1.5L8 14.2 6.5 9.5 1.8 8l4.7-1.5z" },
  log: { word: "log record", role: "c4", path: "M3 4h10M3 8h10M3 12h6" },
  resource: { word: "reading", role: "c4", path: "M2 13.5h12M4 13V8M8 13V3M12 13V6" },
  event: { word: "event", role: "c4", path: "M4 14V2.5h8l-2 3 2 3H4" },
}

export const kindOf = (name) => KINDS[name] ?? KINDS.event

export const outside = "M6.5 3h-4v10.5H13v-4M9 2.5h4.5V7M13.2 2.8L7.5 8.5"

export const glyph = (path) => svg("svg.icon", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }))

/** The icon of a kind in its colour; the word beside it is for who does not see it. */
export const kindSign = (name) => h("span.kind", { style: `color:var(--${kindOf(name).role})` }, glyph(kindOf(name).path), h("span.visually-hidden", {}, `${kindOf(name).word} `))

const STATUSES = { ok: ["check", "good"], error: ["warn", "bad"] }

/** Icon and word; a flow without a status has not ended yet. */
export function statusSign(status) {
  const [sign, tone] = STATUSES[status] ?? ["clock", "none"]
  return h("span", { class: `status ${tone}` }, icon(sign), h("span.word", {}, status ?? "running"))
}
