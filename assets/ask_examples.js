// Questions that this workspace can answer, to begin with.

import { lowered } from "./why_words.js"

/** At most six, about what the page shows first; [] where nothing is declared. */
export function examples(words, page) {
  const here = [...document.querySelectorAll("[data-tile]")].flatMap((element) => element.tile?.spec.metrics.map((m) => m.name) ?? [])
  const known = [...new Set([...here, ...words.metrics.keys()])].map((name) => words.metrics.get(name)).filter(Boolean)
  if (!known.length) return []
  const { dataset } = known[0]
  const metrics = known.filter((m) => m.dataset === dataset)
  const dims = words.dims(dataset).filter((d) => !d.log)
  const preferred = ["agent", "tool", "model"].map((name) => dims.find((d) => d.name === name)).filter(Boolean)
  const [by, other = by] = preferred.length ? preferred : dims
  const name = (i) => lowered(metrics[i % metrics.length].title)
  return [
    by && `${name(2)} by ${lowered(by.title || by.name)} since yesterday`,
    `why did ${name(3)} change?`,
    `compare ${name(0)} with last week`,
    `${name(4)} over time today`,
    other && `top 5 ${lowered(other.title || other.name)}s by ${name(0)}`,
  ].filter(Boolean)
}
