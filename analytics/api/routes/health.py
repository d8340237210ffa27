"""How the server does, and who is connected."""

from __future__ import annotations

from analytics.api.route import Argument, Body, Route
from analytics.api.shapes import Alive, Connection, Connections, Ready
from analytics.errors import NotFound, ValidationError

PARTS = {"store": {"ok": True, "reason": "answered in 2 ms"}}
CONN = Argument("conn", "the connection's name, as the list tells it", "", "path")


HEALTH: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/healthz",
        group="Health",
        summary="Whether the process is alive",
        doc="Open to everyone; says nothing else.",
        scope=None,
        gives=(Body(shape=Alive, examples={"alive": {"status": "ok"}}),),
    ),
    Route(
        method="GET",
        path="/readyz",
        group="Health",
        summary="Whether the server is able to answer",
        doc="Store, writer, live boards, disk and workspace, each with its reason. Open to everyone.",
        scope=None,
        gives=(Body(shape=Ready, examples={"ready": {"status": "ready", "parts": PARTS}}),),
        otherwise={503: "some part is not ok"},
    ),
    Route(
        method="GET",
        path="/metrics",
        group="Health",
        summary="Plumbline's own figures",
        doc="For scrapers, in the Prometheus text format. Open to everyone; names no key, no address and no path.",
        scope=None,
        gives=(Body(media="text/plain"),),
    ),
    Route(
        method="GET",
        path="/api/connections",
        group="Health",
        summary="Who is connected",
        scope="admin",
        doc="Every open socket with its subscriptions, how far it is behind and when it was last heard.",
        arguments=(Argument("limit", "how many at most, up to 10,000; 1,000 unless told", ""),),
        refusals=(ValidationError,),
        gives=(Body(shape=Connections),),
    ),
    Route(
        method="GET",
        path="/api/connections/{conn}",
        group="Health",
        summary="One connection",
        doc="The same, of one socket.",
        scope="admin",
        arguments=(CONN,),
        gives=(Body(shape=Connection),),
        refusals=(NotFound,),
    ),
    Route(
        method="DELETE",
        path="/api/connections/{conn}",
        group="Health",
        summary="Close a connection",
        doc="It is closed with code 4000; its client comes back.",
        scope="admin",
        arguments=(CONN,),
        status=204,
        refusals=(NotFound,),
    ),
)
