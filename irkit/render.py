"""The one place that makes HTML, Markdown, terminal text and text for plots.

Certificate fields, metric labels, reports and file names come from whoever presented them. Everything shown passes
through here: control characters, bidirectional overrides and invisible characters become visible escapes, markup is
escaped for its sink, and MathJax is kept away from data. Nothing else in irkit calls a rich sink; a test looks for it.

A piece of HTML made here is `Markup` and passes through as it is; everything else is escaped. Adding a `Markup` to a
text gives a plain `str`, which is escaped again: a mistake shows tags, it never lets any in.
"""

from __future__ import annotations

import base64
import html as _html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from irkit.style import STYLE

__all__ = [
    "SYMBOLS", "Markup", "aside", "badge", "banner", "bullets", "card", "cards", "cell", "code", "contents",
    "copy_button", "definitions", "details", "fence", "figure", "fragment", "heading", "html", "label", "link",
    "markdown", "moment", "own_keys", "page", "paragraph", "percent", "plain", "plot_text", "section", "show", "status",
    "steps", "strong", "table", "text", "text_table",
]  # fmt: skip

LIMIT = 300  # characters of one value shown; a CN can hold a megabyte
ROWS = 60  # rows of one table shown; a chain can hold hundreds of certificates

# Categories whose characters act on a terminal or a reader's eye instead of being read: controls, formats
# (bidirectional overrides, zero-width), surrogates, private use, unassigned, separators, enclosing marks.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me"})
# Letters, marks and symbols that draw nothing (Unicode's Default_Ignorable_Code_Point, and the empty Braille cell).
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# Scripts with letters that look like Latin ones; inside a word or host name that has Latin letters they are spelt out.
_LOOKALIKE = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "FULLWIDTH", "MATHEMATICAL"})
_PLAIN = re.compile(r"[ -~]*\Z")
_PERCENT = re.compile(r"(?<=\d) %")  # kept on the line of its number
_WORD = re.compile(r"[\w.-]+|[^\w.-]")

SYMBOLS = {
    "mitm": "✖", "inconclusive": "?", "misconfiguration": "⚙", "rotation": "↻", "not-a-pin-failure": "○", "none": "✓",
}  # fmt: skip


