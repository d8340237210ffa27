"""Every HTTP route as literal tables: what it takes, what it gives, what it may refuse.

A test holds them against `App.routes()`, so that neither knows an address that the other does not.
"""

from __future__ import annotations

from analytics.api.route import Route
from analytics.api.routes.access import ACCESS
from analytics.api.routes.ask import ASK
from analytics.api.routes.catalogue import CATALOGUE
from analytics.api.routes.health import HEALTH
from analytics.api.routes.send import SEND
from analytics.api.routes.walls import WALLS

ROUTES: tuple[Route, ...] = (*ASK, *SEND, *CATALOGUE, *ACCESS, *WALLS, *HEALTH)
