"""Reads the runbooks: Markdown with front matter, and a section for each cause and each check.

A heading with a code span, as in "### `leaf-key-rotated`: the server got a new leaf key", begins the section of that
cause or check id; several ids with commas between share one. Other headings belong to the reader. A paragraph that
begins with "**Impact.**" begins the part of that name. A team's own sections come before those that ship with irkit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal

from irkit import render
from irkit.errors import InputError
from irkit.files import read_file, workbench_folder
from irkit.missing import Missing
from irkit.render import Markup

__all__ = ["PARTS", "Part", "Runbook", "RunbookSection", "load_runbook", "load_runbooks", "section"]

PARTS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention")  # what a section has to have
SIZE = 2**20  # bytes of a file; more is no runbook
SHOWN = 6000  # characters of a section in a report

Kind = Literal["text", "item", "step", "code"]

_HEADING = re.compile(r"(#{1,6}) +(.*?) *#* *")
_IDS = re.compile(r"(`[^`]+`(?:, *`[^`]+`)*):? *(.*)")
_LEAD = re.compile(r"\*\*([^*]+?)\.?\*\* *(.*)")
_ITEM = re.compile(r"([-*]|\d+[.)]) +(.*)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a section, such as its Mitigation; what stands before the first has no name.

    Attributes:
        blocks: In order: a paragraph or an item of a list (a step where it is numbered) on one line, or lines of code.
    """

    lead: str
    blocks: tuple[tuple[Kind, str], ...]

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(" ".join(words.split()) for _, words in self.blocks)


