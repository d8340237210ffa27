// Before anything else: the ticket goes out of the address, and the theme is the one that the frame was asked for.
{
  globalThis.Plumbline = { ticket: new URLSearchParams(location.hash.slice(1)).get("ticket") }
  if (location.hash) history.replaceState(null, "", location.pathname + location.search)
  const asked = new URLSearchParams(location.search).get("theme")
  const dark = asked === "dark" || (asked !== "light" && matchMedia("(prefers-color-scheme: dark)").matches)
  document.documentElement.dataset.theme = dark ? "dark" : "light"
}
