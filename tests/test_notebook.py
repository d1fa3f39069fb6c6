"""Running a notebook: what papermill lets pass for a success is an error here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nbformat
import pytest

from irkit.errors import DeadlineError, InputError, RunError
from irkit.notebook import check_parameters, declared_parameters, execute_notebook


def notebook(folder: Path, *cells: str, parameters: str = 'incident = ""\ndeadline = 60.0') -> Path:
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    made.cells = [first, *map(nbformat.v4.new_code_cell, cells)]
    path = folder / "made.ipynb"
    nbformat.write(made, path)
    return path


def test_the_declared_parameters_are_the_literals_of_the_tagged_cell(tmp_path: Path) -> None:
    made = notebook(tmp_path, parameters='incident = ""  # incident file\npin = "sha256/x="\ncount: int = 3')
    assert declared_parameters(made) == {"incident": "", "pin": "sha256/x=", "count": 3}


def test_a_mistyped_parameter_is_an_error_that_names_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no parameter incidnet") as caught:
        check_parameters(notebook(tmp_path), {"incidnet": "x"})
    assert "did you mean 'incident'?" in caught.value.hint


def test_a_parameter_name_that_is_code_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        execute_notebook(notebook(tmp_path), tmp_path / "out.ipynb", {"__import__('os'); x": "1"}, deadline=60)
    assert not (tmp_path / "out.ipynb").exists()


def test_a_parameter_of_another_type_than_its_default_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is float, not str"):
        check_parameters(notebook(tmp_path), {"deadline": "soon"})
    assert check_parameters(notebook(tmp_path), {"deadline": 5}) == {"deadline": 5}


def test_values_reach_the_notebook_as_they_are(tmp_path: Path) -> None:
    hostile = 'x"; raise SystemExit #\n\u202e=='
    made = notebook(tmp_path, f"assert incident == {hostile!r}, repr(incident)")
    execute_notebook(made, tmp_path / "out.ipynb", {"incident": hostile}, deadline=60)
    assert (tmp_path / "out.ipynb").exists()


def test_a_cell_that_raises_is_a_run_error_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="ValueError: no such thing"):
        execute_notebook(
            notebook(tmp_path, "raise ValueError('no such thing')"), tmp_path / "out.ipynb", {}, deadline=60
        )
    assert "no such thing" in (tmp_path / "out.ipynb").read_text()


def test_a_kernel_that_dies_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        execute_notebook(
            notebook(tmp_path, "import os; os.kill(os.getpid(), 9)"), tmp_path / "out.ipynb", {}, deadline=60
        )


def test_a_notebook_past_its_deadline_is_ended_and_its_file_is_there(tmp_path: Path) -> None:
    made = notebook(tmp_path, "print('begun')", "import time; time.sleep(300)")
    with pytest.raises(DeadlineError) as caught:
        execute_notebook(made, tmp_path / "out.ipynb", {}, deadline=6)
    assert caught.value.exit_code == 4
    assert (tmp_path / "out.ipynb").exists()


def test_sigterm_ends_the_run_with_a_run_error(tmp_path: Path) -> None:
    made = notebook(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w').close()", "import time; time.sleep(300)")
    script = textwrap.dedent(f"""
        from pathlib import Path
        from irkit.errors import RunError
        from irkit.notebook import execute_notebook
        try:
            execute_notebook(Path({str(made)!r}), Path({str(tmp_path / "out.ipynb")!r}), {{}}, deadline=120)
        except RunError as error:
            print(error.message)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        until = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < until, "the notebook did not begin"
            time.sleep(0.1)
        os.kill(child.pid, signal.SIGTERM)
        answer, _ = child.communicate(timeout=60)
    assert "stopped by SIGTERM" in answer


def test_a_file_that_is_no_notebook_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("not JSON")
    with pytest.raises(InputError, match="is no notebook"):
        declared_parameters(tmp_path / "x.ipynb")
