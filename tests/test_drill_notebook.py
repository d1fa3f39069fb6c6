"""The tutorial runs from top to bottom, and teaches what it says: three incidents, three right answers."""

from __future__ import annotations

import re
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
    told = re.findall("<td>(.*?)</td>", cells[-1].outputs[0].data["text/html"])
    causes = ["rotation / leaf-key-rotated", "mitm / interception-untrusted-ca"]
    causes.append("misconfiguration / certificate-hash-pinned")
    assert told == [word for cause in causes for word in (cause, cause, "")], "built as, judged as, and no guess"
    everything = "\n".join(shown)
    assert "Do not add the key that was seen to any pin list" in everything
    assert any(text.startswith("Explanation(certificate-hash-pinned") for text in shown), "what was hashed is named"
    assert "{'as shipped': 'no', 'with the key that was seen': 'yes'}" in shown, (
        "what the wrong fix would have let pass"
    )
    pictures = [output for cell in cells for output in cell.outputs if "<figure>" in str(output.get("data"))]
    assert len(pictures) >= 4
