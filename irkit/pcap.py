"""TCP conversations out of a packet capture: pcap and pcapng, put in order. Nothing here knows TLS.

The two formats and the headers below TCP are a page of fixed fields each, and a library for them (scapy, dpkt) would
leave the reassembly to do here all the same; so they are read here, with every length checked.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from irkit.link import Endpoint

__all__ = ["Conversation", "conversations", "is_pcap", "server_secrets"]

_MAGIC = {b"\xd4\xc3\xb2\xa1": ("<", 10**6), b"\xa1\xb2\xc3\xd4": (">", 10**6), b"\x4d\x3c\xb2\xa1": ("<", 10**9),
          b"\xa1\xb2\x3c\x4d": (">", 10**9)}  # fmt: skip
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_TLS_KEY_LOG = 0x544C534B
_SECRET = re.compile(
    rb"^SERVER_HANDSHAKE_TRAFFIC_SECRET ((?:[0-9a-fA-F]{2}){32}) ((?:[0-9a-fA-F]{2}){32,48})\r?$", re.MULTILINE
)
_STREAM = 2**23  # bytes kept of one direction: a chain is at their beginning


@dataclass(slots=True)
class _Side:
    """What one end sent: segments by their place after its SYN, or after the first byte seen."""

    first: int | None = None
    segments: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def add(self, sequence: int, data: bytes) -> None:
        if self.first is None:
            self.first = sequence
        place = (sequence - self.first + 2**31) % 2**32 - 2**31  # sequence numbers wrap (RFC 9293, section 3.4)
        if self.size < _STREAM and len(data) > len(self.segments.get(place, b"")):
            self.size += len(data)
            self.segments[place] = data

    def whole(self) -> bytes:
        """The bytes in order, once each, as far as none is missing."""
        out = bytearray()
        start = min(self.segments, default=0)
        for place in sorted(self.segments):
            at, data = place - start, self.segments[place]
            if at > len(out):
                break
            out += data[len(out) - at :]
        return bytes(out)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One TCP connection.

    Attributes:
        client, server: Addresses; who sent the SYN is the client, else who was seen first.
        at: When its first packet was captured, aware UTC.
        sent, answered: What client and server sent, as far as no packet is missing.
    """

    client: Endpoint
    server: Endpoint
    at: datetime
    sent: bytes
    answered: bytes