class Markup(str):
    """HTML made by this module: safe to put into a page as it is. Its `repr` is the plain text of it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        # The style is scoped to this class, so that a section looks in a notebook as it does in the report.
        return f'<div class="irkit-view irkit-cell tex2jax_ignore mathjax_ignore"><style>{STYLE}</style>{self!s}</div>'

    def __repr__(self) -> str:
        return plain(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's signature
        printer.text(plain(self))


def text(value: object, limit: int = LIMIT) -> str:
    r"""One value as one line of plain text that no terminal obeys.

    Args:
        value: Anything; its `str()` is shown.
        limit: The most characters shown; what is cut is counted.

    Returns:
        The text with every control, format, invisible or look-alike character as `\u{…}`, so that a reader sees that
        it was there.
    """
    shown = str(value)
    cut = len(shown) - limit
    if cut > 0:
        shown = shown[:limit]
    if not _PLAIN.match(shown):
        shown = "".join(_visible(word) for word in _marks_apart(shown))
    return f"{shown}… ({cut} more characters)" if cut > 0 else shown


def _marks_apart(shown: str) -> list[str]:
    """The words of a text, with the third and further of stacked combining marks spelt out."""
    stack, kept = 0, []
    for char in shown:
        stack = stack + 1 if unicodedata.combining(char) else 0
        kept.append(char if stack < 3 else _spell(char))
    return _WORD.findall("".join(kept))


def _visible(word: str) -> str:
    latin = any(char.isascii() and char.isalpha() for char in word)
    return "".join(_spell(char) if _hidden(char, latin=latin) else char for char in word)


def _hidden(char: str, *, latin: bool) -> bool:
    if " " <= char <= "~":
        return False
    if unicodedata.category(char) in _INVISIBLE or _BLANK.match(char):
        return True
    return latin and unicodedata.name(char, "").split(" ")[0] in _LOOKALIKE


def _spell(char: str) -> str:
    return f"\\u{{{ord(char):x}}}"


def html(value: object, limit: int = LIMIT) -> Markup:
    """One value as HTML text: escaped, with nothing invisible in it. Markup passes as it is."""
    if isinstance(value, Markup):
        return value
    shown = text(value, limit)
    escaped = _PERCENT.sub("&nbsp;%", _html.escape(shown, quote=True))
    # Right-to-left letters would pull the words and numbers around them out of their order.
    turned = not shown.isascii() and any(unicodedata.bidirectional(char) in {"R", "AL", "AN"} for char in shown)
    return Markup(f"<bdi>{escaped}</bdi>" if turned else escaped)


def _attribute(value: object, limit: int) -> str:
    return _html.escape(text(value, limit), quote=True)


# What is spelt out, what is escaped wherever it stands, and what acts only in some places.
_MARKDOWN = re.compile(
    r"(?P<spelt>[@$]|\\(?=[(\[]|begin|end))|[\\`*_{}\[\]<>#!|~&]|:(?=//|[\w+-]+:)|(?<=[Ww])\.|\A[-+=]"
)


def markdown(value: object, limit: int = LIMIT) -> str:
    r"""One value as Markdown text: no link, image, code span, list, HTML or mathematics can begin in it.

    `@`, `$` and the backslash of `\(` become `\u{…}`: several programs notify people for a mention, or typeset
    mathematics, even when it is escaped.
    """

    def escape(match: re.Match[str]) -> str:
        if match["spelt"]:
            return f"\\\\u\\{{{ord(match[0]):x}\\}}"
        return {"<": "&lt;", "&": "&amp;"}.get(match[0], "\\" + match[0])

    escaped = _MARKDOWN.sub(escape, text(value, limit).strip())
    return re.sub(r"\A(\d+)([.)])", r"\1\\\2", escaped)  # a numbered list


def label(value: object, limit: int = 80) -> str:
    r"""One value as the text of a widget: JupyterLab typesets what stands between two `$`, or in `\\(…\\)`, in some."""
    return re.sub(r"\$|\\(?=[(\[])", lambda match: f"\\u{{{ord(match[0]):x}}}", text(value, limit))


def cell(markup: Markup) -> str:
    """Markup as a notebook shows it, with the report's style."""
    return html(markup)._repr_html_()


def status(*parts: object) -> Markup:
    """What is going on, in a line that a screen reader reads out when it changes."""
    return Markup(f'<p role="status">{" ".join(html(part, 600) for part in parts if part)}</p>')


def plot_text(value: object, limit: int = 40) -> str:
    r"""One value as text in a matplotlib figure: no mathematics begins in it, and its font has every letter.

    matplotlib typesets what stands between two `$`, and raises when that is broken; `\$` is a dollar sign to it.
    """
    shown = "".join(char if ord(char) < 0x530 else _spell(char) for char in text(str(value)[: limit + 1]))
    shown = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return shown.replace("$", "\\$")


def plain(markup: Markup) -> str:
    """Markup as text for a terminal; a picture becomes its alt text."""
    shown = re.sub(r'<img alt="([^"]*)"[^>]*>', r"[picture: \1]<br>", markup)
    shown = re.sub(r"</(td|th|dt)>", "  ", shown)
    shown = re.sub(r"<li>", "- ", shown)
    shown = re.sub(r"</(p|h\d|li|tr|dd|div|pre|caption|summary|figcaption|table|ul|ol)>|<br>", "\n", shown)
    shown = _html.unescape(re.sub(r"<[^>]*>", "", shown).replace("&nbsp;", " "))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in shown.splitlines())).strip()


def moment(at: datetime | None, *, seconds: bool = False) -> str:
    """A time as `2026-11-23 08:42 UTC`; `unknown` for None."""
    if at is None:
        return "unknown"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def percent(share: float | None) -> str:
    """A share as `97 %`, with digits enough to be told from none and from all; `unknown` for None."""
    if share is None:
        return "unknown"
    value = 100 * share
    if 0 < value < 0.01:
        return "under 0.01 %"
    digits = 2 if 0 < value < 1 else 1 if 99 < value < 100 or 0 < value < 10 else 0
    return f"{min(value, 99.9) if value < 100 else value:.{digits}f} %"


def fragment(*parts: object, limit: int = LIMIT) -> Markup:
    """Parts joined into one piece of HTML; whatever is not Markup is escaped."""
    return Markup("".join(html(part, limit) for part in parts))


