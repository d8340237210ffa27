"""A Chromium and a scripted board for tests that look at the screen."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.chromium import find
from tests.browser.harness import ROOT
from tests.browser.walls import Hall
from tests.conftest import Running

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
expect.set_options(timeout=15_000)  # a machine may be slow; what must be quick is given its own limit


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find()
    assert path, "no Chromium: python -m tests.browser.chromium gets one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def enter(page: Page, url: str, key: str) -> None:
    """Sign the page's browser in, without the form, which has tests of its own."""
    form: dict[str, str | float | bool] = {"key": key}
    reply = page.context.request.post(f"{url}/login", form=form, headers={"Origin": url}, max_redirects=0)
    assert reply.status == 303, reply.text()


def address(page: Page) -> str:
    """Where the page is by its own account; `page.url` hears of a step a little later."""
    return str(page.evaluate("location.href"))


@dataclass
class Mock:
    """The harness in a process of its own, and what a page on it did."""

    url: str
    key: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def mood(self, mode: str) -> None:
        asked = urllib.request.Request(f"{self.url}/mock/{mode}", data=b"", method="POST")
        with urllib.request.urlopen(asked, timeout=10) as reply:
            reply.read()

    def sign_in(self, page: Page, path: str = "/overview") -> None:
        enter(page, self.url, self.key)
        page.goto(f"{self.url}{path}")
        page.wait_for_selector("main[data-state=live]")


@pytest.fixture(scope="session")
def harness() -> Iterator[Mock]:
    command = [sys.executable, "-m", "tests.browser.harness"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        line = next(line for line in process.stdout if "key: " in line)
        url, key = line.split("/overview  key: ")
        yield Mock(url, key.strip())
        process.terminate()


@pytest.fixture
def mock(harness: Mock) -> Iterator[Mock]:
    harness.requests.clear()
    harness.errors.clear()
    harness.mood("live")
    yield harness
    harness.mood("live")


@pytest.fixture
def page(chromium: Browser, mock: Mock) -> Iterator[Page]:
    """A fresh visitor of the mock board."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce")
    page = context.new_page()
    page.on("request", lambda request: mock.requests.append(request.url))
    page.on("pageerror", lambda error: mock.errors.append(str(error)))

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            mock.errors.append(message.text)

    page.on("console", heard)
    yield page
    context.close()


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Visitor]:
    """A fresh visitor of a real server."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce")
    yield Visitor(context.new_page())
    context.close()


class Visitor:
    """A page, the addresses it asked for and the errors it met."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    def sign_in(self, url: str, key: str, path: str = "/overview") -> None:
        enter(self.page, url, key)
        self.page.goto(url + path)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """A server with a small fleet, for tests of walls."""
    from tests.browser.test_accessibility import fleet

    server = Running(tmp_path_factory.mktemp("hall") / "data").start()
    server.post(fleet())
    yield Hall(server)
    server.stop()


@pytest.fixture
def wall(chromium: Browser) -> Iterator[Page]:
    """The browser of a screen; what goes wrong in it is a failure of the test."""
    context = chromium.new_context(viewport={"width": 1920, "height": 1080}, timezone_id="UTC")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{error} {error.stack}"))
    yield page
    context.close()
    assert [text for text in wrong if "the charts did not load" not in text] == []


@pytest.fixture
def admin(chromium: Browser, hall: Hall) -> Iterator[Page]:
    """The page of the screens, for who may change them."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", reduced_motion="reduce")
    page = context.new_page()
    enter(page, hall.server.url, hall.key)
    page.goto(f"{hall.server.url}/screens")
    page.wait_for_selector("main[data-state=ok]")
    yield page
    context.close()
