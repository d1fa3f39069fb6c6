"""What papermill gives a notebook, held against what the notebook has: papermill itself only warns, in its log."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from irkit.errors import InputError
from irkit.render import text
from irkit.tomlfile import nearest

__all__ = ["check_given", "kernel_shell"]


def kernel_shell() -> Any:
    """IPython's shell, in a kernel; else None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def check_given(known: Iterable[str] = (), *, shell: Any = None) -> None:
    """Refuses a parameter that the notebook doesn't have, and one of another type than its default.

    Papermill puts parameters into a cell that begins with "# Parameters", after the one with their defaults, and the
    kernel remembers its cells. Without papermill there is nothing to hold, and nothing is refused.

    Args:
        known: Names that need no default in a cell.
        shell: IPython's shell; the kernel's own when left out.

    Raises:
        InputError: With the nearest name, or the type that is wanted.
    """
    shell = kernel_shell() if shell is None else shell
    defaults = dict[str, Any].fromkeys(known)
    for cell in getattr(shell, "user_ns", {}).get("In", ()):
        values = _assigned(cell)
        for name, value in values.items() if cell.startswith("# Parameters\n") else ():
            if name not in defaults:
                raise InputError(f"the notebook has no parameter {text(name, 60)}", nearest(name, defaults))
            _check_type(name, value, defaults[name])
        defaults |= values


def _check_type(name: str, value: Any, default: Any) -> None:
    if None in (value, default) or type(value) is type(default):
        return
    wanted = {"str": "text", "bool": "True or False"}.get(type(default).__name__, type(default).__name__)
    # Papermill makes a number of what looks like one.
    hint = f"give it as text; to papermill with -r {name} …" if wanted == "text" else f"give {wanted}"
    raise InputError(f"the parameter {text(name, 60)} is {type(value).__name__}, not {wanted}: {text(value, 60)}", hint)


def _assigned(cell: str) -> dict[str, Any]:
    """The names that a cell sets, with the constants (else None) that it sets them to; none for one with a magic."""
    found = dict[str, Any]()
    try:
        nodes = list(ast.walk(ast.parse(cell)))
    except (SyntaxError, ValueError):
        return found
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, None)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found |= {one.id: node.value.value for one in node.targets if isinstance(one, ast.Name)}
    return found
