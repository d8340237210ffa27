"""The question set: reads it, asks the grammar, and scores what came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from ruamel.yaml import YAML

from analytics import window as windows
from analytics.language.grammar import Grammar, Understood
from analytics.language.meaning import Asked
from analytics.language.names import Names
from analytics.messages import Question, from_builtins, tag
from analytics.workspace import Workspace, load

HERE = Path(__file__).parent
WORKSPACES = HERE.parents[1] / "assets" / "workspaces"


class Case(NamedTuple):
    ask: str
    tz: str
    split: str
    want: Question | None


class QuestionSet(NamedTuple):
    now: datetime
    workspace: Workspace
    live: dict[str, list[str]]
    cases: list[Case]


class Verdict(NamedTuple):
    """kind: exact, wrong (answered, but another request), abstained (where there is an answer), or held (rightly)."""

    case: Case
    got: Understood
    kind: str
    ms: float


def question_set() -> QuestionSet:
    """All questions with the workspace that they are asked of."""
    read = YAML(typ="safe").load(HERE / "questions.yaml")
    cases = []
    for each in read["questions"]:
        want = from_builtins(each["want"]) if each["want"] else None
        assert want is None or isinstance(want, Question)
        cases.append(Case(each["ask"], each.get("tz", "UTC"), each["split"], want))
    files = [*sorted(WORKSPACES.glob("*.yaml")), *(HERE / name for name in read["workspaces"])]
    return QuestionSet(datetime.fromisoformat(read["now"]), load(files), read["values"], cases)


def judged(questions: QuestionSet, split: str) -> Iterator[Verdict]:
    """Every question of a split, asked and judged."""
    grammar = Grammar(Names(questions.workspace), questions.live)
    for case in questions.cases:
        if case.split != split:
            continue
        started = time.process_time()
        got = grammar.understand(case.ask, Asked(now=questions.now, tz=case.tz))
        ms = (time.process_time() - started) * 1000
        if got.request is None:
            kind = "held" if case.want is None else "abstained"
        else:
            same = case.want is not None and plain(case.want, questions) == plain(got.request, questions)
            kind = "exact" if same else "wrong"
        yield Verdict(case, got, kind, ms)


def plain(request: Question, questions: QuestionSet) -> dict[str, Any]:
    """A request with its defaults and its times resolved, so that two spellings of one are equal."""
    workspace, now = questions.workspace, questions.now
    told = msgspec.to_builtins(request)
    fields = {f.name: getattr(request, f.name) for f in msgspec.structs.fields(request)}
    found = {"type": tag(request)} | {k: v for k, v in fields.items() if k not in ("id", "timestamp")}
    default = "now-1h"
    named = [*told.get("metrics", []), *([told["metric"]] if "metric" in told else [])]
    named += [workspace.dimensions[told["dim"]].dataset] if "dim" in told else []
    for name in named[:1]:
        dataset = workspace.metrics[name].dataset if name in workspace.metrics else name
        own = workspace.datasets[dataset].columns
        default = workspace.boards[dataset].window if own else default
    if request.window or tag(request) in ("query", "explain", "flows", "values"):
        window = windows.parse(request.window, default)
        period = windows.resolve(window, now)
        found["window"] = (period, window.tz if tag(request) == "query" and fields.get("grain") else "")
        for key in ("compare", "baseline"):
            if isinstance(found.get(key), str):
                found[key] = windows.compared(period, window, found[key])
    found["filters"] = {(*read_by(f.dim, workspace), f.op, *sorted(map(str, f.values))) for f in request.filters}
    return found


def read_by(dim: str, workspace: Workspace) -> tuple[str | None, ...]:
    """What a dimension reads: host and source are one column under two names, and filter the same rows."""
    of = workspace.dimensions.get(dim)
    return (dim,) if of is None else (of.dataset, of.column, of.attribute)
