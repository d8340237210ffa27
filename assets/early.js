// Before the first paint: the theme of the URL, else the one chosen last, else the system's.
{
  const asked = new URLSearchParams(location.search).get("theme")
  let chosen = null
  try { chosen = localStorage.getItem("plumbline.theme") } catch { /* storage may be forbidden */ }
  const wanted = [asked, chosen].find((t) => t === "light" || t === "dark")
  document.documentElement.dataset.theme = wanted ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")
}