@dataclass(frozen=True, slots=True, repr=False)
class RunbookSection:
    """What a runbook says of one cause or check.

    Attributes:
        cause: The slug in its heading.
        title: The rest of the heading.
        body: Markdown, without the heading.
        source: The file's name.
        line: Where the heading stands in the file, from 1.
    """

    cause: str
    title: str
    body: str
    source: str = ""
    line: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """What stands under each bold lead, in order."""
        found: list[tuple[str, list[tuple[Kind, str]]]] = [("", [])]
        for kind, words in _blocks(self.body):
            if kind == "text" and (match := _LEAD.fullmatch(words)):
                found.append((match[1], [("text", match[2])] if match[2] else []))
            else:
                found[-1][1].append((kind, words))
        return tuple(Part(lead, tuple(blocks)) for lead, blocks in found if lead or blocks)

    def shown(self, limit: int = SHOWN) -> Markup:
        """The section as HTML; one that is longer than `limit` characters is cut between two blocks, and says so."""
        left, pairs = limit, []
        for part in self.parts:
            kept = [
                block for n, block in enumerate(part.blocks) if sum(len(w) for _, w in part.blocks[: n + 1]) <= left
            ]
            left -= sum(len(words) for _, words in part.blocks)
            made = [_made(kind, [words for _, words in run]) for kind, run in groupby(kept, lambda block: block[0])]
            if len(kept) < len(part.blocks):
                where = f"{self.source}, line {self.line}" if self.source else "the runbook"
                made.append(render.paragraph(f"Cut here: the rest is in {where}."))
            pairs.append((part.lead, render.fragment(*made)))
            if left < 0:
                break
        return render.definitions(pairs)

    def __repr__(self) -> str:
        lines = [f"{self.cause}: {self.title}"]
        lines += [f"  {part.lead}: {part.text}" if part.lead else f"  {part.text}" for part in self.parts]
        return "\n".join(render.text(line, 2000) for line in lines)

    def _repr_html_(self) -> str:
        return render.cell(render.fragment(render.heading(f"{self.cause}: {self.title}"), self.shown()))


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook.

    Attributes:
        alert: The Prometheus alert it belongs to.
        owner: Who keeps it right.
        reviewed: When it was last gone through.
        sections: One for each id, in order; ids that share a section have one each.
        source: The file.
    """

    alert: str
    owner: str
    reviewed: date
    sections: tuple[RunbookSection, ...]
    source: str = ""

    def section(self, cause: str) -> RunbookSection | None:
        """The section on a cause or check id; None if it has none."""
        return next((found for found in self.sections if found.cause == cause), None)


def load_runbook(path: str | Path) -> Runbook:
    """Reads a runbook.

    Raises:
        InputError: The file can't be read, or its front matter lacks alert, owner or reviewed.
    """
    path = Path(path)
    try:
        lines = read_file(path, "give a Markdown file, not longer", limit=SIZE).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"can't read {render.text(path)}: {render.text(error, 120)}", "give a Markdown file") from None
    front, begin = _front_matter(lines, path)
    try:
        reviewed = date.fromisoformat(front["reviewed"])
    except ValueError:
        raise InputError(
            f"{render.text(path)}: reviewed is {render.text(front['reviewed'], 40)}", "write it as 2026-11-23"
        ) from None
    return Runbook(front["alert"], front["owner"], reviewed, tuple(_sections(lines, begin, path.name)), str(path))


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


def _sections(lines: list[str], begin: int, source: str) -> Iterator[RunbookSection]:
    headings = []
    fenced = False
    for index in range(begin, len(lines)):
        fenced ^= lines[index].startswith("```")
        if not fenced and (match := _HEADING.fullmatch(lines[index])):
            headings.append((index, len(match[1]), match[2]))
    for number, (index, level, title) in enumerate(headings):
        if match := _IDS.fullmatch(title):
            # Deeper headings belong to the section.
            end = next((after for after, other, _ in headings[number + 1 :] if other <= level), len(lines))
            body = "\n".join(lines[index + 1 : end]).strip()
            for name in re.findall(r"`([^`]+)`", match[1]):
                yield RunbookSection(name, match[2], body, source, index + 1)


def _made(kind: Kind, blocks: list[str]) -> Markup:
    """Blocks of one kind that follow each other, as HTML."""
    if kind == "code":
        return render.fragment(*map(render.code, blocks))
    said = [render.html(words.replace("`", ""), SHOWN) for words in blocks]
    if kind == "text":
        return render.fragment(*map(render.paragraph, said))
    return render.bullets(said) if kind == "item" else render.steps(said)


def _blocks(body: str) -> Iterator[tuple[Kind, str]]:
    """Paragraphs and items of lists, each on one line, and fenced or indented code as it stands."""
    kind: Kind = "text"
    lines: list[str] = []
    fenced = False
    for line in [*body.splitlines(), ""]:
        item = None if fenced else _ITEM.fullmatch(line)
        fence = line.startswith("```")
        indented = (
            not fenced and line.startswith("    ") and kind not in ("item", "step") and (not lines or kind == "code")
        )
        ends = fence or (not fenced and (not line.strip() or item is not None or (kind == "code" and not indented)))
        if ends and lines:
            yield kind, "\n".join(lines) if kind == "code" else " ".join(lines)
            lines = []
        if fence:
            fenced = not fenced
            kind = "code" if fenced else "text"
        elif fenced or indented:
            kind = "code"
            lines.append(line if fenced else line[4:])
        elif line.strip():
            if not lines:
                kind = "text" if item is None else "step" if item[1][0].isdigit() else "item"
            lines.append(line.strip() if item is None else item[2])


@cache
def _shipped() -> dict[str, RunbookSection]:
    found = (load_runbook(path) for path in sorted(workbench_folder("runbooks").glob("*.md")))
    return {section.cause: section for runbook in found for section in runbook.sections}


def section(cause: str, own: tuple[RunbookSection, ...] = ()) -> RunbookSection | None:
    """What the runbooks say of a cause or a check id; None if nothing.

    Args:
        cause: Its slug.
        own: A team's sections, as `load_runbooks` gives them; they come before those that ship with irkit.
    """
    mine = next((found for found in own if found.cause == cause), None)
    if mine is not None:
        return mine
    try:
        return _shipped().get(cause)
    except InputError:  # this installation has no runbooks
        return None


def load_runbooks(folder: str | Path) -> tuple[tuple[RunbookSection, ...], tuple[Missing, ...]]:
    """Reads a team's own runbooks: every `.md` file of a folder.

    Returns:
        Their sections, and what is wrong: a file that can't be read, a heading that names no cause or check, a section
        with nothing in it (which then is left out). The other sections count.

    Raises:
        InputError: There is no such folder, or no Markdown file in it.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.md")) if folder.is_dir() else []
    if not files:
        raise InputError(f"no runbook in {render.text(folder)}", "name a folder with Markdown files")
    found, wrong = dict[str, RunbookSection](), list[Missing]()
    try:
        known = _shipped()
    except InputError:
        known = {}
    for file in files:
        source = f"runbook {file.name}"
        try:
            runbook = load_runbook(file)
        except InputError as error:
            wrong.append(Missing.of(source, error))
            continue
        for one in runbook.sections:
            if not one.parts:
                wrong.append(Missing(source, f"line {one.line}: the section on {one.cause} is empty", "fill it"))
            elif one.cause in found:
                wrong.append(Missing(source, f"line {one.line}: {one.cause} has a section already", "keep one of them"))
            else:
                found[one.cause] = one
                if known and one.cause not in known:
                    near = difflib.get_close_matches(one.cause, known, 1, 0.5)
                    hint = f"did you mean {near[0]!r}?" if near else "name a cause or a check"
                    wrong.append(Missing(source, f"line {one.line}: {one.cause} is no cause and no check", hint))
    return tuple(found.values()), tuple(wrong)
