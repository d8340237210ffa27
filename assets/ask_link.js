// The ask box of pages without a feed: `/` goes to it, Enter to the page that answers.

import { asking } from "./ask.js"

const form = document.querySelector(".ask")
asking(form)
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog, [contenteditable], [role=menu]")) return
  event.preventDefault()
  form.querySelector(".ask-open").click()
})
