"""Screens on walls: what an admin does with them, and what they do themselves."""

from __future__ import annotations

from typing import Any, Literal

from analytics.api.route import Argument, Body, Route
from analytics.api.screens import Pairing, PairingCode, Pulse, ScreenShown
from analytics.errors import NotFound, Overloaded, TooLarge, Unauthorized, ValidationError
from analytics.screens import Beat, Plan

SCREEN_ID = Argument("id", "the screen's id, as the list tells it", "", "path")
PLAN = {"name": "Lobby 2", "playlist": [{"board": "overview", "seconds": 30}, {"board": "resources", "seconds": 20}]}
BEAT = {"revision": 1, "board": "overview", "state": "live", "frame_age_s": 0.4, "viewport": [1920, 1080]}
PULSE = {"revision": 1, "version": "5c1e07-3.9.2", "flash": False, "at": 1767700800300}


def screens(method: Literal["GET", "POST", "PUT", "DELETE"], path: str, summary: str, doc: str, **more: Any) -> Route:
    """What an admin does with screens on walls."""
    path = f"/api/screens{path}"
    return Route(method=method, path=path, group="Walls", scope="admin", summary=summary, doc=doc, **more)


def wall(method: Literal["GET", "POST", "PUT"], path: str, summary: str, doc: str, **more: Any) -> Route:
    """What a screen does: with its own cookie, or with none before it is paired."""
    path = f"/api/wall/{path}"
    return Route(method=method, path=path, group="Walls", scope=None, summary=summary, doc=doc, **more)


WALLS: tuple[Route, ...] = (
    screens(
        "GET",
        "",
        "The screens there are",
        "With what each plays and what it last said of itself.",
        gives=(Body(shape=list[ScreenShown]),),
    ),
    screens(
        "POST",
        "",
        "Pair a screen",
        "By the code that it shows. It reads the boards of its playlist and nothing else.",
        takes=(Body(shape=Pairing, examples={"pairing": PLAN | {"code": "K7WTX2"}}),),
        status=201,
        gives=(Body(shape=ScreenShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    screens(
        "PUT",
        "/{id}",
        "Change what a screen plays",
        "It plays it within two seconds, without loading anew. What it may read follows.",
        arguments=(SCREEN_ID,),
        takes=(Body(shape=Plan, examples={"plan": PLAN}),),
        gives=(Body(shape=ScreenShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    screens(
        "DELETE",
        "/{id}",
        "Revoke a screen",
        "Its socket is closed at once, with code 4503, and within two seconds it shows a pairing code.",
        arguments=(SCREEN_ID,),
        status=204,
        refusals=(NotFound,),
    ),
    screens(
        "POST",
        "/{id}/flash",
        "Make a screen show itself",
        "It shows its name for some seconds, within two.",
        arguments=(SCREEN_ID,),
        status=204,
        refusals=(NotFound,),
    ),
    screens(
        "GET",
        "/{id}/picture",
        "What a screen showed",
        "A small picture, up to a minute old.",
        arguments=(SCREEN_ID,),
        gives=(Body(media="image/jpeg"), Body(media="image/png")),
        refusals=(NotFound,),
    ),
    wall(
        "POST",
        "pairing",
        "A code to show",
        "Open to everyone, from pages of this server; it gives nothing but a code. It counts for ten minutes.",
        status=201,
        gives=(Body(shape=PairingCode),),
        refusals=(Unauthorized, Overloaded),
    ),
    wall(
        "GET",
        "pairing",
        "Whether the code was typed",
        "With the secret in the header `X-Pairing`. Once it was, the reply sets the screen's cookie, once.",
        gives=(Body(shape=dict[str, bool]),),
        otherwise={202: "not yet"},
        refusals=(Unauthorized, NotFound),
    ),
    wall(
        "POST",
        "beat",
        "A screen's sign of life",
        "Needs the screen's cookie. 401 says that it was revoked.",
        takes=(Body(shape=Beat, examples={"beat": BEAT}),),
        gives=(Body(shape=Pulse, examples={"pulse": PULSE}),),
        refusals=(ValidationError, Unauthorized, TooLarge),
    ),
    wall(
        "PUT",
        "picture",
        "What a screen shows",
        "Needs the screen's cookie. A PNG or JPEG of at most 200 KB.",
        takes=(Body(media="image/jpeg"), Body(media="image/png")),
        status=204,
        refusals=(ValidationError, Unauthorized, TooLarge),
    ),
)
