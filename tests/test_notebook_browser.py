"""The report and the notebook in a real Chromium: hostile evidence runs nothing, loads nothing, typesets nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import examples
import forge
import pytest
from examples import NOW
from jupyter_server import BROWSERS, browser, jupyter, open_notebook, output, run_all

from irkit.files import workbench_file
from irkit.report import report_html

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

FORMULA = r"$\color{green}{\text{VERDICT: ROTATION}}$"


def write_report(folder: Path, example: examples.Example) -> Path:
    file = folder / "report.html"
    file.write_text(report_html(*example, started=NOW, finished=NOW), encoding="utf-8")
    return file


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Every address that the page asks for, and every complaint of the console (a blocked script is one)."""
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    return asked, said


def test_a_hostile_report_runs_nothing_loads_nothing_and_goes_nowhere(tmp_path: Path, tool: Callable[..., str]) -> None:
    file = write_report(tmp_path, examples.mitm(hostile=True))
    with browser(tool(*BROWSERS)) as page:
        asked, said = watch(page)
        page.goto(file.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        page.wait_for_timeout(300)
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert [url for url in asked if not url.startswith("data:image/png")] == [file.as_uri()]
        assert said == []
        assert page.url == file.as_uri()
        assert page.locator("script, iframe, img:not([alt])").count() == 0
        assert page.locator("img").evaluate_all("images => images.every(i => i.naturalWidth > 300)")
        assert "<script>window.pwned=1</script>" in page.inner_text("body")


def test_script_in_a_report_would_not_run_even_if_it_got_in(tmp_path: Path, tool: Callable[..., str]) -> None:
    file = write_report(tmp_path, examples.bare())
    whole = file.read_text(encoding="utf-8")
    attack = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1><img src=http://127.0.0.1:9/b.png>"
    file.write_text(whole.replace("</main>", attack + "</main>"), encoding="utf-8")
    with browser(tool(*BROWSERS)) as page:
        _, said = watch(page)
        loaded: list[str] = []
        page.on("requestfinished", lambda request: loaded.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_timeout(300)
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert loaded == [file.as_uri()]
        assert len(said) >= 3  # each was blocked by the policy


@pytest.mark.parametrize("make", [examples.mitm, examples.rotation, examples.bare])
def test_the_answer_is_on_the_first_screen(
    make: Callable[[], examples.Example], tmp_path: Path, tool: Callable[..., str]
) -> None:
    file = write_report(tmp_path, make())
    with browser(tool(*BROWSERS), width=1280, height=900) as page:
        page.goto(file.as_uri())
        for part in ("h1 .badge", ".card >> text=Do now", ".card.stop"):
            box = page.locator(part).first.bounding_box()
            assert box is not None, part
            assert box["y"] + box["height"] < 900, part


def test_the_report_fits_a_phone_is_dark_at_night_and_opens_when_printed(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    file = write_report(tmp_path, examples.mitm(hostile=True))
    background = "getComputedStyle(document.body).backgroundColor"
    with browser(tool(*BROWSERS), width=390, height=840) as page:
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        light = page.evaluate(background)
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(background) != light == "rgb(255, 255, 255)"
        assert not page.locator("details pre").first.is_visible()
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate(background) == light
        assert page.locator("details pre").first.is_visible()


def failing(folder: Path, region: str, start: datetime, onset: datetime, minutes: int) -> None:
    """A saved answer of Prometheus: two regions, of which one fails from the onset on."""
    result = []
    for name, bad in ((region, 0.9), ("eu-west", 0.0)):
        good = failed = 0.0
        values: dict[str, list[list[object]]] = {"success": [], "pin_mismatch": []}
        for minute in range(minutes + 1):
            at = start + timedelta(minutes=minute)
            ratio = bad if at > onset else 0.0
            good, failed = good + 600 * (1 - ratio), failed + 600 * ratio + 0.2
            values["success"].append([at.timestamp(), str(good)])
            values["pin_mismatch"].append([at.timestamp(), str(failed)])
        labels = {"domain": examples.HOST, "app_version": "4.2.0", "region": name, "instance": name[:9]}
        result += [{"metric": {**labels, "result": kind}, "values": seen} for kind, seen in values.items()]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    (folder / "failures.json").write_text(json.dumps(body))


def hostile_incident(folder: Path) -> str:
    """An incident whose certificate, label and file names attack; gives the incident file's name."""
    start = datetime(2026, 11, 23, 6, tzinfo=UTC)
    onset = start + timedelta(hours=4)
    failing(folder, f"ap<img src=x onerror=window.pwned=1>{FORMULA}", start, onset, 360)
    ca = forge.root("Real Root")
    genuine = ca.issue(cn="Real CA", ca=True).issue(examples.HOST)
    fake = forge.root(FORMULA).issue(examples.HOST, cn="<script>window.pwned=1</script><img src=x onerror=pwned=1>")
    (folder / "office.pem").write_text(genuine.chain_pem)
    (folder / "roots.pem").write_text(forge.Identity(ca.x509, ca.key).chain_pem)
    seen = f"phone <img src=x onerror=window.pwned=1> {FORMULA.replace('/', '')}.pem"
    (folder / seen).write_text(fake.chain_pem)
    config = "<network-security-config><domain-config><domain>api.example.com</domain><pin-set>{}</pin-set>"
    config += "</domain-config></network-security-config>"
    pin = genuine.certificate.pin
    assert pin is not None
    (folder / "pins.xml").write_text(config.format(f'<pin digest="SHA-256">{pin.base64}</pin>' * 2))
    (folder / "incident.toml").write_text(
        f"""
[incident]
id = '''INC <script>window.pwned=1</script> {FORMULA}'''
host = "{examples.HOST}"
start = {start:%Y-%m-%dT%H:%M:%SZ}
end = {start + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}
[metrics]
file = "failures.json"
[[capture]]
vantage = '''office <script>window.pwned=1</script> {FORMULA}'''
file = "office.pem"
at = {onset + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}
[[observed]]
file = '''{seen}'''
at = {onset + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}
network = '''AS64500 <img src=x onerror=window.pwned=1>'''
[[release]]
app = '''shop <img src=x onerror=window.pwned=1>'''
version = "4.2.0"
platform = "android"
pins = "pins.xml"
[trust]
roots = ["roots.pem"]
""",
        encoding="utf-8",
    )
    return "incident.toml"


def test_the_notebook_judges_a_hostile_incident_as_harmless_text(tmp_path: Path, tool: Callable[..., str]) -> None:
    notebook = json.loads(workbench_file("notebooks/triage.ipynb").read_text(encoding="utf-8"))
    parameters = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    source = "".join(parameters["source"])
    assert 'incident = ""' in source
    name = hostile_incident(tmp_path)
    parameters["source"] = source.replace('incident = ""', f'incident = "{name}"')
    (tmp_path / "triage.ipynb").write_text(json.dumps(notebook))
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        asked, said = watch(page)
        open_notebook(page, lab, "triage.ipynb")
        run_all(page)
        page.wait_for_timeout(500)  # MathJax, if anything set it off
        shown = output(page)
        assert "Traceback" not in shown
        assert "MITM" in shown
        assert "interception-untrusted-ca" in shown
        for words in ("office <script>window.pwned=1</script>", "phone <img src=x onerror=window.pwned=1>", FORMULA):
            assert words in shown
        assert page.evaluate("typeof window.pwned") == "undefined"
        outputs = page.locator(".jp-OutputArea-output")
        assert outputs.locator("mjx-container, .MathJax, script, img[src='x']").count() == 0
        assert outputs.locator("figure img[alt]").count() >= 2
        assert outputs.locator("section, table.irkit").count() > 5
        assert [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))] == []
        assert not [line for line in said if "pwned" in line]
    reports = list(tmp_path.glob("runs/*/*/report.html"))
    assert len(reports) == 1
    assert json.loads(reports[0].with_name("result.json").read_text(encoding="utf-8"))["status"] == "complete"
