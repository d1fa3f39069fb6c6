"""axe-core in a real Chromium, in light and dark, wide and narrow: the pages can be read by everybody."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import examples
import pytest
from examples import NOW
from jupyter_server import BROWSERS, browser

from irkit.health import Check, HostHealth, document
from irkit.healthindex import index_page
from irkit.healthrun import HealthRun, _report
from irkit.report import report_html

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

AXE = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tool: Callable[..., str]) -> Iterator[Page]:
    with browser(tool(*BROWSERS)) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report for each kind of verdict, a run that broke off, and the pages of a scheduled run."""
    top = tmp_path_factory.mktemp("pages")
    found = {}
    for name, example, status in (
        ("mitm", examples.mitm(), "complete"),
        ("rotation", examples.rotation(), "complete"),
        ("hostile", examples.mitm(hostile=True), "complete"),
        ("broken off", examples.bare(), "incomplete"),
    ):
        found[name] = top / f"{name}.html"
        found[name].write_text(report_html(*example, status=status, started=NOW, finished=NOW), encoding="utf-8")
    hosts = [
        HostHealth("api.example.com", "none", failure_ratio=0.001, certificate_days=70, pin_days={("a", "b", "c"): 9}),
        HostHealth(
            "pay.example.com",
            "mitm",
            checks=tuple(Check("no-backup", s, "says") for s in ("error", "warning", "unknown")),
        ),
    ]
    for day in (24, 25):
        run = HealthRun((), (), top / "runs" / f"202611{day}T060000Z", datetime(2026, 11, day, 6, tzinfo=UTC))
        run.folder.mkdir(parents=True)
        content = {
            "status": "complete",
            "started": run.started.isoformat(),
            "hosts": [document(host) for host in hosts],
        }
        (run.folder / "result.json").write_text(json.dumps(content))
        found["health"] = _report(run, content, "")
    found["index"] = top / "index.html"
    found["index"].write_text(index_page(top), encoding="utf-8")
    return found


def violations(page: Page, file: Path) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and its own best practices, with the element."""
    page.goto(file.as_uri())
    page.evaluate(AXE)  # past the page's policy, which forbids every script
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["testEngine"]["name"] == "axe-core"
    return [f"{item['impact']} {item['id']}: {item['nodes'][0]['html'][:200]}" for item in found["violations"]]


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["mitm", "rotation", "hostile", "broken off", "health", "index"])
def test_axe_finds_nothing_and_the_page_requests_nothing(
    page: Page, pages: dict[str, Path], name: str, scheme: Any, width: int
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert violations(page, pages[name]) == []
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"


def test_axe_would_find_a_picture_without_words_and_weak_contrast(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        '<html><h1>a</h1><h4>b</h4><img src="data:,"><p style="color:#999;background:#aaa">some words</p></html>'
    )
    found = " ".join(violations(page, broken))
    for rule in ("image-alt", "color-contrast", "heading-order", "html-has-lang"):
        assert rule in found


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1366, 768)])
@pytest.mark.parametrize("name", ["mitm", "rotation"])
def test_the_first_screen_holds_the_whole_answer(
    page: Page, pages: dict[str, Path], name: str, width: int, height: int
) -> None:
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": width, "height": height})
    page.goto(pages[name].as_uri())
    whole = ["h1", "dt:text-is('Since') + dd", "dt:text-is('Who') + dd", ".card.stop", ".card:not(.stop) ol"]
    for part in whole:
        box = page.locator(part).first.bounding_box()
        assert box is not None, part
        assert box["y"] + box["height"] <= height, f"{part} is below the first screen"


@pytest.mark.parametrize("name", ["mitm", "hostile", "health", "index"])
def test_a_printed_page_fits_the_paper_shows_what_is_folded_and_is_not_dark(
    page: Page, pages: dict[str, Path], name: str
) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 680, "height": 900})  # A4 with margins of 15 mm
    page.goto(pages[name].as_uri())
    folded = page.locator("details > div").all()
    assert all((box := each.bounding_box()) is not None and box["height"] > 10 for each in folded)
    assert folded or name == "index"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF-")
    page.emulate_media(media="screen")
