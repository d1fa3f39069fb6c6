"""The tutorial runs from top to bottom, and teaches what it says: three incidents, three right answers."""

from __future__ import annotations

from pathlib import Path

import nbformat

from irkit.files import workbench_file
from irkit.notebook import declared_parameters, execute_notebook


def test_the_tutorial_shows_three_incidents_and_names_each_rightly(tmp_path: Path) -> None:
    notebook = workbench_file("notebooks/drill.ipynb")
    assert declared_parameters(notebook) == {"seed": 0, "folder": ""}
    made = tmp_path / "out.ipynb"
    execute_notebook(notebook, made, {"folder": str(tmp_path / "drill"), "seed": 7}, deadline=240)
    cells = [cell for cell in nbformat.read(made, 4).cells if cell.cell_type == "code"]
    shown = [output.data["text/plain"] for cell in cells for output in cell.outputs if "data" in output]
    assert shown[-1] == (
        "{'rotation / leaf-key-rotated': 'rotation / leaf-key-rotated',\n"
        " 'mitm / interception-untrusted-ca': 'mitm / interception-untrusted-ca',\n"
        " 'misconfiguration / certificate-hash-pinned': 'misconfiguration / certificate-hash-pinned'}"
    )
    everything = "\n".join(shown)
    assert "Do not add the key that was seen to any pin list" in everything
    assert any(text.startswith("Explanation(certificate-hash-pinned") for text in shown), "what was hashed is named"
    pictures = [output for cell in cells for output in cell.outputs if "<figure>" in str(output.get("data"))]
    assert len(pictures) >= 4
