"""Chains out of what other programs recorded: packet captures, mitmproxy's flows, a browser's network log.

A recording holds many connections; each that shows certificates is one chain, with its host, time and addresses.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from irkit import iana, render
from irkit.certificate import Certificate, pem_blocks
from irkit.chain import Chain, Obtained
from irkit.errors import InputError
from irkit.flight import Flight
from irkit.messages import MalformedError, Reader, extensions
from irkit.pcap import Conversation, conversations, server_secrets
from irkit.possession import check_possession

__all__ = [
    "chains_of_flows", "chains_of_netlog", "chains_of_pcap", "har_problem", "is_flows", "is_netlog", "one_of",
]  # fmt: skip

_CLIENT_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..\x01", re.DOTALL)
_SERVER_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..\x02", re.DOTALL)
_ENCRYPTED = "TLS 1.3, in which the certificates are encrypted, and the capture holds no keys"
_ENCRYPTED_HINT = (
    "put the client's key log in (editcap --inject-secrets tls,keys.log in.pcapng out.pcapng), capture anew with the "
    "client held to TLS 1.2, or use irkit capture"
)
_BEFORE_TLS = 2**14  # where TLS begins after STARTTLS


def chains_of_pcap(data: bytes, where: str) -> list[Chain]:
    """A chain for each TLS connection of a packet capture; of TLS 1.3 where a pcapng holds the client's key log.

    Raises:
        InputError: No connection shows one; each reason is said once.
    """
    chains, reasons = [], []
    secrets = server_secrets(data)
    for conversation in conversations(data):
        found = _watched(conversation, where, secrets)
        if isinstance(found, Chain):
            chains.append(found)
        elif found:
            reasons.append(found)
    if not chains:
        why = "; ".join(dict.fromkeys(reasons)) or "no TLS connection whose beginning was captured"
        raise InputError(
            f"no certificate in {render.text(where, 200)}: {render.text(why, 400)}",
            _ENCRYPTED_HINT
            if _ENCRYPTED in why
            else "capture anew, from before the client connects; or use irkit capture",
        )
    return chains


def _watched(conversation: Conversation, where: str, secrets: Mapping[bytes, bytes]) -> Chain | str:
    """The chain of one connection, why there is none, or nothing for what is not TLS."""
    hello = _CLIENT_HELLO.search(conversation.sent, 0, _BEFORE_TLS)
    answer = _SERVER_HELLO.search(conversation.answered, 0, _BEFORE_TLS)
    if answer is None:
        return "" if hello is None else "a server whose answer is not there"
    flight = Flight(lambda flight: secrets.get(flight.client_random))
    hellos = _client_hellos(conversation.sent[hello.start() :]) if hello is not None else []
    name = None
    if hellos:
        flight.sent(hellos[0])
        with contextlib.suppress(MalformedError):
            name = _server_name(hellos[0])
    for record in _records(conversation.answered[answer.start() :]):
        flight.feed(record)
        if len(hellos) > 1 and flight.hello is not None and flight.hello.retry:
            flight.sent(hellos.pop())
    if flight.hello is not None and flight.hello.protocol == 0x0304 and not flight.certificates:
        return _ENCRYPTED if flight.client_random not in secrets else flight.problem
    if flight.certificates is None or flight.hello is None:
        return flight.problem or "a connection without Certificate: resumed, or not captured whole"
    findings = list(flight.findings)
    possession, why = check_possession(flight.certificates[0], flight.signed)
    if not hellos:
        possession, why = "unproven", "the client's hello was not captured"
    if why:
        findings.append(f"possession of the leaf's key is {possession}: {why}")
    obtained = Obtained(
        "file", f"{where}: {conversation.client} to {conversation.server}", at=conversation.at,
        host=name or conversation.server.host, port=conversation.server.port, server_name=name,
        address=str(conversation.server), protocol=iana.PROTOCOLS.get(flight.hello.protocol, ""),
        cipher=iana.cipher_name(flight.hello.cipher), alpn=flight.alpn, possession=possession, ocsp=flight.ocsp,
        signature_scheme=iana.scheme_name(flight.signed.scheme) if flight.signed and flight.signed.scheme else "",
        scts=flight.scts, findings=tuple(findings),
    )  # fmt: skip
    return Chain(tuple(Certificate.from_der(der) for der in flight.certificates), obtained)


def _records(data: bytes) -> Iterator[bytes]:
    """The records, and the part of one at the end."""
    pos = 0
    while pos < len(data):
        end = pos + 5 + int.from_bytes(data[pos + 3 : pos + 5], "big")
        yield data[pos:end]
        pos = end


def _client_hellos(data: bytes) -> list[bytes]:
    """The ClientHellos at the beginning, each in one record: the second answers a HelloRetryRequest."""
    said, found = b"", []
    for record in _records(data):
        said += record[5:] if record[:1] == b"\x16" else b""
        end = 4 + int.from_bytes(said[1:4], "big")
        if said[:1] == b"\1" and end <= len(said) < 2**16:
            found.append(b"\x16\3\1" + end.to_bytes(2, "big") + said[:end])
            said = said[end:]
        if len(found) == 2 or said[:1] not in {b"", b"\1"}:
            break
    return found


def _server_name(record: bytes) -> str | None:
    """The SNI of a ClientHello that is whole in its first record."""
    reader = Reader(record[9:])
    reader.take(34)
    for size in (1, 2, 1):  # session, suites, compression
        reader.vector(size)
    for number, data in extensions(reader.vector(2)) if reader else ():
        if number == 0:
            return Reader(Reader(data).vector(2)[1:]).vector(2).decode("ascii", "backslashreplace")
    return None


# mitmproxy writes flows as tnetstrings: length, colon, payload, type (mitmproxy/io/tnetstring.py).

_DEPTH = 40
_LENGTH = re.compile(rb"(\d{1,12}):")


def is_flows(data: bytes) -> bool:
    """Whether it looks like what `mitmdump -w` writes."""
    match = _LENGTH.match(data)
    return match is not None and b":server_conn;" in data and b"client_conn;" in data


def chains_of_flows(data: bytes, where: str) -> list[Chain]:
    """A chain for each connection to a server: what the server presented to mitmproxy, not what mitmproxy made.

    Raises:
        InputError: The file is broken, or no server presented any.
    """
    chains: list[Chain] = []
    pos = 0
    try:
        while pos < len(data):
            flow, pos = _tnetstring(data, pos, 0)
            if isinstance(flow, dict) and isinstance(flow.get("server_conn"), dict):
                chains += _connected(flow["server_conn"], where)
    except (ValueError, IndexError, TypeError, KeyError, RecursionError) as error:  # another type, or broken
        if not chains:
            raise InputError(f"{render.text(where, 200)} looks like mitmproxy's flows but is broken: {error}",
                             "save the flows again: mitmdump -w flows") from None  # fmt: skip
        last = chains[-1]
        said = (*last.obtained.findings, "the file of flows breaks off after this connection")
        chains[-1] = Chain(last.certificates, replace(last.obtained, findings=said))
    if not chains:
        raise InputError(f"no server presented a certificate in the flows of {render.text(where, 200)}",
                         "record a connection over TLS that reached its server")  # fmt: skip
    return chains


def _tnetstring(data: bytes, pos: int, depth: int) -> tuple[Any, int]:
    match = _LENGTH.match(data, pos)
    if match is None or depth > _DEPTH:
        raise ValueError("no tnetstring")
    start, end = match.end(), match.end() + int(match[1])
    if end >= len(data):
        raise ValueError("it is truncated")
    kind, body = data[end : end + 1], data[start:end]
    if kind in b"]}":
        items, inner = [], start
        while inner < end:
            item, inner = _tnetstring(data, inner, depth + 1)
            items.append(item)
        if kind == b"]":
            return items, end + 1
        keys = (key.decode("latin-1") if isinstance(key, bytes) else str(key) for key in items[::2])
        return dict(zip(keys, items[1::2], strict=True)), end + 1
    if kind == b";":
        return body.decode("utf-8", "backslashreplace"), end + 1
    if kind in b"#^":
        return float(body) if kind == b"^" else int(body), end + 1
    return (body if kind == b"," else None), end + 1


def _connected(server: Mapping[str, Any], where: str) -> Iterator[Chain]:
    listed = server.get("certificate_list") or []
    text = b"".join(one for one in listed if isinstance(one, bytes)).decode("ascii", "replace")
    ders = pem_blocks(text)
    if not ders:
        return
    address = server.get("address") or []
    peer = server.get("peername") or []
    host, port = (address[0], address[1]) if len(address) >= 2 else ("", 0)
    sni = server.get("sni")
    name = sni if isinstance(sni, str) and sni else None
    yield Chain(
        tuple(Certificate.from_der(der) for der in ders),
        Obtained(
            "file", f"{where}: {host}:{port}", at=_moment(server.get("timestamp_tls_setup")),
            host=name or str(host), port=port if isinstance(port, int) else 0, server_name=name,
            address=f"{peer[0]}:{peer[1]}" if len(peer) >= 2 else "", protocol=str(server.get("tls_version") or ""),
            cipher=str(server.get("cipher") or ""),
        ),
    )  # fmt: skip


def _moment(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(seconds), UTC)  # type: ignore[arg-type]  # another type is one of the errors
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def is_netlog(value: object) -> bool:
    """Whether JSON is the network log of Chromium (chrome://net-export, --log-net-log)."""
    constants = value.get("constants") if isinstance(value, dict) else None
    return (
        isinstance(constants, dict) and "logEventTypes" in constants and isinstance(value, dict) and "events" in value
    )


def chains_of_netlog(value: Mapping[str, Any], where: str) -> list[Chain]:
    """A chain for each that the browser was presented and checked, with its host.

    Raises:
        InputError: There is none.
    """
    constants = value["constants"]
    types = constants["logEventTypes"]
    wanted = types.get("CERT_VERIFIER_JOB") if isinstance(types, Mapping) else None
    offset = constants.get("timeTickOffset")
    chains = []
    for event in value["events"] if isinstance(value["events"], list) and wanted is not None else ():
        parameters = event.get("params") if isinstance(event, Mapping) and event.get("type") == wanted else None
        listed = parameters.get("certificates") if isinstance(parameters, Mapping) else None
        if not isinstance(listed, list):
            continue
        ders = pem_blocks("\n".join(str(one) for one in listed))
        if not ders:
            continue
        host = str(parameters.get("host") or "") if isinstance(parameters, Mapping) else ""
        try:
            at = _moment((float(offset) + float(event["time"])) / 1000)
        except (TypeError, ValueError, KeyError):
            at = None
        obtained = Obtained("file", f"{where}: {host}", at=at, host=host, server_name=host or None)
        chains.append(Chain(tuple(Certificate.from_der(der) for der in ders), obtained))
    if not chains:
        raise InputError(
            f"the network log {render.text(where, 200)} shows no certificates",
            "start the log before the page is opened, in a browser that has not connected there yet",
        )
    return chains


def har_problem(value: object) -> str:
    """Why a HAR is of no use here; empty for other JSON."""
    held = isinstance(value, dict) and isinstance(value.get("log"), dict) and "entries" in value["log"]
    return "a HAR, which holds no certificates" if held else ""


def one_of(chains: list[Chain], host: str, shown: str) -> Chain:
    """The one chain of a recording, or of a host in it.

    Raises:
        InputError: There are several, or none of that host.
    """
    kept = [chain for chain in chains if not host or host in {chain.obtained.host, chain.obtained.server_name}]
    hosts = ", ".join(dict.fromkeys(render.text(chain.obtained.host or "?", 80) for chain in chains[:200]))
    if not kept:
        raise InputError(f"{shown} holds no chain of {render.text(host, 80)}, but of {render.text(hosts, 300)}",
                         "give host= as it stands there")  # fmt: skip
    if len(set(kept)) > 1:
        raise InputError(
            f"{shown} holds {len(set(kept))} different chains, of {render.text(hosts, 300)}",
            "name one with host=, or take them all with load_chains",
        )
    return kept[0]
