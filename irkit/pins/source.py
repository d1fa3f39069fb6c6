"""Just enough of Kotlin, Java, Swift, Objective-C, JavaScript and Python to find pins that are written in sources.

Tokens, constants of the same file, string concatenation and templates, list and dictionary literals. What is computed
elsewhere is `Unknown`, with the text that stands there: irkit says so instead of guessing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from irkit.errors import InputError
from irkit.render import text

__all__ = ["Source", "Token", "Unknown", "decode_text", "written"]

TOKENS = 400_000
STEPS = 3_000_000
LENGTH = 4096  # characters of a string or of a constant put together
DEPTH = 40

# `//` begins no comment inside a URL or a pin: strings are matched before comments. What is not closed ends with its
# line or the file: looking on for the end from each next opening would take time without bound.
_TOKEN = re.compile(
    r'(?P<raw>"""(?s:.*?)(?:"""|\Z)|\'\'\'(?s:.*?)(?:\'\'\'|\Z))'
    r'|(?P<string>"(?:[^"\\\n]|\\.)*+\\?(?:"|$)|\'(?:[^\'\\\n]|\\.)*+\\?(?:\'|$)|`(?:[^`\\]|\\(?s:.))*+\\?(?:`|\Z))'
    r"|(?P<comment>//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|(?:(?<=\s)|^)#(?=[ #])[^\n]*)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<space>\s+)|(?P<mark>.)",
    re.MULTILINE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_TEMPLATE = re.compile(r"\$\{([\w.]+)\}|\$([A-Za-z_]\w*)|\\\(([\w.]+)\)")
_LISTS = {"listOf", "arrayOf", "setOf", "mutableListOf", "asList", "of", "Set", "Array"}
_COPIES = {"toTypedArray", "toList", "toSet"}
_TYPES = {"class", "object", "struct", "enum", "interface", "extension"}
_DECLARE = {"val", "var", "let", "const", "final", "static", "return"}
_TRUE, _FALSE = {"true", "True", "YES", "TRUE"}, {"false", "False", "NO", "FALSE"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a string (decoded), a mark, or a comment, with its line."""

    kind: Literal["word", "string", "mark", "comment"]
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that the file does not define, as it is written there."""

    written: str


def decode_text(raw: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        InputError: It is neither UTF-8 nor UTF-16 with a byte-order mark.
    """
    try:
        return raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{text(name)} is in no format that irkit knows", "say which with platform=, or give the text of it"
        ) from None


