"""/docs: pages and pictures for who is signed in, links that work, and nothing outside the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.docs import rendered, slug
from tests.conftest import Served
from tests.server.test_pages import ask, signed_in

FOLDER = Path(__file__).parents[2] / "assets/docs"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))
PICTURES = sorted(path.name for path in FOLDER.glob("images/*.png"))


async def test_every_page_is_served_with_its_title_and_a_way_to_the_others(served: Served) -> None:
    cookie = await signed_in(served)
    for name in PAGES:
        status, headers, body = await ask(served, "GET", f"/docs/{name}", Cookie=cookie)
        title = (FOLDER / f"{name}.md").read_text().partition("\n")[0].removeprefix("# ")
        assert status == 200
        assert f"<title>{title} · Plumbline</title>" in body
        assert all(f'href="/docs{"" if other == "index" else f"/{other}"}"' in body for other in PAGES)
        assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
        assert " style=" not in body


async def test_the_first_page_is_the_index(served: Served) -> None:
    cookie = await signed_in(served)
    assert (await ask(served, "GET", "/docs", Cookie=cookie))[2] == (
        await ask(served, "GET", "/docs/index", Cookie=cookie)
    )[2]


async def test_a_page_that_is_not_there_is_a_404(served: Served) -> None:
    cookie = await signed_in(served)
    assert (await ask(served, "GET", "/docs/nothing", Cookie=cookie))[0] == 404


async def test_every_picture_is_served_to_who_is_signed_in(served: Served) -> None:
    cookie = await signed_in(served)
    assert PICTURES
    for name in PICTURES:
        status, headers, body = await served.get(f"/docs/images/{name}", None, Cookie=cookie)
        assert status == 200
        assert headers["Content-Type"] == "image/png"
        assert body == (FOLDER / "images" / name).read_bytes()
        assert (await ask(served, "GET", f"/docs/images/{name}"))[0] == 401


async def test_a_picture_is_asked_for_again_only_when_it_changed(served: Served) -> None:
    cookie = await signed_in(served)
    _, headers, _ = await served.get(f"/docs/images/{PICTURES[0]}", None, Cookie=cookie)
    status, _, body = await ask(
        served, "GET", f"/docs/images/{PICTURES[0]}", Cookie=cookie, If_None_Match=headers["Etag"]
    )
    assert (status, body) == (304, "")


@pytest.mark.parametrize("name", ["nothing.png", "../index.md", "..%2findex.md", "%2e%2e/index.md", "x/../login.png"])
async def test_only_listed_pictures_are_found(served: Served, name: str) -> None:
    cookie = await signed_in(served)
    assert (await ask(served, "GET", f"/docs/images/{name}", Cookie=cookie))[0] == 404


def test_links_between_the_files_become_addresses() -> None:
    html = rendered("# T\n\n[a](api.md#errors) [b](index.md) ![c](images/login.png) [d](https://example.org/x.md)\n")
    assert 'href="/docs/api#errors"' in html
    assert 'href="/docs"' in html
    assert 'src="/docs/images/login.png"' in html
    assert 'href="https://example.org/x.md"' in html


def test_headings_can_be_linked_to_and_markup_stays_text() -> None:
    html = rendered("# T\n\n## Two `words`!\n\n<script>alert(1)</script>\n")
    assert '<h2 id="two-words">' in html
    assert "<script>" not in html
    assert slug("Errors & limits") == "errors--limits"
