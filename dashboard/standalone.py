"""Boards without a server behind them: our modules, style and font as text, and a page that holds it all."""

from __future__ import annotations

import base64
import functools
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dashboard import theme
from dashboard.assets import vendor_files

ASSETS = Path(__file__).resolve().parent.parent / "assets"
# Sheets of css/ that dress pages; all others dress a board, wherever it stands
PAGES = {"ask", "compare", "embed", "explore", "flows", "ledger", "load", "nav", "screens", "sources", "why"}
SHEETS = sorted({sheet.stem for sheet in ASSETS.glob("css/*.css")} - PAGES, key=lambda name: (name == "cell", name))
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*"\./([\w./-]+)\"""")
MADE = """
const blobs = new Map()
// The modules came as text: each becomes a module of its own, after those it imports.
function made(name, modules) {
  if (!blobs.has(name)) {
    const imported = /((?:from|import)\\s*\\(?\\s*)"\\.\\/([\\w./-]+)"/g
    const text = modules[name].replace(imported, (_, head, other) => `${head}"${made(other, modules)}"`)
    blobs.set(name, URL.createObjectURL(new Blob([text], { type: "text/javascript" })))
  }
  return blobs.get(name)
}
"""


@functools.cache
def modules(root: str) -> dict[str, str]:
    """The modules that `root` needs and itself, by name, in the order in which they can be made."""
    found: dict[str, str] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other in a circle: {' > '.join((*above, name))}")
        text = (ASSETS / name).read_text("utf-8")
        for other in dict.fromkeys(IMPORT.findall(text)):
            if other not in found:
                visit(other, (*above, name))
        found[name] = text

    visit(root, ())
    return found


@functools.cache
def style() -> str:
    """Our style sheet for a part of a page: the colours first, without its font, which a shadow root would not load,
    and with the width that counts being that of the board."""
    return re.sub(r"@media \((max|min)-width", r"@container (\1-width", _style())


def _style() -> str:
    sheets = [ASSETS / "app.css", *(ASSETS / "css" / f"{name}.css" for name in SHEETS)]
    text = "\n".join([theme.css(), *(sheet.read_text("utf-8") for sheet in sheets)])
    return re.sub(r"@font-face\s*\{[^}]*\}", "", text)


@functools.cache
def font() -> str:
    return base64.b64encode((ASSETS / "fonts/inter.woff2").read_bytes()).decode()


def page(spec: dict[str, Any], state: dict[str, Any], scope: dict[str, Any]) -> str:
    """A whole HTML page: a board with its numbers, as of when they were taken. Opens from a disk, asks nobody."""
    held = {"spec": spec, "state": state, "scope": scope | {"paused": True}, "modules": modules("saved.js")}
    bokeh = vendor_files()["bokeh.min.js"].read_text("utf-8")
    pages = Environment(loader=FileSystemLoader(ASSETS / "templates"), autoescape=True, undefined=StrictUndefined)
    return pages.get_template("saved.html").render(
        title=str(state.get("title") or spec.get("title") or "Board"),
        theme=scope.get("theme") or "light",
        font=font(),
        style=Markup(_style()),
        bokeh=Markup(bokeh.replace("</script", r"<\/script")),
        made=Markup(MADE),
        held=Markup(json.dumps(held, allow_nan=False).replace("<", r"\u003c")),
    )
