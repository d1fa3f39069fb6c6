"""Where the notebooks and runbooks are: in the wheel beside the code, in a checkout at its top."""

from __future__ import annotations

from pathlib import Path

from irkit.errors import InputError

__all__ = ["workbench_file", "workbench_folder"]

_PACKAGE = Path(__file__).parent


def workbench_folder(name: str) -> Path:
    """The folder `notebooks` or `runbooks`.

    Raises:
        InputError: This installation has no such folder.
    """
    for top in (_PACKAGE / "_workbench", _PACKAGE.parent):
        if (top / name).is_dir():
            return top / name
    raise InputError(
        f"this installation of irkit has no folder {name}", 'install it again: pip install "irkit[workbench]"'
    )


def workbench_file(name: str) -> Path:
    """A file that ships with irkit, such as `notebooks/triage.ipynb` or `runbooks/CertificatePinFailure.md`.

    Raises:
        InputError: There is none of that name.
    """
    folder, _, file = name.partition("/")
    path = workbench_folder(folder) / file
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("[!.]*")))
        raise InputError(f"irkit has no file {name}", f"there are: {there}" if there else "")
    return path
