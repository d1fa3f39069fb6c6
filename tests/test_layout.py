"""The architecture, kept: which module may import which, who may draw, what a notebook may hold."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "irkit"

# A module imports only modules before it, at its top or later. A new module has to find its place here.
# fmt: off
ORDER = [
    # words and values
    "errors", "style", "render", "files", "tomlfile", "parameters", "iana", "fields", "certificate", "der", "marks",
    "chain", "missing", "changes", "spki", "runbook",
    # chains from endpoints and files
    "messages", "flight", "possession", "link", "pcap", "recordings",
    "chainjson", "chainfile", "hello", "handshake", "wire",
    "starttls", "proxy", "visit", "target", "loop", "capture", "fleet", "fleetfile",
    # paths, and pins
    "truststore", "signature", "objections", "trust", "aia",
    "pins.binary_xml", "pins.keys", "pins.markup", "pins.release", "pins.pattern",
    "pins.suffix", "pins.cover", "pins.grammar", "pins.check", "pins.source", "pins.notes", "pins.android",
    "pins.listing", "pins.resources", "pins.chromium", "pins.hpkp", "pins.okhttp", "pins.report", "pins.trustkit",
    "pins.code", "pins.ios", "pins.package", "pins.load", "pins.unpack", "pins.write", "pins", "pins.command",
    # failures
    "incident", "incidentfile", "promql", "counters", "servermetrics", "failures", "counting", "usual", "changepoint",
    "metricdump", "metricfile", "transport", "metrics", "alert",
    # judging a chain
    "transparency", "revocation", "interception", "appraisal", "survey", "verify_command", "fleet_command",
    "history", "capture_command", "cells", "onset", "scope",
    "explain", "accept.value", "diff", "accept.android", "accept.apple",
    "accept.okhttp", "accept.others", "strategy", "update", "accept.multilevel", "accept",
    "accept.supposed", "session",
    # evidence
    "reportline", "reports", "evidence", "archive", "stoppable", "gather", "clients",
    # the verdict
    "weights", "verdict", "notes", "tally", "facts", "cohorts", "crux", "testimony", "observations", "safety",
    "classify",
    "remedy.value", "remedy.server", "remedy.shipped", "remedy.network", "remedy",
    "adoption", "plan", "preflight", "plan_command",
    # showing and running
    "drill.pki", "drill.server", "drill.fleet", "drill.traffic", "drill.prometheus", "drill.scenario", "drill.reports",
    "drill.day", "drill.rotations", "drill.interceptions", "drill.mistakes", "drill.causes", "drill.beside",
    "drill.twins", "drill.chance", "drill.files",
    "notebook", "lineup", "summary", "trend",
    "plots", "planplot", "chronicle", "history_command", "cohortplots", "exhibits", "affected", "report", "resume",
    "run", "doctor",
    "incident_command",
    "metrics_command",
    "health", "healthindex", "healthrun", "health_command", "rundiff", "drill",
    "question", "desk", "widgets", "explorer", "filters", "form", "workbench",
    "completion", "cli",
]
# fmt: on

# module: the one place that may import it
SINGLE_IMPORTER = {
    "prometheus_api_client": "metrics",
    "matplotlib": "plots",
    "ipywidgets": "widgets",
}

# Where text becomes live in a notebook: only render.py escapes first.
SINKS = {"HTML", "HTMLMath", "Markdown", "Latex", "Math", "Javascript", "SVG", "display", "publish_display_data"}
SINK_MODULES = {"IPython.display", "IPython.core.display", "ipywidgets", "tqdm.notebook", "tqdm.auto", "markdown"}
TAGS = (
    "a|b|br|body|code|details|div|em|figure|h[1-6]|head|html|i|img|li|ol|p|pre|script|span|strong|style|summary|svg|"
    "table|tbody|td|th|thead|tr|ul"
)
MARKUP = re.compile(rf"</?({TAGS})(\s[^<>]*)?/?>", re.IGNORECASE)

HEAVY = {"pandas", "numpy", "matplotlib", "papermill", "requests", "OpenSSL", "IPython", "ipywidgets", "cattrs"}


def modules() -> dict[str, ast.Module]:
    """Name below irkit, and syntax tree: "certificate", "pins" (a package's __init__), "pins.android"."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text())
    return found


MODULES = modules()


def imports(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """(module, name or "", line) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def own_imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The modules of irkit that a module imports; "" is the package itself."""
    for module, name, line in imports(tree):
        if module.partition(".")[0] == "irkit":
            inside = module.partition(".")[2]
            longer = f"{inside}.{name}".strip(".")
            yield (longer if longer in MODULES else inside), line


def notebooks() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def code_cells(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def python_files() -> list[Path]:
    return [p for folder in ("irkit", "tests", "benchmarks") for p in sorted((ROOT / folder).rglob("*.py"))]


def test_every_module_has_its_place_in_the_order() -> None:
    assert set(MODULES) - {""} == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


def test_a_module_imports_only_modules_before_it() -> None:
    place = {name: n for n, name in enumerate(ORDER)}
    wrong = [
        f"{name}:{line} imports {other or 'irkit'}"
        for name, tree in MODULES.items()
        if name
        for other, line in own_imports(tree)
        if (name, other) != ("cli", "") and place.get(other, len(ORDER)) >= place.get(name, -1)
    ]
    assert wrong == []


def test_the_way_through_the_code_names_modules_in_their_order() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Reading it")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w.]+)`", section)
    assert len(named) > 10
    assert named == sorted(named, key=ORDER.index)


@pytest.mark.parametrize(("library", "importer"), SINGLE_IMPORTER.items())
def test_one_module_imports_this_library(library: str, importer: str) -> None:
    importers = {
        name for name, tree in MODULES.items() for module, _, _ in imports(tree) if module.partition(".")[0] == library
    }
    assert importers <= {importer}


def sinks(tree: ast.AST) -> Iterator[str]:
    """What in a syntax tree makes a notebook run or typeset text."""
    for module, name, line in imports(tree):
        if (module in SINK_MODULES and name in SINKS | {"tqdm", "trange"}) or "Styler" in (name, module):
            yield f"{line}: {module}.{name}"
        elif module in ("IPython.display", "tqdm.notebook", "markdown", "pandas.io.formats.style"):
            yield f"{line}: {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in ("to_html", "Styler", "publish_display_data"):
                yield f"{node.lineno}: .{node.attr}"
            elif isinstance(node.value, ast.Attribute) and node.value.attr == "style" and node.attr in STYLER:
                yield f"{node.lineno}: .style.{node.attr}"
            elif node.attr in SINKS and isinstance(node.value, ast.Name) and node.value.id in ("widgets", "ipywidgets"):
                yield f"{node.lineno}: widgets.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SINKS:
            yield f"{node.lineno}: {node.func.id}()"


STYLER = {"apply", "map", "format", "hide", "bar", "background_gradient", "set_caption", "set_properties", "pipe"}


def test_only_render_makes_a_notebook_show_rich_text() -> None:
    wrong = [f"{name}:{sink}" for name, tree in MODULES.items() if name != "render" for sink in sinks(tree)]
    # One function of widgets.py holds a sink, and refuses what is not render's Markup.
    wrong = [line for line in wrong if not re.fullmatch(r"widgets:\d+: widgets\.HTML", line)] + [
        line for line in wrong if line.startswith("widgets:")
    ][1:]
    for name, notebook in notebooks().items():
        cells = "\n".join(re.sub(r"(?m)^[%!].*", "", cell) for cell in code_cells(notebook))
        wrong += [f"{name}:{sink}" for sink in sinks(ast.parse(cells))]
    assert wrong == []


@pytest.mark.parametrize(
    "sink",
    [
        "from IPython.display import HTML",
        "import IPython.display as d",
        "from IPython import get_ipython; display(x)",
        "import ipywidgets as widgets; widgets.HTML(x)",
        "from ipywidgets import HTML",
        "df.style.format('{}')",
        "from pandas.io.formats.style import Styler",
        "from tqdm.auto import tqdm",
        "df.to_html()",
    ],
)
def test_a_sink_is_found(sink: str) -> None:
    assert list(sinks(ast.parse(sink)))


def strings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every string but the docstrings."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value, node.lineno


def test_only_render_writes_markup() -> None:
    wrong = [
        f"{name}:{line}: {found[0]}"
        for name, tree in MODULES.items()
        if name != "render"
        for string, line in strings(tree)
        if (found := MARKUP.search(string))
    ]
    assert wrong == []


def test_importing_irkit_loads_nothing_heavy() -> None:
    code = "import sys, irkit; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "irkit" in loaded
    assert HEAVY & set(loaded) == set()


SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|ruff:|mypy:)")
REASONED = re.compile(
    r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \S.*"
    r"|# type: ignore\[[a-z-]+(, ?[a-z-]+)*\]  # \S.*"
    r"|# ruff: noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \S.*"
)


def test_every_suppression_names_its_rule_and_its_reason() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
        for path in python_files()
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and SUPPRESSION.match(token.string) and not REASONED.match(token.string)
    ]
    assert wrong == []


