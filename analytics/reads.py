"""Which datasets a request reads, also where it names none: what the limit of a key is held against."""

from __future__ import annotations

from collections.abc import Iterable

from analytics import agent, inline
from analytics.errors import NotFound
from analytics.messages import (
    AgentAnalytics,
    BoardRequest,
    Explain,
    FlowAnalytics,
    FlowDetail,
    Flows,
    Forecast,
    LedgerRequest,
    QueryRequest,
    Question,
    ResourceAnalytics,
    Rows,
    SourcesRequest,
    Values,
)
from analytics.query import ROWS
from analytics.workspace import Board, Workspace

EVENTS = "events"


def read_by(request: Question, workspace: Workspace) -> frozenset[str]:
    """The datasets behind the names of a request. A name that nobody declared reads nothing, and a question in words
    only what it is understood as, which is a request of its own. Raises ValidationError for tiles that do not hold."""
    match request:
        case FlowAnalytics():
            return _behind((ROWS, *agent.FLOW_METRICS), None, workspace)
        case AgentAnalytics():
            return _behind((ROWS, *agent.AGENT_METRICS), None, workspace)
        case ResourceAnalytics():
            return _behind((ROWS, *agent.RESOURCE_METRICS, *agent.READING_METRICS), None, workspace)
        case Flows() | FlowDetail() | LedgerRequest():
            return frozenset({EVENTS})
        case QueryRequest():
            return _behind(request.metrics, request.dataset, workspace)
        case Explain() | Forecast():
            return _behind([request.metric], request.dataset, workspace)
        case Values():
            dimension = workspace.dimension(request.dim, request.dataset)
            return frozenset({request.dataset or (dimension.dataset if dimension else EVENTS)})
        case Rows() | SourcesRequest():
            return frozenset({request.dataset})
        case BoardRequest(tiles=None):
            return shown_on(workspace.boards.get(request.board), workspace)
        case BoardRequest():
            return shown_on(inline.board(request.board, request.tiles or [], workspace), workspace)
    return frozenset()


def shown_on(board: Board | None, workspace: Workspace) -> frozenset[str]:
    """The datasets of the tiles of a board."""
    tiles = board.tiles if board else ()
    found = (_behind([*tile.metrics, *([tile.spark] if tile.spark else [])], tile.dataset, workspace) for tile in tiles)
    return frozenset().union(*found)


def _behind(metrics: Iterable[str], dataset: str | None, workspace: Workspace) -> frozenset[str]:
    """Datasets of metrics, and the one in which their names are looked up."""
    found = {dataset} if dataset is not None else set()
    for name in metrics:
        try:
            found.add((dataset or EVENTS) if name == ROWS else workspace.metric(name, dataset).dataset)
        except NotFound:
            continue  # the answer says so
    return frozenset(found)
