"""Files that are read with a bound and written whole or not at all; and where the notebooks and runbooks are.

Those are in the wheel beside the code, in a checkout at its top.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path

from irkit.errors import InputError, RunError
from irkit.render import text

__all__ = ["read_file", "run_folder", "workbench_file", "workbench_folder", "write_atomically", "write_whole"]

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


def read_file(path: str | Path, hint: str, *, limit: int = 16 << 20, what: str = "") -> bytes:
    """The bytes of a file that somebody names.

    Args:
        path: The file.
        hint: What to do where it can't be read, or is something else.
        limit: How many bytes it may have.
        what: What the file is.

    Raises:
        InputError: It can't be read, or is larger.
    """
    try:
        with Path(path).open("rb") as file:
            found = file.read(limit + 1)
    except (OSError, ValueError) as error:  # a NUL in the path is a ValueError
        why = getattr(error, "strerror", None) or error
        raise InputError(f"can't read {f'the {what} ' if what else ''}{text(path)}: {text(why, 120)}", hint) from None
    if len(found) > limit:
        raise InputError(f"{text(path)} is larger than {limit >> 20} MB", hint)
    return found


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all, as `write_whole`.

    Raises:
        RunError: The disk is full, or the folder can't be written.
    """
    try:
        write_whole(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise RunError(
            f"can't write {text(path)}: {text(error.strerror)}",
            "give a folder that is there, may be written and has space",
        ) from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place and renames it: a reader never sees half of it, a full disk leaves the old one.

    A process that is killed in between leaves a file whose name begins with `.new-`.

    Raises:
        OSError: The disk is full, or the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def run_folder(parent: Path, started: datetime) -> Path:
    """Makes the folder of a run, `<UTC start>` below its parent; runs of one second get a number each.

    Raises:
        RunError: It can't be made.
    """
    for attempt in range(1000):
        folder = parent / (f"{started:%Y%m%dT%H%M%SZ}" + (f"-{attempt}" if attempt else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(
                f"can't make {text(folder)}: {text(error.strerror)}", "give --out a folder to write"
            ) from None
        return folder
    raise RunError(f"{text(parent)} holds a thousand runs of this second", "give --out another folder")