def is_pcap(data: bytes) -> bool:
    """Whether it begins as pcap or pcapng do."""
    return data[:4] in _MAGIC or (data[:4] == _PCAPNG and data[8:12] in {b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"})


def conversations(data: bytes) -> list[Conversation]:
    """The TCP connections of a capture, in the order of their first packets. What can't be read is passed over."""
    open_: dict[tuple[Endpoint, Endpoint], tuple[datetime, _Side, _Side]] = {}
    done: list[tuple[Endpoint, Endpoint, datetime, _Side, _Side]] = []
    for at, link, frame in _packets(data):
        segment = _tcp(link, frame)
        if segment is None:
            continue
        source, target, sequence, flags, payload = segment
        syn, ack = flags & 0x02, flags & 0x10
        if syn and not ack:  # a new connection, maybe on ports that were used before
            if (old := open_.get((source, target))) and old[1].segments:
                done.append((source, target, *open_.pop((source, target))))
            open_.setdefault((source, target), (at, _Side(), _Side()))
        elif (source, target) not in open_ and (target, source) not in open_:
            open_[(target, source) if syn else (source, target)] = (at, _Side(), _Side())
        side = open_[source, target][1] if (source, target) in open_ else open_[target, source][2]
        if syn:
            side.first = (sequence + 1) % 2**32
        if payload:
            side.add(sequence, payload)
    done += [(*ends, *rest) for ends, rest in open_.items()]
    done.sort(key=lambda one: one[2])
    return [Conversation(c, s, at, sent.whole(), answered.whole()) for c, s, at, sent, answered in done]


def _packets(data: bytes) -> Iterator[tuple[datetime, int, bytes]]:
    """Time, link type and bytes of each packet."""
    return _pcapng(data) if data[:4] == _PCAPNG else _pcap(data)


def _time(ticks: int, per_second: int) -> datetime:
    try:
        return datetime.fromtimestamp(ticks / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _pcap(data: bytes) -> Iterator[tuple[datetime, int, bytes]]:
    """The format of tcpdump (draft-ietf-opsawg-pcap)."""
    order, per_second = _MAGIC[data[:4]]
    if len(data) < 24:
        return
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    pos = 24
    while pos + 16 <= len(data):
        seconds, part, size, _ = struct.unpack_from(order + "4I", data, pos)
        yield _time(seconds * per_second + part, per_second), link, data[pos + 16 : pos + 16 + size]
        pos += 16 + size


def _blocks(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Byte order, type and body of each block (draft-ietf-opsawg-pcapng)."""
    order, pos = "<", 0
    while pos + 12 <= len(data):
        if data[pos : pos + 4] == _PCAPNG:
            order = "<" if data[pos + 8 : pos + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, size = struct.unpack_from(order + "2I", data, pos)
        if size < 12:
            return
        yield order, kind, data[pos + 8 : pos + size - 4]
        pos += size


def _pcapng(data: bytes) -> Iterator[tuple[datetime, int, bytes]]:
    """The format of Wireshark: interfaces, and packets that name theirs."""
    interfaces: list[tuple[int, int]] = []
    for order, kind, body in _blocks(data):
        if kind == 0x0A0D0D0A:
            interfaces = []
        elif kind == 1 and len(body) >= 8:
            resolution = _option(body[8:], 9, order)
            exponent = resolution[0] if resolution else 6
            base = 2 if exponent & 0x80 else 10
            interfaces.append((struct.unpack_from(order + "H", body)[0], base ** min(exponent & 0x7F, 60)))
        elif kind == 6 and len(body) >= 20:
            number, high, low, kept, _ = struct.unpack_from(order + "5I", body)
            if number < len(interfaces):
                link, per_second = interfaces[number]
                yield _time(high << 32 | low, per_second), link, body[20 : 20 + kept]
        elif kind == 3 and len(body) >= 4 and interfaces:
            yield _time(0, 1), interfaces[0][0], body[4:]


def server_secrets(data: bytes) -> dict[bytes, bytes]:
    """The servers' TLS 1.3 handshake secrets in a pcapng's Decryption Secrets Blocks, by the client's random."""
    found = {}
    for order, kind, body in _blocks(data) if data[:4] == _PCAPNG else ():
        if kind == 10 and len(body) >= 8 and struct.unpack_from(order + "I", body)[0] == _TLS_KEY_LOG:
            size = struct.unpack_from(order + "I", body, 4)[0]
            for match in _SECRET.finditer(body[8 : 8 + size]):
                found[bytes.fromhex(match[1].decode())] = bytes.fromhex(match[2].decode())
    return found


def _option(data: bytes, wanted: int, order: str) -> bytes:
    pos = 0
    while pos + 4 <= len(data):
        code, size = struct.unpack_from(order + "2H", data, pos)
        if code == wanted:
            return data[pos + 4 : pos + 4 + size]
        if code == 0:
            break
        pos += 4 + (size + 3) // 4 * 4
    return b""


def _ip(link: int, frame: bytes) -> bytes:
    """The IP packet in a frame, empty for another (link types: www.tcpdump.org/linktypes.html)."""
    if link in {12, 14, 101, 228, 229}:
        return frame
    if link in {0, 108}:
        return frame[4:]
    head, kind = {1: (14, 12), 113: (16, 14), 276: (20, 0)}.get(link, (0, 0))
    if not head:
        return b""
    ether = frame[kind : kind + 2]
    while ether in {b"\x81\x00", b"\x88\xa8"}:  # VLAN tags
        ether, head = frame[head + 2 : head + 4], head + 4
    return frame[head:] if ether in {b"\x08\x00", b"\x86\xdd"} else b""


def _tcp(link: int, frame: bytes) -> tuple[Endpoint, Endpoint, int, int, bytes] | None:
    """Source, target, sequence number, flags and payload of a TCP segment."""
    packet = _ip(link, frame)
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        if packet[9] != 6 or int.from_bytes(packet[6:8], "big") & 0x3FFF:  # a fragment
            return None
        total = int.from_bytes(packet[2:4], "big") or len(packet)  # 0 where the network card cut it up
        addresses, body = (packet[12:16], packet[16:20]), packet[(packet[0] & 0xF) * 4 : total]
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        total = int.from_bytes(packet[4:6], "big") or len(packet)
        kind, body, addresses = packet[6], packet[40 : 40 + total], (packet[8:24], packet[24:40])
        while kind in {0, 43, 60} and len(body) >= 8:
            kind, body = body[0], body[(body[1] + 1) * 8 :]
        if kind != 6:
            return None
    else:
        return None
    if len(body) < 20:
        return None
    source, target, sequence = struct.unpack_from(">HHI", body)
    ends = [Endpoint(str(ipaddress.ip_address(address)), port) for address, port in
            zip(addresses, (source, target), strict=True)]  # fmt: skip
    return ends[0], ends[1], sequence, body[13], body[(body[12] >> 4) * 4 :]
