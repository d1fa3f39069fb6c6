"""What has to be said before TLS begins on ports that start in clear."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from xml.sax.saxutils import quoteattr

from irkit import render
from irkit.errors import CaptureError, InputError
from irkit.wire import Wire

__all__ = ["PROTOCOLS", "check_protocol", "start_tls"]

_LINES = 200  # the most lines of one answer


def check_protocol(name: str) -> str:
    """The protocol's name, if it is one of PROTOCOLS.

    Raises:
        InputError: It is not.
    """
    if name not in PROTOCOLS:
        raise InputError(f"no STARTTLS for {render.text(name, 40)}", f"use one of {', '.join(PROTOCOLS)}")
    return name


def start_tls(wire: Wire, protocol: str, name: str) -> Generator[None, bytes]:
    """Brings a fresh connection to where TLS begins.

    Args:
        wire: The conversation.
        protocol: One of PROTOCOLS.
        name: The server's name, which XMPP asks for.

    Raises:
        CaptureError: The server does not speak the protocol, or offers no TLS.
    """
    try:
        yield from PROTOCOLS[protocol](wire, name)
    except CaptureError as error:
        raise CaptureError(f"before TLS, speaking {protocol}, the server {error.message}", error.hint) from None


def _refused(answer: bytes) -> CaptureError:
    said = render.text(answer.decode("utf-8", "backslashreplace"), 80)
    return CaptureError(
        f"answered {said}", "is this the right port and starttls=, and does the server offer TLS there?"
    )


def _reply(wire: Wire, wanted: bytes) -> Generator[None, bytes]:
    """A reply of SMTP or FTP: lines `123-…` and a last `123 …` (RFC 5321, section 4.2.1; RFC 959, section 4.2)."""
    lines = []
    for _ in range(_LINES):
        lines.append((yield from wire.line()))
        if lines[-1][:3].isdigit() and lines[-1][3:4] in {b" ", b""}:
            break
    if not lines[-1].startswith(wanted):
        raise _refused(lines[-1])


def _smtp(wire: Wire, _: str) -> Generator[None, bytes]:
    """RFC 3207."""
    yield from _reply(wire, b"220")
    wire.say(b"EHLO localhost\r\n")
    yield from _reply(wire, b"250")
    wire.say(b"STARTTLS\r\n")
    yield from _reply(wire, b"220")


def _ftp(wire: Wire, _: str) -> Generator[None, bytes]:
    """RFC 4217."""
    yield from _reply(wire, b"220")
    wire.say(b"AUTH TLS\r\n")
    yield from _reply(wire, b"234")


def _imap(wire: Wire, _: str) -> Generator[None, bytes]:
    """RFC 9051, section 6.2.1."""
    greeting = yield from wire.line()
    if not greeting.startswith((b"* OK", b"* PREAUTH")):
        raise _refused(greeting)
    wire.say(b"a STARTTLS\r\n")
    for _n in range(_LINES):
        answer = yield from wire.line()
        if answer.startswith(b"a "):
            break
    if not answer.upper().startswith(b"A OK"):
        raise _refused(answer)


def _pop3(wire: Wire, _: str) -> Generator[None, bytes]:
    """RFC 2595, section 4."""
    for command in (b"", b"STLS\r\n"):
        if command:
            wire.say(command)
        answer = yield from wire.line()
        if not answer.startswith(b"+OK"):
            raise _refused(answer)


def _xmpp(wire: Wire, name: str) -> Generator[None, bytes]:
    """RFC 6120, section 5."""
    wire.say(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        b"version='1.0' to=" + quoteattr(name).encode() + b">"
    )
    features = yield from wire.until((b"</stream:features>", b"</features>", b"<stream:features/>", b"stream:error"))
    if b"urn:ietf:params:xml:ns:xmpp-tls" not in features:
        raise _refused(features)
    wire.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    answer = yield from wire.until((b">",))
    if b"<proceed" not in answer:
        raise _refused(answer)


def _ldap(wire: Wire, _: str) -> Generator[None, bytes]:
    """The StartTLS extended operation (RFC 4511, section 4.14)."""
    operation = b"\x80\x161.3.6.1.4.1.1466.20037"
    wire.say(b"\x30\x1d\x02\x01\x01\x77\x18" + operation)
    header = yield from wire.exactly(2)
    size = header[1]
    if header[0] == 0x30 and 0x80 < size <= 0x84:
        size = int.from_bytes((yield from wire.exactly(size & 0x7F)), "big")
    if header[0] != 0x30 or not 5 <= size <= 65536:
        raise _refused(header)
    answer = yield from wire.exactly(size)
    response = answer.find(b"\x78", 3)  # ExtendedResponse, after the message's id
    result = answer.find(b"\x0a\x01", response)
    if response < 0 or result < 0 or answer[result + 2 : result + 3] != b"\0":
        code = answer[result + 2] if 0 <= result < len(answer) - 2 else "no"
        raise CaptureError(f"answered StartTLS with result code {code}", "does the directory offer StartTLS?")


def _postgres(wire: Wire, _: str) -> Generator[None, bytes]:
    """SSLRequest of the frontend/backend protocol."""
    wire.say(b"\0\0\0\x08\x04\xd2\x16\x2f")
    answer = yield from wire.exactly(1)
    if answer != b"S":
        raise CaptureError(
            "has TLS switched off" if answer == b"N" else f"answered {answer!r}", "is this PostgreSQL, with ssl = on?"
        )


def _mysql(wire: Wire, _: str) -> Generator[None, bytes]:
    """The greeting, then SSLRequest (MySQL client/server protocol, connection phase)."""
    size = int.from_bytes((yield from wire.exactly(4))[:3], "little")
    greeting = yield from wire.exactly(min(size, 65536))
    after = greeting.find(b"\0") + 1 + 4 + 8 + 1  # version, thread id, first part of the scramble, filler
    if greeting[:1] != b"\x0a" or len(greeting) < after + 2:
        raise _refused(greeting[3:] if greeting[:1] == b"\xff" else greeting)
    if not int.from_bytes(greeting[after : after + 2], "little") & 0x0800:
        raise CaptureError("offers no TLS", "is TLS switched on there?")
    payload = (0x0800 | 0x0200 | 0x8000).to_bytes(4, "little") + (2**24).to_bytes(4, "little") + b"\x21" + bytes(23)
    wire.say(len(payload).to_bytes(3, "little") + b"\x01" + payload)


PROTOCOLS: Mapping[str, Callable[[Wire, str], Generator[None, bytes]]] = MappingProxyType(
    {
        "smtp": _smtp,
        "imap": _imap,
        "pop3": _pop3,
        "ftp": _ftp,
        "xmpp": _xmpp,
        "ldap": _ldap,
        "postgres": _postgres,
        "mysql": _mysql,
    }
)
