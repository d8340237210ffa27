"""Tickets, sign-ins and keys."""

from __future__ import annotations

from analytics.api.keys import KeyShown, NewKey, Rotation
from analytics.api.route import Argument, Body, Route
from analytics.api.shapes import Audited, Ticket, TicketAsk
from analytics.errors import NotFound, Overloaded, TooLarge, ValidationError

KEY_ID = Argument("id", "the key's id, as the list tells it", "", "path")


ACCESS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/api/tickets",
        group="Access",
        summary="A ticket for a page of another origin",
        doc="Your server asks for it and hands it to the page, which opens the socket without ever seeing a key. "
        "It is good for one socket, for a minute, from one origin; bound to boards, for these boards alone.",
        takes=(Body(shape=TicketAsk, examples={"ticket": {"origin": "https://shop.example", "boards": ["overview"]}}),),
        gives=(Body(shape=Ticket),),
        refusals=(ValidationError, TooLarge, Overloaded),
    ),
    Route(
        method="GET",
        path="/api/session",
        group="Access",
        summary="Whether you are signed in",
        doc="204 with a good key or sign-in, else 401.",
        scope="any",
        status=204,
    ),
    Route(
        method="GET",
        path="/api/keys",
        group="Access",
        summary="The keys there are",
        doc="Never the keys themselves.",
        scope="admin",
        gives=(Body(shape=list[KeyShown]),),
    ),
    Route(
        method="POST",
        path="/api/keys",
        group="Access",
        summary="Create a key",
        doc="The reply tells the key, once. A limited key makes no unlimited one.",
        scope="admin",
        takes=(
            Body(shape=NewKey, examples={"key": {"name": "wall screen", "scopes": ["read"], "boards": ["overview"]}}),
        ),
        status=201,
        gives=(Body(shape=KeyShown),),
        refusals=(ValidationError, TooLarge),
    ),
    Route(
        method="DELETE",
        path="/api/keys/{id}",
        group="Access",
        summary="Revoke a key",
        doc="Its sockets are closed within a second, with code 4503.",
        scope="admin",
        arguments=(KEY_ID,),
        gives=(Body(shape=KeyShown),),
        refusals=(NotFound,),
    ),
    Route(
        method="POST",
        path="/api/keys/{id}/rotate",
        group="Access",
        summary="Replace a key",
        doc="A new key with the same rights; both count until the grace is over.",
        scope="admin",
        arguments=(KEY_ID,),
        takes=(Body(shape=Rotation, examples={"a day of grace": {"grace_hours": 24}}),),
        status=201,
        gives=(Body(shape=KeyShown),),
        refusals=(ValidationError, NotFound, TooLarge),
    ),
    Route(
        method="GET",
        path="/api/keys/audit",
        group="Access",
        summary="What was done with keys",
        doc="The newest entries first.",
        scope="admin",
        arguments=(Argument("limit", "how many, 1 to 1,000", "100"),),
        gives=(Body(shape=list[Audited]),),
        refusals=(ValidationError,),
    ),
)