def _unescape(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(int(match[1], 16))
    # Swift's \(name) stays for the template.
    return "\\(" if match[2] == "(" else _ESCAPES.get(match[2], match[2])


def _tokens(content: str) -> Iterator[Token]:
    line = 1
    for count, match in enumerate(_TOKEN.finditer(content)):
        if count > TOKENS:
            raise InputError("the source has too many tokens", "give the file with the pins alone")
        value = match[0]
        if match["raw"]:
            yield Token("string", value[3:].removesuffix(value[:3]), line)
        elif match["string"]:
            yield Token(
                "string", re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", _unescape, value[1:].removesuffix(value[0])), line
            )
        elif match["comment"]:
            yield Token("comment", value, line)
        elif match["word"] or match["number"]:
            yield Token("word", value, line)
        elif match["mark"] and value != "@":  # Objective-C's literals are read like the others
            yield Token("mark", value, line)
        line += value.count("\n")


class Source:
    """A source file: its tokens, its comments and the constants it defines."""

    def __init__(self, content: str) -> None:
        found = list(_tokens(content))
        self.tokens = [token for token in found if token.kind != "comment"]
        self.comments = [token for token in found if token.kind == "comment"]
        self.constants: dict[str, Any] = {}
        self._steps = 0
        self._types = {"this", "self", "Self", "Companion"} | {
            after.value for token, after in pairwise(self.tokens) if token.value in _TYPES and after.kind == "word"
        }
        for index, token in enumerate(self.tokens):
            if token == Token("mark", "=", token.line) and (name := self._assigned(index)):
                value = self.value(index + 1)[0]
                if not isinstance(value, Unknown):
                    self.constants.setdefault(name, value)

    def _spend(self, steps: int = 1) -> None:
        """Counts what is looked at: unclosed brackets would be read again from each of them."""
        self._steps += steps
        if self._steps > STEPS:
            raise InputError("the source is too involved to read", "give the file with the pins alone")

    def _is(self, index: int, *marks: str) -> bool:
        return index < len(self.tokens) and self.tokens[index].kind == "mark" and self.tokens[index].value in marks

    def _assigned(self, index: int) -> str:
        """The name that the `=` at an index gives a value to; empty where it is no assignment."""
        if index == 0 or self._is(index + 1, "=") or self._is(index - 1, "=", "!", "<", "+", "-"):
            return ""
        name = ""
        for token in reversed(self.tokens[max(0, index - 24) : index]):
            if token == Token("mark", ":", token.line):
                name = ""  # what stands behind it was a type
            elif token.value in _DECLARE or (token.kind == "mark" and token.value not in "<>[]*?,.&"):
                break
            elif token.kind == "word" and not name:
                name = token.value
        return name

    def calls(self, *names: str) -> Iterator[tuple[Token, list[Any]]]:
        """Calls of functions with these names, with their arguments: labels and trailing blocks left out."""
        for index, token in enumerate(self.tokens):
            if token.kind == "word" and token.value in names and self._is(index + 1, "("):
                yield token, self._items(index + 1, ")")[0]

    def value_after(self, *words: str) -> Iterator[tuple[Token, Any]]:
        """The values that follow a word or a string and then `:`, `=`, `,` or `]=`."""
        for index, token in enumerate(self.tokens):
            if token.kind != "mark" and token.value in words:
                after = index + 1
                while self._is(after, "]", ":", "=", ","):
                    after += 1
                if after > index + 1:
                    yield token, self.value(after)[0]

    def value(self, index: int, depth: int = 0) -> tuple[Any, int]:
        """The value that begins at an index, and the index behind it."""
        value, index = self._term(index, depth)
        while self._is(index, "+") and isinstance(value, str | Unknown):
            right, index = self._term(index + 1, depth)
            if isinstance(value, str) and isinstance(right, str) and len(value) + len(right) < LENGTH:
                value += right
            else:
                value = Unknown(f"{written(value)} + {written(right)}"[:LENGTH])
        return value, index

    def _term(self, index: int, depth: int) -> tuple[Any, int]:
        if index >= len(self.tokens) or depth > DEPTH:
            return Unknown(""), index + 1
        self._spend()
        token = self.tokens[index]
        if token.kind == "string":
            return self.filled(token.value), index + 1
        if self._is(index, "*", "(", "&"):  # a spread, or parentheses
            value, after = self.value(index + 1, depth + 1)
            return value, after + self._is(after, ")") if token.value == "(" else after
        if self._is(index, "[", "{"):
            return self._collection(index, depth)
        if token.kind == "mark":
            return Unknown(token.value), index + 1
        if token.value in _TRUE | _FALSE:
            return token.value in _TRUE, index + 1
        if token.value == "new":  # new String[] {…}
            while index < len(self.tokens) and not self._is(index, "{", "(", ";"):
                index += 1
            return self._term(index, depth) if self._is(index, "{") else (Unknown("new"), index)
        return self._name(index, depth)

    def _name(self, index: int, depth: int) -> tuple[Any, int]:
        """A constant, perhaps qualified; or a call, which gives a list where it makes one."""
        words = [self.tokens[index].value]
        index += 1
        while self._is(index, ".") and index + 1 < len(self.tokens) and self.tokens[index + 1].kind == "word":
            if self._is(index + 2, "(") and self.tokens[index + 1].value in _COPIES and words[-1] in self.constants:
                return self.constants[words[-1]], self._items(index + 2, ")")[1]
            words.append(self.tokens[index + 1].value)
            index += 2
        if self._is(index, "("):
            items, index = self._items(index, ")", depth)
            return (items if words[-1] in _LISTS else Unknown(".".join(words) + "(…)")), index
        return self._constant(words), index

    def _constant(self, words: list[str]) -> Any:
        """What a name stands for. One that belongs to a type of another file, as BuildConfig.X, is unknown."""
        table = self.constants.get(words[0])
        if isinstance(table, dict) and len(words) == 2:
            return next((value for key, value in table.items() if words[1] in {key, written(key)}), Unknown(words[1]))
        ours = all(word in self._types for word in words[:-1])
        return self.constants.get(words[-1], Unknown(".".join(words))) if ours else Unknown(".".join(words))

    def filled(self, value: str) -> Any:
        """A string with its templates filled in from constants."""
        unknown = False

        def fill(match: re.Match[str]) -> str:
            nonlocal unknown
            found = self._constant((match[1] or match[2] or match[3]).split("."))
            unknown = unknown or not isinstance(found, str)
            return found if isinstance(found, str) else match[0]

        if len(value) > LENGTH:
            return Unknown(value[:LENGTH])
        filled = _TEMPLATE.sub(fill, value)
        return Unknown(filled[:LENGTH]) if unknown or len(filled) > LENGTH else filled

    def _collection(self, index: int, depth: int) -> tuple[Any, int]:
        """`[…]` or `{…}`: a dict where the first item is followed by a colon, else a list."""
        close = "]" if self._is(index, "[") else "}"
        after = index + 1
        found: dict[Any, Any] = {}
        items: list[Any] = []
        while after < len(self.tokens) and not self._is(after, close):
            begin = after
            value, after = self.value(after, depth + 1)
            if self._is(after, ":"):
                found[self._key(begin, value)], after = self.value(after + 1, depth + 1)
            else:
                items.append(value)
            after = self._next(after, close)
            if after <= begin:
                break
        return (found or items), after + 1

    def _key(self, index: int, value: Any) -> str | Unknown:
        """A key of a dictionary: a string or what is computed to one; else unknown, with the word that stands there."""
        if isinstance(value, list) and len(value) == 1:  # JavaScript's [host]: …
            value = value[0]
        return value if isinstance(value, str | Unknown) else Unknown(self.tokens[index].value)

    def _next(self, after: int, close: str) -> int:
        """Where the next item begins: behind the comma, past casts, blocks and whatever else is not understood."""
        level = 0
        while after < len(self.tokens) and (level or not self._is(after, ",", close)):
            self._spend()
            level += self._is(after, "(", "[", "{") - self._is(after, ")", "]", "}")
            after += 1
        return after + self._is(after, ",")

    def _items(self, index: int, close: str, depth: int = 0) -> tuple[list[Any], int]:
        """The arguments between the parenthesis at an index and its partner; lists among them are spread."""
        after = index + 1
        items: list[Any] = []
        while after < len(self.tokens) and not self._is(after, close):
            begin = after
            if self.tokens[after].kind == "word" and self._is(after + 1, ":", "=") and not self._is(after + 2, "="):
                after += 2  # a label
            value, after = self.value(after, depth + 1)
            items += value if isinstance(value, list) else [value]
            self._spend(len(value) if isinstance(value, list) else 1)
            after = self._next(after, close)
            if after <= begin:
                break
        return items, after + 1


def written(value: Any) -> str:
    """A value as the file has it, for a message."""
    return value.written if isinstance(value, Unknown) else str(value)[:200]
