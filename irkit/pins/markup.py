"""XML from outside, as a small tree that keeps line numbers and comments: bounded in size, depth and elements."""

from __future__ import annotations

import io
import xml.sax.handler
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax import SAXException

from defusedxml import DefusedXmlException
from defusedxml.expatreader import create_parser

from irkit.errors import InputError
from irkit.render import text

__all__ = ["Element", "parse_xml"]

SIZE = 8 << 20
DEPTH = 64
ELEMENTS = 10_000
TEXT = 16 << 10  # characters kept of one element's text: no host or pin is longer


@dataclass(slots=True)
class Element:
    """An XML element.

    Attributes:
        name: With its prefix, as written.
        line: The line it begins at, from 1.
        text: Its own text, comments left out, of all runs together.
        comments: Comments directly inside, each with its line.
    """

    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""
    comments: list[tuple[int, str]] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The line, as findings name it."""
        return f"line {self.line}"

    def walk(self) -> Iterator[Element]:
        """The element and everything below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name: str) -> list[Element]:
        """The direct children of that name."""
        return [child for child in self.children if child.name == name]


class _Builder(xml.sax.handler.ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Element("", 0)]
        self.count = 0
        self.locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:  # noqa: N802 - SAX names it
        self.locator = locator

    def _line(self) -> int:
        return int(self.locator.getLineNumber() or 0)

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 - SAX names it
        self.count += 1
        if self.count > ELEMENTS or len(self.stack) > DEPTH:
            raise SAXException("nested too deeply or too many elements")
        element = Element(name, self._line(), dict(attrs.items()))
        self.stack[-1].children.append(element)
        self.stack.append(element)

    def endElement(self, name: str) -> None:  # noqa: ARG002, N802 - SAX names it
        self.stack.pop()

    def characters(self, content: str) -> None:
        if len(self.stack) > 1 and len(self.stack[-1].text) < TEXT:
            self.stack[-1].text += content

    def comment(self, content: str) -> None:
        self.stack[-1].comments.append((self._line(), content))

    def startDTD(self, *_: object) -> None:  # noqa: N802 - the lexical handler's other events
        pass

    endDTD = startCDATA = endCDATA = startEntity = endEntity = startDTD  # noqa: N815 - SAX names them


def parse_xml(raw: bytes, name: str = "the file") -> Element:
    """Reads XML whose author is not trusted. Entities and external references are refused.

    Returns:
        The root element. Comments outside it are its own.

    Raises:
        InputError: It is not well-formed, uses entities, or is too large or too deep.
    """
    if len(raw) > SIZE:
        raise InputError(f"{text(name)} has {len(raw)} bytes: too large for a configuration", "give the file itself")
    builder = _Builder()
    parser = create_parser()
    parser.setContentHandler(builder)
    parser.setProperty(xml.sax.handler.property_lexical_handler, builder)
    try:
        parser.parse(io.BytesIO(raw))
    except (SAXException, DefusedXmlException, ValueError, LookupError, OSError) as error:
        raise InputError(
            f"{text(name)} is not XML that can be read: {text(error, 160)}", "give the file as it is in the sources"
        ) from None
    top = builder.stack[0]
    root = top.children[0]
    root.comments = top.comments + root.comments
    return root
