"""Reads the runbooks: Markdown with front matter, and a section for each cause.

A heading whose code span is a cause, as in "### `leaf-key-rotated`: the server got a new leaf key", begins that cause's
section. Other headings belong to the reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from irkit import render
from irkit.errors import InputError
from irkit.files import workbench_file

__all__ = ["Runbook", "RunbookSection", "load_runbook", "section"]

_HEADING = re.compile(r"(#{1,6}) +(.*?) *#* *")
_CAUSE = re.compile(r"`([^`]+)`:? *(.*)")
_LEAD = re.compile(r"\*\*(.+?)\.?\*\* *(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, repr=False)
class RunbookSection:
    """What the runbook says of one cause.

    Attributes:
        cause: The slug in its heading.
        title: The rest of the heading.
        text: Markdown, without the heading.
        line: Where the heading stands in the file, from 1.
    """

    cause: str
    title: str
    text: str
    line: int

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Its paragraphs as (lead, text) on one line each: ("Do not", "Bring back a key that …"). No lead: empty."""
        found = []
        for paragraph in re.split(r"\n\s*\n", self.text):
            match = _LEAD.fullmatch(paragraph.strip())
            lead, body = (match[1], match[2]) if match else ("", paragraph)
            found.append((lead, " ".join(body.split())))
        return tuple(part for part in found if any(part))

    def __repr__(self) -> str:
        lines = [f"{self.cause}: {self.title}"]
        lines += [f"  {lead}: {body}" if lead else f"  {body}" for lead, body in self.parts]
        return "\n".join(render.text(line, 2000) for line in lines)

    def _repr_html_(self) -> str:
        rows = [(lead, render.html(body, 2000)) for lead, body in self.parts]
        return render.table(("", "the runbook says"), rows, f"{self.cause}: {self.title}")


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook.

    Attributes:
        alert: The Prometheus alert it belongs to.
        owner: Who keeps it right.
        reviewed: When it was last gone through.
        sections: Its causes, in order.
        source: The file.
    """

    alert: str
    owner: str
    reviewed: date
    sections: tuple[RunbookSection, ...]
    source: str = ""

    def section(self, cause: str) -> RunbookSection | None:
        """The section on a cause; None if it has none."""
        return next((found for found in self.sections if found.cause == cause), None)


def load_runbook(path: str | Path) -> Runbook:
    """Reads a runbook.

    Raises:
        InputError: The file can't be read, or its front matter lacks alert, owner or reviewed.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {render.text(path)}: {render.text(error, 120)}", "give a Markdown file") from None
    front, begin = _front_matter(lines, path)
    try:
        reviewed = date.fromisoformat(front["reviewed"])
    except ValueError:
        raise InputError(
            f"{render.text(path)}: reviewed is {render.text(front['reviewed'], 40)}", "write it as 2026-11-23"
        ) from None
    return Runbook(front["alert"], front["owner"], reviewed, _sections(lines, begin), str(path))


def _front_matter(lines: list[str], path: Path) -> tuple[dict[str, str], int]:
    """The `key: value` lines between the first two `---`, and the index of the line after them."""
    if lines[:1] == ["---"] and "---" in lines[1:]:
        end = lines.index("---", 1)
        pairs = (line.partition(":") for line in lines[1:end])
        front = {key.strip(): value.strip() for key, _, value in pairs}
        if all(front.get(key) for key in ("alert", "owner", "reviewed")):
            return front, end + 1
    raise InputError(
        f"{render.text(path)} does not begin with front matter that has alert, owner and reviewed",
        "begin it with ---, alert: …, owner: …, reviewed: 2026-11-23, ---",
    )


def _sections(lines: list[str], begin: int) -> tuple[RunbookSection, ...]:
    headings = []
    fenced = False
    for index in range(begin, len(lines)):
        fenced ^= lines[index].startswith("```")
        if not fenced and (match := _HEADING.fullmatch(lines[index])):
            headings.append((index, len(match[1]), match[2]))
    found = []
    for number, (index, level, title) in enumerate(headings):
        if match := _CAUSE.fullmatch(title):
            # Deeper headings belong to the section.
            end = next((after for after, other, _ in headings[number + 1 :] if other <= level), len(lines))
            content = "\n".join(lines[index + 1 : end]).strip()
            found.append(RunbookSection(match[1], match[2], content, index + 1))
    return tuple(found)


@cache
def _shipped() -> Runbook:
    return load_runbook(workbench_file("runbooks/CertificatePinFailure.md"))


def section(cause: str) -> RunbookSection | None:
    """What the runbook that ships with irkit says of a cause; None if nothing.

    Raises:
        InputError: This installation has no runbooks.
    """
    return _shipped().section(cause)
