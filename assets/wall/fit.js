// Words that are too wide for their place are set smaller; a wall cuts no number.

const STEP = 0.04 // changes of size smaller than this are not worth a layout

/** Fit what a tile shows into it: a number, or the columns of a table. */
export function fit(tile) {
  const body = tile.querySelector(".body")
  const words = body.querySelector(".value, table")
  if (!words || !body.clientWidth) return
  const before = Number(words.style.getPropertyValue("--fit")) || 1
  const fits = Math.min(1, (before * body.clientWidth) / words.scrollWidth)
  // a table that fits is as wide as its place, so how far it could grow is not known until it is shown anew
  const now = words.matches("table") && fits >= before ? before : Math.floor(fits / STEP) * STEP
  if (Math.abs(now - before) >= STEP - 1e-9) words.style.setProperty("--fit", now.toFixed(2))
}

/** Forget it: other words may have come. */
export function unfit(tile) {
  for (const words of tile.querySelectorAll(".value, table")) words.style.removeProperty("--fit")
}
