"""The Python client: `Client` for programs, `AsyncClient` for asyncio. Needs no other part of Plumbline.

policy, topics and core decide and do no IO; aio reads and writes for them; sync is aio on a thread of its own.
"""

from analytics.client.aio import AsyncClient
from analytics.client.core import State
from analytics.client.faults import Unreachable
from analytics.client.results import Accepted, Drop, Result, Update, apply_frame
from analytics.client.sender import Report, Sender
from analytics.client.streams import Subscription
from analytics.client.sync import Client
from analytics.messages import AgentAnalytics, BoardRequest, FlowAnalytics, Flows, QueryRequest, ResourceAnalytics, Rows
from analytics.query import Filter, Window

__all__ = [
    "Accepted",
    "AgentAnalytics",
    "AsyncClient",
    "BoardRequest",
    "Client",
    "Drop",
    "Filter",
    "FlowAnalytics",
    "Flows",
    "QueryRequest",
    "Report",
    "ResourceAnalytics",
    "Result",
    "Rows",
    "Sender",
    "State",
    "Subscription",
    "Unreachable",
    "Update",
    "Window",
    "apply_frame",
]
