"""Boards without a server behind them: our modules, style and font as text, and a page that holds it all."""

from __future__ import annotations

import base64
import functools
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from dashboard import theme
from dashboard.assets import vendor_files

ASSETS = Path(__file__).resolve().parent.parent / "assets"
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*"\./([\w./-]+)\"""")


@functools.cache
def modules() -> dict[str, str]:
    """The modules that component.js needs, by name, in the order in which they can be made."""
    found: dict[str, str] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other in a circle: {' > '.join((*above, name))}")
        text = (ASSETS / name).read_text("utf-8")
        for other in dict.fromkeys(IMPORT.findall(text)):
            if other not in found:
                visit(other, (*above, name))
        found[name] = text

    visit("component.js", ())
    return found


@functools.cache
def style() -> str:
    """Our style sheet, the colours first, without its font (which a shadow root would not load)."""
    sheets = [ASSETS / "app.css", *sorted((ASSETS / "css").glob("*.css"))]
    text = "\n".join([theme.css(), *(sheet.read_text("utf-8") for sheet in sheets)])
    return re.sub(r"@font-face\s*\{[^}]*\}", "", text)


@functools.cache
def font() -> str:
    return base64.b64encode((ASSETS / "fonts/inter.woff2").read_bytes()).decode()


def page(spec: dict[str, Any], state: dict[str, Any], scope: dict[str, Any]) -> str:
    """A whole HTML page: a board with its numbers, as of when they were taken. Opens from a disk, asks nobody."""
    bokeh = vendor_files()["bokeh.min.js"].read_text("utf-8")
    held = {"spec": spec, "state": state, "scope": scope | {"paused": True}, "modules": modules()}
    data = json.dumps(held, allow_nan=False).replace("<", "\\u003c")
    title = str(state.get("title") or spec.get("title") or "Board")
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="{escape(str(spec.get("theme", "light")))}">
<head>
<meta charset="utf-8">
<title>{escape(title)} · Plumbline</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
@font-face {{ font-family: Inter; src: url("data:font/woff2;base64,{font()}") format("woff2"); font-weight: 100 900 }}
{style()}
</style>
</head>
<body class="saved">
<header class="top"><strong class="logo">{escape(title)}</strong><p class="as-of" id="as-of"></p></header>
<main id="board"></main>
<footer><span>Saved from Plumbline. Nothing here is live.</span></footer>
<script type="application/json" id="held">{data}</script>
<script>{bokeh.replace("</script", "<" + chr(92) + "/script")}</script>
<script>
const held = JSON.parse(document.getElementById("held").textContent)
const blobs = new Map()
const made = (name) => {{
  if (!blobs.has(name)) {{
    const imported = /((?:from|import)\\s*\\(?\\s*)"\\.\\/([\\w./-]+)"/g
    const text = held.modules[name].replace(imported, (_, head, other) => `${{head}}"${{made(other)}}"`)
    blobs.set(name, URL.createObjectURL(new Blob([text], {{ type: "text/javascript" }})))
  }}
  return blobs.get(name)
}}
const [board, asOf] = ["board", "as-of"].map((id) => document.getElementById(id))
import(made("component.js")).then(({{ still }}) => still(board, held, asOf))
</script>
</body>
</html>
"""
