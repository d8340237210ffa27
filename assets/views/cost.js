// What something cost, as its sender reported it or else estimated: an estimate is never shown as if it were reported.

import * as format from "../format.js"

/** [text, the same for who points at it]. `cost` is reported or else estimated, `cost_usd` what of it was reported. */
export function costOf({ cost, cost_usd: reported }) {
  const [text, exact] = [format.text(cost, "usd"), format.exact(cost, "usd")]
  const estimated = (cost ?? 0) - (reported ?? 0)
  if (typeof cost !== "number" || Math.abs(estimated) < 1e-9) return [text, exact]
  return [`≈ ${text}`, `${exact}\n${reported ? `${format.text(estimated, "usd")} of it is` : "It is"} estimated from the price book`]
}
