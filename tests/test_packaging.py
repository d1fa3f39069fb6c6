"""What a user installs: the wheel, its dependencies, and the same for conda."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from irkit.errors import InputError
from irkit.files import workbench_file

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def normal(requirement: str) -> str:
    """A requirement as it is compared: without spaces, its name as PEP 503 writes it."""
    name, rest = re.fullmatch(r"([\w.-]+)(.*)", requirement.replace(" ", ""), re.DOTALL).groups()  # type: ignore[union-attr]  # always matches
    return re.sub(r"[-_.]+", "-", name).lower() + rest


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", normal(requirement))[0]


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_environment(folder: Path, *requirements: object) -> Path:
    """A fresh environment with these requirements and what they need, by uv or else by pip; its Python."""
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "venv", folder)
    uv = [Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--python", python]
    lock = ["--constraint", ROOT / "requirements.lock"]
    if subprocess.run([str(c) for c in [*uv, *lock, *requirements]], check=False).returncode != 0:
        run(python, "-m", "pip", "install", "--quiet", *requirements)
    return python


def test_the_wheel_works_with_the_core_dependencies_alone_and_brings_notebooks_and_runbooks(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    # What git knows and nothing else: runs that lie in the same folders are nobody else's to have.
    kept = run("git", "-C", ROOT, "ls-files", "notebooks", "runbooks").split()
    assert {name for name in inside if name.startswith("irkit/_workbench/")} == {f"irkit/_workbench/{k}" for k in kept}
    assert {"irkit/py.typed", "irkit/ct_logs.json", "irkit/interception.toml"} <= inside

    python = make_environment(tmp_path / "core", wheel)
    assert run(python.parent / "irkit", "--version").split() == ["irkit", PROJECT["version"]]
    # A module that needs more imports it late.
    code = """
import importlib, irkit, sys
from irkit.files import workbench_folder
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*[p.name for f in ("notebooks", "runbooks") for p in workbench_folder(f).glob("[!.]*")])
"""
    core = ["certificate", "chain", "capture", "pins", "trust", "accept", "diff"]
    there = [f"irkit.{name}" for name in core if f"irkit/{name}.py" in inside or f"irkit/{name}/__init__.py" in inside]
    found = run(python, "-I", "-c", code, *there)
    assert set(found.split()) == {
        Path(k).relative_to(Path(k).parts[0]).parts[0] for k in kept if not Path(k).name.startswith(".")
    }


def imported() -> dict[str, str]:
    """Each distribution that irkit imports: its first importer."""
    distributions = importlib.metadata.packages_distributions()
    found = {}
    for path in sorted((ROOT / "irkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"irkit"}:
                found.setdefault(normal(distributions.get(top, [top])[0]), str(path.relative_to(ROOT)))
    return found


def test_every_import_is_declared_and_every_core_dependency_is_imported() -> None:
    declared = {name_of(r) for r in [*PROJECT["dependencies"], *(r for rs in EXTRAS.values() for r in rs)]}
    assert {name: by for name, by in imported().items() if name not in declared} == {}
    assert {name_of(r) for r in PROJECT["dependencies"]} <= set(imported())


def test_conda_makes_the_same_environment() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (from_pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    listed = {normal(entry) for entry in [*conda, *from_pip] if isinstance(entry, str) and not entry.startswith("-")}
    wanted = {normal(r) for r in [*PROJECT["dependencies"], *EXTRAS["workbench"]]}
    assert listed == wanted | {"pip", f"python{PROJECT['requires-python']}"}
    assert "-e ." in from_pip


def test_the_lock_has_an_exact_version_and_hashes_for_everything_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", lock)
    entries = re.findall(r"(?m)^[a-z0-9].*(?:\n +.*)*", lock)
    assert all(re.match(r"[a-z0-9.-]+==[^ ]+ .*--hash=sha256:", entry, re.DOTALL) for entry in entries)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    everything = [*PROJECT["dependencies"], *(r for rs in EXTRAS.values() for r in rs), *groups["test"]]
    assert {name_of(r) for r in everything} <= {entry.partition("==")[0] for entry in entries}


def test_a_file_that_is_not_shipped_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no file notebooks/triag\.ipynb"):
        workbench_file("notebooks/triag.ipynb")
    with pytest.raises(InputError, match="no folder nothing"):
        workbench_file("nothing/here")
