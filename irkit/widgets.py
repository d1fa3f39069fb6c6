"""The controls of the notebook's form, plain functions around ipywidgets. The one importer of ipywidgets.

Whatever is shown is made by `irkit.render`: `html` takes nothing else. Texts of data that stand in a control pass
`irkit.render.label`, which no MathJax typesets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from irkit.render import Markup, cell, own_keys

__all__ = [
    "area", "bar", "button", "choice", "column", "focus", "grid", "hide", "html", "listing", "named", "panel", "put",
    "row", "suggest", "switch", "text_field",
]  # fmt: skip

_LABEL = "8rem"  # wide enough for the longest
_FIELD = "44rem"


def _show(markup: Markup) -> str:
    if not isinstance(markup, Markup):
        raise TypeError("only irkit.render makes HTML")
    return cell(markup)


def html(markup: Markup, width: str = "72rem") -> Any:
    """HTML of `irkit.render`, and of nobody else."""
    return widgets.HTML(_show(markup), layout=widgets.Layout(max_width=width, margin="0"))


def put(shown: Any, markup: Markup) -> None:
    """Shows something else in an `html`."""
    shown.value = _show(markup)


def button(name: str, act: Callable[[], None], *, primary: bool = False, width: str = "auto", hint: str = "") -> Any:
    """A button. It may act in another thread than the kernel's loop."""
    style = "primary" if primary else ""
    made = widgets.Button(
        description=name, button_style=style, tooltip=hint, layout=widgets.Layout(width=width, flex="0 0 auto")
    )
    made.on_click(lambda _: act())
    return made


def _field(width: str = _FIELD, label: str = _LABEL) -> dict[str, Any]:
    # One layout for each: one that two share hides both.
    return {"layout": widgets.Layout(width=width, max_width="100%"), "style": {"description_width": label}}


def text_field(name: str, value: str = "", hint: str = "") -> Any:
    """A line of text."""
    return widgets.Text(value=value, description=name, placeholder=hint, **_field())


def suggest(name: str, options: Sequence[str], value: str = "", hint: str = "") -> Any:
    """A line of text with suggestions."""
    return widgets.Combobox(
        options=list(options), value=value, description=name, placeholder=hint, ensure_option=False, **_field()
    )


def area(name: str, value: str = "", hint: str = "") -> Any:
    """Lines of text."""
    return widgets.Textarea(value=value, description=name, placeholder=hint, rows=4, **_field())


def choice(name: str, options: Sequence[Any], value: Any = None, *, small: bool = False) -> Any:
    """One of several, in a list that opens."""
    chosen = {} if value is None else {"value": value}
    size = _field("17rem", "4.5rem") if small else _field()
    return widgets.Dropdown(options=list(options), description=name, **chosen, **size)


def listing(name: str, rows: int = 4) -> Any:
    """One of several, in a list that is open."""
    return widgets.Select(description=name, rows=rows, **_field())


def switch(name: str, options: Sequence[str], value: str) -> Any:
    """One of a few, side by side."""
    return widgets.ToggleButtons(options=list(options), value=value, tooltips=[f"{name}: {one}" for one in options])


def named(name: str, control: Any) -> Any:
    """A control that has no name of its own at its left, as the fields have theirs."""
    at_right = widgets.Layout(width=_LABEL, display="flex", justify_content="flex-end", margin="2px 8px 2px 2px")
    return widgets.HBox([widgets.Label(name, layout=at_right), control], layout=widgets.Layout(align_items="center"))


def bar() -> Any:
    """A bar from 0 to 1."""
    return widgets.FloatProgress(value=0, max=1, layout=widgets.Layout(width="12rem", flex="0 0 auto"))


def row(parts: Sequence[Any] = ()) -> Any:
    """Side by side."""
    return widgets.HBox(list(parts), layout=widgets.Layout(align_items="center", flex_flow="row wrap"))


def column(parts: Sequence[Any] = ()) -> Any:
    """One below the other."""
    return widgets.VBox(list(parts))


def panel(parts: Sequence[Any]) -> Any:
    """A column that is an output of its own: the keys pressed in it are its own."""
    return widgets.VBox([*parts, html(own_keys())])


def grid(cells: Sequence[Any], columns: str) -> Any:
    """In rows and columns; `columns` as CSS has them."""
    layout = widgets.Layout(grid_template_columns=columns, grid_gap="2px 8px", align_items="center", overflow="auto")
    return widgets.GridBox(list(cells), layout=layout)


def hide(control: Any, hidden: bool) -> None:
    """Takes a control out of sight and of the keyboard's way, or brings it back."""
    control.layout.display = "none" if hidden else None


def focus(control: Any) -> None:
    """Brings a control into view, with the keyboard on it."""
    control.focus()
