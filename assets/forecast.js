// When a number comes to its limit, as tiles say it.

import { mark, say } from "./dom.js"
import * as format from "./format.js"

/** When a number comes to its limit, in one line. */
export function foretell(line, forecast, board) {
  line.hidden = !forecast
  if (!forecast) return
  say(line, forecast.text)
  mark(line, "data-near", forecast.at === null ? null : "")
  const when = (t) => `${format.clock(t, board.tz, "day")} ${format.clock(t, board.tz)}`
  mark(line, "data-tip", [
    forecast.at !== null && `At this pace ${when(forecast.at)}`,
    forecast.earliest !== null && `Earliest ${when(forecast.earliest)}`,
    forecast.latest !== null && `Latest ${when(forecast.latest)}`,
    forecast.reason ? `${forecast.reason[0].toUpperCase()}${forecast.reason.slice(1)}` : "The interval holds 95 of 100 times",
  ].filter(Boolean).join("\n"))
}
