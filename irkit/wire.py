"""What is said on a connection before TLS begins. Sans-I/O: a conversation is a generator that waits for what comes."""

from __future__ import annotations

from collections.abc import Generator

from irkit import render
from irkit.errors import CaptureError

__all__ = ["Wire"]

_HINT = "is this the right port and protocol?"
_LINE = 8192  # the most bytes of a line


class Wire:
    """The words of a conversation.

    Attributes:
        out: What is to be sent now.
        heard: What came and was not read yet.
    """

    def __init__(self) -> None:
        self.out = self.heard = b""

    def say(self, data: bytes) -> None:
        """Has it sent, before the conversation waits again."""
        self.out += data

    def more(self) -> Generator[None, bytes]:
        """Waits until more was heard.

        Raises:
            CaptureError: The connection was closed.
        """
        data = yield
        if not data:
            raise CaptureError("closed the connection", _HINT)
        self.heard += data

    def exactly(self, count: int) -> Generator[None, bytes, bytes]:
        """The next `count` bytes.

        Raises:
            CaptureError: They did not come.
        """
        while len(self.heard) < count:
            yield from self.more()
        found, self.heard = self.heard[:count], self.heard[count:]
        return found

    def line(self) -> Generator[None, bytes, bytes]:
        """The next line, without its end.

        Raises:
            CaptureError: None came, or one longer than 8192 bytes.
        """
        while b"\n" not in self.heard:
            if len(self.heard) > _LINE:
                raise CaptureError(f"answered no line of text: {render.text(self.heard, 60)}", _HINT)
            yield from self.more()
        found, _, self.heard = self.heard.partition(b"\n")
        return found.rstrip(b"\r")

    def until(self, marks: tuple[bytes, ...]) -> Generator[None, bytes, bytes]:
        """Everything, once it holds one of the marks, or is longer than 64 kB.

        Raises:
            CaptureError: Neither came.
        """
        while not any(mark in self.heard for mark in marks) and len(self.heard) < 2**16:
            yield from self.more()
        found, self.heard = self.heard, b""
        return found
