"""Colours and type, once. The style sheet, the figures and the pages all read them here.

The six series colours are the Okabe-Ito set, told apart under all common kinds of colour blindness.
Text roles keep at least 4.5:1 against both `bg` and `card`; tests/unit/test_charts.py measures it.
"""

from __future__ import annotations

FONT = "Inter, system-ui, sans-serif"

SERIES = ("c1", "c2", "c3", "c4", "c5", "c6")

PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "bg": "#f6f7f9",
        "card": "#ffffff",
        "ink": "#12161c",
        "dim": "#556070",
        "faint": "#657182",
        "line": "#e3e7ec",
        "grid": "#eef1f4",
        "ghost": "#a3adba",
        "hatch": "#d5dbe2",
        "accent": "#0072b2",
        "good": "#00795a",
        "bad": "#c2410c",
        "warn": "#8f5a06",
        "shadow": "#1b2733",
        "c1": "#0072b2",
        "c2": "#e69f00",
        "c3": "#009e73",
        "c4": "#cc79a7",
        "c5": "#56b4e9",
        "c6": "#d55e00",
    },
    "dark": {
        "bg": "#0d1117",
        "card": "#151b23",
        "ink": "#e9eef5",
        "dim": "#9aa7b5",
        "faint": "#8491a0",
        "line": "#242c37",
        "grid": "#1c232d",
        "ghost": "#566372",
        "hatch": "#2c3643",
        "accent": "#56b4e9",
        "good": "#3fca9c",
        "bad": "#ff8a5c",
        "warn": "#f0c14b",
        "shadow": "#000000",
        "c1": "#56b4e9",
        "c2": "#e69f00",
        "c3": "#19b48a",
        "c4": "#cc79a7",
        "c5": "#9bd3f5",
        "c6": "#e8702a",
    },
}

THEMES = tuple(PALETTES)


def css() -> str:
    """The custom properties of both themes; `:host` serves boards inside a shadow root."""

    def block(name: str) -> str:
        return ";".join([f"color-scheme:{name}", *(f"--{role}:{value}" for role, value in PALETTES[name].items())])

    return (
        f":root,:host,.plumbline{{--font:{FONT};--r:10px;{block('light')}}}\n"
        f'[data-theme="dark"],[data-theme="dark"] .plumbline{{{block("dark")}}}\n'
    )
