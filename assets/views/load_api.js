// The calls of the page that loads data. An error is for people; its `status` is 0 where nobody answered.

import * as format from "../format.js"

export async function call(path, method = "GET", body) {
  let reply
  try {
    reply = await fetch(path, { method, body: body && JSON.stringify(body), headers: body ? { "Content-Type": "application/json" } : {} })
  } catch {
    throw fault(0, {})
  }
  const found = await reply.json().catch(() => ({}))
  if (!reply.ok) throw fault(reply.status, found)
  return found
}

/** Send a file as a body, and hear how much of it is sent; `fetch` cannot tell that. */
export function sent(url, file, sending, heard) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest()
    sending.request = request
    request.upload.onprogress = (event) => heard(event.loaded)
    request.onload = () => {
      let found = {}
      try { found = JSON.parse(request.responseText) } catch { /* no answer of ours */ }
      if (request.status < 300) done(found)
      else failed(fault(request.status, found))
    }
    request.onerror = request.onabort = () => failed(fault(0, {}))
    request.open("POST", url)
    request.setRequestHeader("Content-Type", "application/octet-stream")
    request.send(file)
  })
}

function fault(status, { detail, title, hint }) {
  if (status === 401) [detail, hint] = ["You are signed out", "sign in again"]
  const words = status ? [detail ?? title ?? `The server answered ${status}`, hint] : ["The server does not answer"]
  return Object.assign(new Error(words.filter(Boolean).map(format.sentence).join(" ")), { status })
}
