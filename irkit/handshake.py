"""The whole handshake by OpenSSL, which verifies nothing here, with the chain taken off the wire beside it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from irkit import render
from irkit.errors import CaptureError, InputError
from irkit.flight import Flight
from irkit.hello import Offer
from irkit.link import Link

__all__ = ["Handshake", "shake_hands"]

_LEGACY = 0x4 | 0x40000  # SSL_OP_LEGACY_SERVER_CONNECT, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION
_SCT = 18
_GRACE = 2.0  # seconds of silence borne once OpenSSL gave up, or the chain and its signature are there


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a handshake went.

    Attributes:
        flight: What was read of the server's first flight.
        failure: Why the handshake did not complete; empty when it did.
        hint: What to do about it.
    """

    flight: Flight
    failure: str = ""
    hint: str = ""


def _keep_secret(connection: SSL.Connection, line: bytes) -> None:
    if line.startswith(b"SERVER_HANDSHAKE_TRAFFIC_SECRET "):
        connection.get_app_data().append(bytes.fromhex(line.split()[2].decode()))


def _make_context(minimum: int, maximum: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_cipher_list(b"ALL:!aNULL:!PSK:!SRP:@SECLEVEL=0")
    context.set_options(_LEGACY)
    context.set_min_proto_version(minimum)
    context.set_max_proto_version(maximum)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session shows no chain
    context.set_keylog_callback(_keep_secret)
    _ask_for_scts(context)
    return context


def _ask_for_scts(context: SSL.Context) -> None:
    """Sends an empty signed_certificate_timestamp (RFC 6962, section 3.3.1), which pyOpenSSL has no call for.

    The answer is read off the wire. Where a later pyOpenSSL hides its context, no SCTs are asked for.
    """
    lib, null = Binding.lib, Binding.ffi.NULL
    pointer = getattr(context, "_context", None)
    if pointer is not None and hasattr(lib, "SSL_CTX_add_client_custom_ext"):
        lib.SSL_CTX_add_client_custom_ext(pointer, _SCT, null, null, null, null, null)


_shared_context = lru_cache(maxsize=16)(_make_context)  # loading nothing, yet a context costs more than a handshake


def _context(offer: Offer, client: tuple[str, str] | None) -> SSL.Context:
    if client is None:
        return _shared_context(offer.minimum, offer.maximum)
    context = _make_context(offer.minimum, offer.maximum)
    certificate, key = client
    for path in client:
        if not Path(path).is_file():
            raise InputError(f"no client certificate or key at {render.text(path, 200)}", "name PEM files that exist")
    try:
        context.use_certificate_chain_file(certificate)
        context.use_privatekey(load_pem_private_key(Path(key).read_bytes(), None))  # type: ignore[arg-type]  # any kind
        context.check_privatekey()
    except (SSL.Error, OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        why = _reason(error) if isinstance(error, SSL.Error) else render.text(error, 120)
        raise InputError(
            f"can't use the client certificate {render.text(certificate, 200)}: {why}",
            "give a PEM certificate (chain) and its unencrypted PEM key",
        ) from None
    return context


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words for what went wrong first."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [entry[2] for entry in queue if len(entry) > 2 and entry[2]]
    return render.text(words[0], 120) if words else "the connection ended"


def shake_hands(
    link: Link, offer: Offer, client: tuple[str, str] | None = None, *, max_bytes: int, max_certificates: int
) -> Handshake:
    """Shakes hands over a link and reads the server's flight on the way.

    OpenSSL may give up, the reading goes on: what it refuses (a chain over 100 kB, a certificate it can't parse) is
    still on the wire.

    Returns:
        How far it came. A connection that ends, or a deadline that passes, is a failure with what was read until then.

    Raises:
        InputError: The client certificate can't be used.
    """
    connection = SSL.Connection(_context(offer, client), None)
    secrets: list[bytes] = []
    connection.set_app_data(secrets)
    connection.set_connect_state()
    connection.request_ocsp()
    if offer.server_name is not None:
        connection.set_tlsext_host_name(offer.server_name.encode("ascii"))
    if offer.alpn:
        connection.set_alpn_protos([protocol.encode("ascii") for protocol in offer.alpn])
    flight = Flight(lambda _: secrets[0] if secrets else None, max_bytes=max_bytes, max_certificates=max_certificates)
    failure = hint = ""
    completed = False
    data = b""
    try:
        while True:
            if not failure:
                completed, failure = _step(connection, data)
            flight.feed(data)
            if not failure and not completed:
                _flush(connection, flight, link)
            if completed or (failure and flight.over):
                break
            if link.heard > max_bytes:
                failure = failure or f"stopped reading after {max_bytes} bytes"
                break
            data = link.receive(timeout=_GRACE if failure or flight.signed else None)
            if not data:
                failure = failure or "the server closed the connection"
                break
    except CaptureError as error:
        failure, hint = failure or f"the server {error.message}", error.hint
    if completed:
        with contextlib.suppress(SSL.Error):
            connection.shutdown()
        with contextlib.suppress(CaptureError):
            _flush(connection, flight, link)  # Finished and the farewell at once: a call less to the system
    elif flight.alert:
        failure = f"the server sent the alert {flight.alert}"
    elif flight.problem and flight.received and "no key for" not in flight.problem:  # the key is OpenSSL's to give
        failure = flight.problem
    return Handshake(flight, "" if completed else failure, hint)


def _step(connection: SSL.Connection, data: bytes) -> tuple[bool, str]:
    """Gives OpenSSL what came; says whether the handshake is complete, or why it failed."""
    try:
        if data:
            connection.bio_write(data)
        connection.do_handshake()
    except SSL.WantReadError:
        return False, ""
    except SSL.Error as error:
        reason = _reason(error)
        if alert := re.match(r"(?:tls|ssl)\S* alert (.+)", reason):
            return False, f"the server sent the alert {alert[1].replace(' ', '_')}"
        return False, f"OpenSSL gave up: {reason}"
    return True, ""


def _flush(connection: SSL.Connection, flight: Flight, link: Link) -> None:
    """Sends what OpenSSL wants sent."""
    with contextlib.suppress(SSL.WantReadError):
        while out := connection.bio_read(65536):
            flight.sent(out)
            link.send(out)
