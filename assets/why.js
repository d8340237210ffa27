// The way into the Why drawer: whoever asks tells it by an event, the address carries it, and the drawer itself is
// loaded when it is first needed.

import { WHY, argsOf, askWhy, explainOf, subjectIn, subjectOf } from "./why_request.js"

/** Listen for questions of why on this page. Returns {open}: whether the drawer stands. */
export function reasons({ scope, feed }) {
  const hints = {} // what came with a question and is not in the address: its title, its answer
  let drawer = null
  let shown = ""
  let opener = null
  let step = null

  const close = () => {
    // the step that opened it is taken back where nothing was changed since; otherwise there is nothing to undo
    if (step !== null && step === stamp(scope)) scope.undo()
    else scope.put(argsOf(null), { step: false })
    step = null
  }

  const sync = () => {
    const subject = subjectIn(scope.state.args)
    const now = subject ? JSON.stringify([explainOf(subject, scope), scope.state.tz]) : ""
    if (now === shown) return
    const fresh = !shown
    shown = now
    if (!subject) return drawer?.hide(opener)
    const show = () => {
      drawer.show(subject, { focus: fresh, ...hints[subject.metric] })
      delete hints[subject.metric]?.answer
    }
    if (drawer) return show()
    import("./why_drawer.js").then(({ Drawer }) => {
      drawer ??= new Drawer({ scope, feed, close })
      if (shown === now) show()
    })
  }

  document.addEventListener(WHY, ({ detail }) => {
    const subject = subjectOf(detail, scope)
    const was = shown
    hints[subject.metric] = { title: detail.title ?? hints[subject.metric]?.title, answer: detail.answer, ...(detail.quiet ? { focus: false } : {}) }
    if (!drawer?.element.contains(document.activeElement)) opener = document.activeElement
    scope.put(argsOf(subject))
    if (!was) step = stamp(scope)
    if (!detail.quiet) drawer?.focus()
  })

  scope.on((state, patch) => {
    // who chooses another range asks about that one; going back brings the range that was asked about
    if ("window" in patch && !("args" in patch) && state.args.why_from) scope.put({ why_from: "", why_to: "" }, { step: false })
    else sync()
  })
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !shown || !drawer?.mine(event.target)) return
    event.preventDefault()
    event.stopImmediatePropagation() // it closes the drawer and undoes nothing else
    close()
  })
  sync()
  return { get open() { return Boolean(shown) } }
}

/** The largest change that the page tells of, asked about. Returns false where there is none. */
export function whyOfTheLargest() {
  const button = document.querySelector(".t-changes .change .ask-why")
  if (button) { button.click(); return true }
  const tiles = [...document.querySelectorAll(".t-kpi[data-tile]")].map((element) => element.tile).filter((tile) => tile?.why && typeof tile.head?.change === "number")
  const size = ({ head }) => Math.abs(head.change) * (head.change_kind === "pp" ? 10 : 1) // as the list of changes weighs them
  const most = tiles.reduce((best, tile) => (!best || size(tile) > size(best) ? tile : best), null)
  if (most) askWhy(most.why()[0])
  return Boolean(most)
}

/** Where in the history the page stands, and with what. */
const stamp = (scope) => JSON.stringify([scope.steps?.at, scope.state])
