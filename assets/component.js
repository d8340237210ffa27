// The session's side of a page's board: dashboard/board.py imports `adopt` and hands over its model.

/** The board stands already; its scope is tied to the session, both ways. */
export async function adopt(model) {
  const { scope } = await globalThis.Plumbline.page
  tied(model, scope)
}

/** Let `model.scope` follow a scope, and the scope the model. */
export function tied(model, scope) {
  const tie = () => { if (JSON.stringify(model.scope) !== JSON.stringify(scope.state)) model.scope = { ...scope.state } }
  scope.on(tie)
  model.on("scope", () => scope.set(model.scope, { step: false }))
  tie()
}
