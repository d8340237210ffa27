"""POST /specs: specs of named boards and of given tiles, for who may read, from pages of this site, in bounds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import Served
from tests.server.test_pages import ask, signed_in

LINE = {"id": "x0", "type": "line", "metrics": ["spend"], "by": ["agent"], "limit": 5, "title": "Spend"}


async def asked(served: Served, body: Any, cookie: str | None = "", **headers: str) -> tuple[int, dict[str, Any]]:
    """POST /specs as a page does; gives status and body."""
    if cookie == "":
        cookie = await signed_in(served)
    sent = {"Content_Type": "application/json"} | headers | ({"Cookie": cookie} if cookie else {})
    status, _, text = await ask(served, "POST", "/specs", body if isinstance(body, str) else json.dumps(body), **sent)
    return status, json.loads(text)


async def spec(served: Served, url: str) -> dict[str, Any]:
    status, _, text = await ask(served, "GET", url, Cookie=await signed_in(served))
    assert status == 200
    found: dict[str, Any] = json.loads(text)
    return found


async def test_a_named_board_has_a_spec_for_each_theme(served: Served) -> None:
    status, urls = await asked(served, {"board": "overview"})
    assert status == 200
    assert set(urls) == {"light", "dark"}
    for theme, url in urls.items():
        found = await spec(served, url)
        assert (found["board"], found["theme"]) == ("overview", theme)
        assert found["tiles"]


async def test_given_tiles_become_a_spec_with_figures(served: Served) -> None:
    _, urls = await asked(served, {"title": "Mine", "tiles": [LINE]})
    found = await spec(served, urls["light"])
    assert found["title"] == "Mine"
    assert [tile["id"] for tile in found["tiles"]] == ["x0"]
    assert found["tiles"][0]["figure"]
    assert found["tiles"][0]["by"] == ["agent"]


async def test_the_same_tiles_have_the_same_address(served: Served) -> None:
    assert await asked(served, {"tiles": [LINE]}) == await asked(served, {"tiles": [dict(LINE)]})
    assert await asked(served, {"tiles": [LINE]}) != await asked(served, {"tiles": [LINE | {"limit": 4}]})


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"tiles": [LINE | {"metrics": ["spendd"]}]}, 400, "did you mean 'spend'"),
        ({"tiles": [LINE | {"by": ["agnt"]}]}, 400, "did you mean 'agent'"),
        ({"tiles": [LINE | {"type": "pie"}]}, 400, "expected one of kpi, line"),
        ({"tiles": [LINE | {"limit": 10**6}]}, 400, "whole number"),
        ({"tiles": [LINE | {"id": f"x{i}"} for i in range(25)]}, 400, "expected 1 to 24"),
        ({"tiles": []}, 400, "expected 1 to 24"),
        ({"tiles": "all"}, 400, "tiles"),
        ({"board": "overview", "tiles": [LINE]}, 400, "got both"),
        ({"board": "overveiw"}, 404, "did you mean 'overview'"),
        ("{", 400, "expected"),
        ("[" * 5000, 400, "expected"),
        ({"title": "x" * 70_000, "tiles": [LINE]}, 413, "at most 64 KiB"),
    ],
)
async def test_what_is_wrong_is_said_in_the_words_of_the_workspace(
    served: Served, body: Any, status: int, told: str
) -> None:
    got, problem = await asked(served, body)
    assert got == status
    assert told in problem["detail"]


async def test_nobody_else_gets_one(served: Served) -> None:
    assert (await asked(served, {"board": "overview"}, None))[0] == 401
    assert (await asked(served, {"board": "overview"}, Origin="https://elsewhere.example"))[0] == 403
    narrow = served.app.keys.create("wall", ["read"], boards=["resources"])[1]
    cookie = await signed_in(served, narrow)
    assert (await asked(served, {"board": "overview"}, cookie))[0] == 403
    assert (await asked(served, {"board": "resources"}, cookie))[0] == 200


async def test_passing_boards_push_no_page_out_of_memory(served: Served) -> None:
    cookie = await signed_in(served)
    _, _, page = await ask(served, "GET", "/overview", Cookie=cookie)
    url = re.findall(r"/specs/\w+\.json", page)[0]
    for limit in range(1, 70):
        assert (await asked(served, {"tiles": [LINE | {"type": "bars", "limit": limit}]}, cookie))[0] == 200
    assert (await ask(served, "GET", url, Cookie=cookie))[0] == 200
