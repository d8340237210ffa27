"""The demo fleet: a seeded simulator of agents at work that sends through the public API.

fleet      who works there: flows, agents, tools, models, as literal tables
incidents  what goes wrong, when, and why
flows      one flow as it happens, call by call
world      the stream of all events, the same for the same seed and moment
feed       history first, then live, to a server that may be away
"""

from analytics.world.incidents import Incident
from analytics.world.world import World

__all__ = ["Incident", "World"]