def _element(tag: str, content: object, limit: int = 1000) -> Markup:
    return Markup(f"<{tag}>{html(content, limit)}</{tag}>")


def strong(value: object) -> Markup:
    """Important text."""
    return _element("strong", value)


def paragraph(*parts: object) -> Markup:
    """A paragraph."""
    return _element("p", fragment(*parts, limit=1000))


def heading(value: object, level: int = 3) -> Markup:
    """A heading, level 1 to 6."""
    return _element(f"h{level}", value)


def bullets(items: Iterable[object]) -> Markup:
    """A list without order; nothing for no items."""
    made = "".join(_element("li", item) for item in items)
    return Markup(f"<ul>{made}</ul>" if made else "")


def steps(items: Iterable[object]) -> Markup:
    """A list in order; nothing for no items."""
    made = "".join(_element("li", item) for item in items)
    return Markup(f"<ol>{made}</ol>" if made else "")


def definitions(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Terms, each with what it is."""
    made = "".join(_element("dt", term) + _element("dd", meaning) for term, meaning in pairs)
    return Markup(f"<dl>{made}</dl>")


def details(summary: object, *body: object) -> Markup:
    """What is hidden until the reader opens it; a printed page shows it open."""
    return Markup(f"<details>{_element('summary', summary)}<div>{fragment(*body)}</div></details>")


def code(value: object) -> Markup:
    """Lines to copy, such as commands. Line ends are kept, every other control character is made visible."""
    lines = "\n".join(_html.escape(text(line, 2000)) for line in str(value).split("\n")[:200])
    return Markup(f"<pre><code>{lines}</code></pre>")


# Puts what the button holds on the clipboard and says so beside it. Browsers give a page the clipboard only over https
# or on this machine; elsewhere the older way remains. The script is this text alone: what is copied is an attribute.
_COPY = """
const told = this.nextElementSibling, whole = this.dataset.copy;
const older = () => {
  const box = document.createElement('textarea');
  box.value = whole; document.body.append(box); box.select();
  const done = document.execCommand('copy');
  box.remove(); this.focus(); return done ? Promise.resolve() : Promise.reject();
};
const copied = navigator.clipboard ? navigator.clipboard.writeText(whole).catch(older) : older();
const say = words => () => { told.textContent = words; };
copied.then(say('Copied.'), say('Not copied: select it, then Ctrl+C.'));
"""


def copy_button(name: object, value: object) -> Markup:
    """A button that copies a value, of one line or more; for the widgets of a notebook: a report runs no script."""
    whole = "\n".join(text(line, 4000) for line in str(value).split("\n")[:4000])
    said = f'data-copy="{_html.escape(whole)}" onclick="{_html.escape(_COPY.strip())}"'
    return Markup(f'<button type="button" class="copy" {said}>{html(name)}</button><span role="status"></span>')


# JupyterLab's mark of an element whose keys are its own; it looks for it on the focused element itself
# (https://github.com/jupyterlab/lumino, packages/commands).
_KEYS = (
    "this.closest('.jp-OutputArea-output')?.addEventListener('focusin', "
    "event => event.target.setAttribute('data-lm-suppress-shortcuts', 'true'))"
)


def own_keys() -> Markup:
    """Keeps JupyterLab's shortcuts out of the output it is in: there, the arrows would leave a list, `d d` a cell."""
    return Markup(f'<style onload="{_html.escape(_KEYS)}">/* nothing is drawn */</style>')


def badge(verdict: str) -> Markup:
    """A verdict as symbol and word; colour only repeats what they say."""
    kind = verdict if verdict in SYMBOLS else "inconclusive"
    word = html(verdict.upper().replace("-", " ") if verdict else "NO VERDICT")
    return Markup(f'<span class="badge {kind}"><span aria-hidden="true">{SYMBOLS[kind]}</span> {word}</span>')


def fence(lines: Iterable[object]) -> str:
    """Lines to copy as a fenced block of Markdown; none of them can end it."""
    made = (text(line, 1000).replace("`", "\\u{60}") for line in lines)
    return "\n".join(("```", *made, "```"))


def banner(*parts: object) -> Markup:
    """A warning about the report itself, before everything else."""
    return Markup(f'<div class="banner" role="alert">{fragment(*parts, limit=1000)}</div>')


def card(title: object, *body: object, stop: bool = False) -> Markup:
    """A framed part of the first screen; `stop` marks what must not be done."""
    kind = "card stop" if stop else "card"
    return Markup(f'<div class="{kind}"><h2>{html(title)}</h2>{fragment(*body, limit=1000)}</div>')


def cards(*made: Markup) -> Markup:
    """Cards side by side where there is room."""
    return Markup(f'<div class="cards">{fragment(*made)}</div>')


def aside(*parts: object) -> Markup:
    """A paragraph of lesser weight: where something comes from, what a picture leaves out."""
    return Markup(f'<p class="muted">{fragment(*parts, limit=1000)}</p>')


def contents(entries: Iterable[tuple[str, object]]) -> Markup:
    """Links to the sections of a page: (anchor, title)."""
    made = " · ".join(f'<a href="#{_attribute(anchor, 60)}">{html(title)}</a>' for anchor, title in entries)
    return Markup(f'<nav aria-label="Sections"><p>{made}</p></nav>')


def link(path: str, value: object) -> Markup:
    """A link to a file beside the page. The path is ours, never data."""
    return Markup(f'<a href="{_attribute(path, 300)}">{html(value)}</a>')


def section(anchor: str, title: object, *body: object) -> Markup:
    """A part of a page with its heading, reachable as `#anchor` (a name of our own, never data)."""
    inner = fragment(*body)
    return Markup(f'<section id="{_attribute(anchor, 60)}"><h2>{html(title)}</h2>{inner}</section>\n')


def table(
    headers: Sequence[object], rows: Iterable[Sequence[object]], caption: object = "", limit: int = ROWS
) -> Markup:
    """An HTML table with header cells, a caption and MathJax kept away; rows past `limit` are counted, not shown."""
    kept = list(rows)
    more = len(kept) - limit
    # A cell over nothing named is no header; axe-core: empty-table-header.
    head = "".join(f'<th scope="col">{html(name)}</th>' if str(name) else "<td></td>" for name in headers)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in kept[:limit])
    if more > 0:
        body += f'<tr><td colspan="{len(headers)}">and {more} more rows</td></tr>'
    title = f"<caption>{html(caption)}</caption>" if caption else ""
    return Markup(
        # What scrolls can be scrolled with the keyboard; axe-core: scrollable-region-focusable.
        f'<div class="wide" tabindex="0" role="group" aria-label="{_attribute(plain(html(caption)) or "Table", 120)}">'
        f'<table class="irkit tex2jax_ignore mathjax_ignore">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    made = html(value)
    words = re.sub(r"<[^>]*>", " ", made).split()
    # A time stays on one line; only what is long, such as a pin, may be broken within a word.
    kind = "long" if any(len(word) > 24 for word in words) else "short" if len(" ".join(words)) <= 22 else ""
    return f'<td class="{kind}">{made}</td>' if kind else f"<td>{made}</td>"


def text_table(headers: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table for the terminal, columns aligned."""
    cells = [[text(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def figure(png: bytes, alt: object, caption: object = "") -> Markup:
    """A picture inside the page, with alt text, as `<figure><img alt=…>`."""
    data = base64.b64encode(png).decode()
    title = f"<figcaption>{html(caption, 1000)}</figcaption>" if caption else ""
    # On a phone the picture keeps a readable size, and scrolls; so it has to be reached with the keyboard.
    image = f'<img alt="{_attribute(alt, 3000)}" src="data:image/png;base64,{data}">'
    return Markup(
        f'<figure><div class="wide" tabindex="0" role="group" aria-label="Picture">{image}</div>{title}</figure>'
    )


def page(title: object, body: Markup) -> str:
    """A whole HTML page, with the title as text, that can run no script and load nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>{_attribute(title, LIMIT)}</title><style>{STYLE}</style></head>\n"
        f'<body class="irkit-view tex2jax_ignore mathjax_ignore"><main>{html(body)}</main></body></html>\n'
    )


def show(markup: Any) -> None:
    """Displays Markup, or an object with `_repr_html_`, in a notebook."""
    from IPython.display import display

    display(markup)  # type: ignore[no-untyped-call]  # IPython ships no types for it