def test_no_file_is_longer_than_450_lines() -> None:
    long = {str(path.relative_to(ROOT)): n for path in python_files() if (n := path.read_text().count("\n")) > 450}
    assert long == {}


SKIPPING = {"skip", "skipif", "importorskip", "xfail"}


EXCUSES = ("corpus", "no IPv6 loopback")


def test_nothing_is_skipped_but_for_the_absent_corpus_or_ipv6() -> None:
    wrong = [
        f"{path.name}:{node.lineno}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))  # conftest.py skips a missing program, outside of CI
        for source in [path.read_text()]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPPING
        if not any(excuse in (ast.get_source_segment(source, node) or "") for excuse in EXCUSES)
    ]
    assert wrong == []


def test_notebooks_say_how_they_run_and_hold_no_results() -> None:
    for name, notebook in notebooks().items():
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", name
        assert notebook["metadata"]["language_info"]["name"] == "python", name
        assert set(notebook["metadata"]) == {"kernelspec", "language_info"}, f"{name}: traces of a run"
        tags = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", [])]
        assert tags.count("parameters") == 1, name
        assert "injected-parameters" not in tags, name
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                assert (cell["outputs"], cell["execution_count"]) == ([], None), f"{name}: clear all outputs"


def test_notebooks_are_thin() -> None:
    long = [
        f"{name}: {cell.splitlines()[0]}"
        for name, notebook in notebooks().items()
        for cell in code_cells(notebook)
        if len(cell.splitlines()) > 15
    ]
    assert long == []
