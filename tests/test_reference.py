"""The reference: every public name says what it takes, gives and raises, and the pages are made without a warning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import irkit

ROOT = Path(__file__).parent.parent
PUBLIC = [name for name in irkit.__all__ if not name.startswith("__")]
CALLS = [name for name in PUBLIC if inspect.isfunction(getattr(irkit, name))]
VALUES = [name for name in PUBLIC if dataclasses.is_dataclass(getattr(irkit, name))]


def part(text: str, name: str) -> str:
    """What a docstring in Google's style says under a head."""
    match = re.search(rf"^{name}:(.*?)(?=^\w+:$|\Z)", text, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def raised(function: Callable[..., Any]) -> set[str]:
    """The errors of irkit that the body of a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    return {name for name in names if name in vars(irkit.errors)}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is(name: str) -> None:
    said = inspect.getdoc(getattr(irkit, name)) or ""
    assert len(said.splitlines()[0]) > 10
    assert said.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", CALLS)
def test_every_public_call_says_what_it_takes_gives_and_raises(name: str) -> None:
    function = getattr(irkit, name)
    said = inspect.getdoc(function) or ""
    takes = list(inspect.signature(function).parameters)
    if len(takes) > 2 and not re.search(r"^Args: as `", said, re.MULTILINE):
        assert [one for one in takes if not re.search(rf"^    (\w+, )*{one}\b", part(said, "Args"), re.MULTILINE)] == []
    assert [error for error in raised(function) if error not in part(said, "Raises")] == []


@pytest.mark.parametrize("name", VALUES)
def test_every_public_value_says_what_its_fields_are(name: str) -> None:
    value = getattr(irkit, name)
    said = inspect.getdoc(value) or ""
    public = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
    told = part(said, "Attributes") + part(said, "Args")
    # What its name and type say is not said again; but a value of many fields is a table to look things up in.
    missing = [field for field in public if not re.search(rf"\b{field}\b", told)]
    assert len(missing) <= len(public) // 2, missing


def test_the_reference_is_made_without_a_warning_and_has_every_public_name(tmp_path: Path) -> None:
    (line,) = re.findall(r"^\t\.venv/bin/python (.* pdoc .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, *shlex.split(line.replace("build/reference", str(tmp_path)))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.stem: path.read_text() for path in tmp_path.rglob("*.html")}
    # A call that has a module's name, as irkit.capture, is on the page of the module that it comes from.
    places = {name: getattr(getattr(irkit, name), "__module__", "").rpartition(".")[2] for name in PUBLIC}
    absent = [name for name, own in places.items() if f'id="{name}"' not in pages["irkit"] + pages.get(own, "")]
    assert absent == []
    loaded = re.findall(r"""<(?:script|img|link)[^>]*(?:src|href)=["'](https?:[^"']+)""", "".join(pages.values()))
    assert loaded == [], "nothing is loaded from elsewhere"
