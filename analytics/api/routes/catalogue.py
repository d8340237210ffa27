"""What is declared, as lists and as documents, and what may be changed of it."""

from __future__ import annotations

from typing import Any

from analytics.api.route import Argument, Body, Route
from analytics.errors import Conflict, NotFound, TooLarge, ValidationError
from analytics.pins import Pinned, Unpinned
from analytics.workspace import Board, Dataset, Dimension, Metric

BOARD = Argument("board", "the board's name", "overview", "path")


def declared(what: str, shape: Any) -> Route:
    """One list of the catalogue."""
    return Route(
        method="GET",
        path=f"/api/{what}",
        group="Look up",
        summary=f"The {what} there are",
        doc=f"Every one of the workspace's {what} that the key may see.",
        gives=(Body(shape=list[shape]),),
    )


def document(name: str, title: str, what: str) -> Route:
    """One of the documents made from this table and the message classes."""
    return Route(
        method="GET",
        path=f"/api/{name}.json",
        group="Look up",
        summary=f"This API as {title}",
        doc=f"{what}, for code generators and other tools.",
        scope="any",
        gives=(Body(shape=dict[str, Any]),),
    )


CATALOGUE: tuple[Route, ...] = (
    declared("datasets", Dataset),
    declared("dimensions", Dimension),
    declared("metrics", Metric),
    declared("boards", Board),
    document("openapi", "OpenAPI 3.1", "The HTTP routes"),
    document("asyncapi", "AsyncAPI 3.0", "The WebSocket and its messages"),
    Route(
        method="POST",
        path="/api/boards/{board}/tiles",
        group="Change",
        summary="Pin a tile to a board",
        doc="The tile is written as in a workspace file, and into the file that declares the board; a built-in board "
        "is copied to the data directory first, one that does not exist is made there. Nothing is written unless the "
        "whole workspace holds.",
        scope="admin",
        arguments=(
            BOARD,
            Argument("at", "its place among the tiles, from 0; the last unless told", ""),
            Argument("title", "of a board that is made", ""),
        ),
        takes=(Body(shape=dict[str, Any], examples={"tile": {"type": "kpi", "metric": "errors"}}),),
        status=201,
        gives=(Body(shape=Pinned),),
        refusals=(ValidationError, Conflict, TooLarge),
    ),
    Route(
        method="DELETE",
        path="/api/boards/{board}/tiles/{tile}",
        group="Change",
        summary="Take a tile off a board",
        doc="The reply has the tile and its place: pin it there again to undo this.",
        scope="admin",
        arguments=(BOARD, Argument("tile", "the tile's id", "errors", "path")),
        gives=(Body(shape=Unpinned),),
        refusals=(NotFound, Conflict),
    ),
)
