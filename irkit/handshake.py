"""The whole handshake by OpenSSL, which verifies nothing here; the chain is taken off the wire beside it. Sans-I/O."""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from irkit import render
from irkit.errors import InputError
from irkit.flight import Flight
from irkit.hello import Offer

__all__ = ["Handshake"]

_LEGACY = 0x4 | 0x40000  # SSL_OP_LEGACY_SERVER_CONNECT, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION
_SCT = 18
_GRACE = 2.0  # seconds of silence borne once OpenSSL gave up, or the chain and its signature are there
_CHUNK = 2**14
# X25519 alone has its key share sent: the ML-KEM share that OpenSSL adds costs as much as all else of a hello, and
# makes it so long that some middleboxes cut it. Who wants another of these asks for it.
_GROUPS = (
    b"X25519:?P-256:?X448:?P-384:?P-521:?brainpoolP256r1:?brainpoolP384r1:?brainpoolP512r1:?ffdhe2048:?ffdhe3072:"
    b"?X25519MLKEM768:?SecP256r1MLKEM768"
)
_SUITES = (
    b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:"
    b"TLS_AES_128_CCM_8_SHA256"
)


def _keep_secret(connection: SSL.Connection, line: bytes) -> None:
    if line.startswith(b"SERVER_HANDSHAKE_TRAFFIC_SECRET "):
        connection.get_app_data().append(bytes.fromhex(line.split()[2].decode()))


def _make_context(minimum: int, maximum: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_cipher_list(b"ALL:!aNULL:!PSK:!SRP:@SECLEVEL=0")
    context.set_tls13_ciphersuites(_SUITES)
    context.set_options(_LEGACY)
    context.set_min_proto_version(minimum)
    context.set_max_proto_version(maximum)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session shows no chain
    context.set_keylog_callback(_keep_secret)
    _set_what_has_no_call(context)
    return context


def _set_what_has_no_call(context: SSL.Context) -> None:
    """Sets the groups, and asks for SCTs by an empty extension (RFC 6962, section 3.3.1), read off the wire later.

    pyOpenSSL has no call for either. Where a later one hides its context, OpenSSL's own groups are offered, and no SCTs
    asked for.
    """
    lib, null = Binding.lib, Binding.ffi.NULL
    pointer = getattr(context, "_context", None)
    if pointer is not None and hasattr(lib, "SSL_CTX_add_client_custom_ext"):
        lib.SSL_CTX_add_client_custom_ext(pointer, _SCT, null, null, null, null, null)
    if pointer is not None and hasattr(lib, "SSL_CTX_set1_curves_list"):
        lib.SSL_CTX_set1_curves_list(pointer, _GROUPS)


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


class Handshake:
    """Shakes hands and reads the server's flight on the way.

    OpenSSL may give up, the reading goes on: what it refuses (a chain over 100 kB, a certificate it can't parse) is
    still on the wire.

    Attributes:
        flight: What was read of the server's first flight.
        completed: Whether the handshake is complete: OpenSSL has checked what the server signed.
        over: Nothing more is to be had.
        failure: Why the handshake did not complete; empty when it did, or while it may.
        patience: Seconds of silence to bear; None for as long as there is time.
    """

    def __init__(
        self, offer: Offer, client: tuple[str, str] | None = None, *, max_bytes: int = 2**22,
        max_certificates: int = 1000,
    ) -> None:  # fmt: skip
        """Begins with nothing sent.

        Raises:
            InputError: The client certificate can't be used.
        """
        secrets: list[bytes] = []
        self._connection = connection = SSL.Connection(_context(offer, client), None)
        connection.set_app_data(secrets)
        connection.set_connect_state()
        connection.request_ocsp()
        if offer.server_name is not None:
            connection.set_tlsext_host_name(offer.server_name.encode("ascii"))
        if offer.alpn:
            connection.set_alpn_protos([protocol.encode("ascii") for protocol in offer.alpn])
        self.flight = Flight(
            lambda _: secrets[0] if secrets else None, max_bytes=max_bytes, max_certificates=max_certificates
        )
        self.completed = False
        self._heard, self._max_bytes, self._gave_up = 0, max_bytes, ""

    @property
    def over(self) -> bool:  # noqa: D102 - described above
        return self.completed or bool(self._gave_up and self.flight.over) or self._heard > self._max_bytes

    @property
    def failure(self) -> str:  # noqa: D102 - described above
        flight = self.flight
        if self.completed:
            return ""
        if flight.alert:
            return f"the server sent the alert {flight.alert}"
        if flight.problem and flight.received and "no key for" not in flight.problem:  # the key is OpenSSL's to give
            return flight.problem
        return self._gave_up

    @property
    def patience(self) -> float | None:  # noqa: D102 - described above
        return _GRACE if self._gave_up or self.flight.signed else None

    def lost(self, reason: str) -> None:
        """Takes that nothing more will come, and why."""
        self._gave_up = self._gave_up or reason

    def start(self) -> bytes:
        """What to send first."""
        self._step()
        return self._out()

    def feed(self, data: bytes) -> bytes:
        """Takes what the server sent; returns what to send then."""
        self._heard += len(data)
        going = not self._gave_up
        if going:
            self._connection.bio_write(data)
            self._step()
        self.flight.feed(data)
        if self._heard > self._max_bytes and not self.completed:
            self.lost(f"stopped reading after {self._max_bytes} bytes")
        return self._out() if going and not self._gave_up else b""

    def _step(self) -> None:
        """Lets OpenSSL go on as far as it can."""
        try:
            self._connection.do_handshake()
            self.completed = True
            self._connection.shutdown()  # Finished and the farewell leave at once: a call less to the system
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            if self.completed:
                return
            reason = _reason(error)
            alert = re.match(r"(?:tls|ssl)\S* alert (.+)", reason)
            self._gave_up = (
                f"the server sent the alert {alert[1].replace(' ', '_')}" if alert else f"OpenSSL gave up: {reason}"
            )

    def _out(self) -> bytes:
        """What OpenSSL wants sent."""
        out = b""
        with contextlib.suppress(SSL.WantReadError):
            while len(out) % _CHUNK == 0:
                out += self._connection.bio_read(_CHUNK)
        if out and not self.completed:
            self.flight.sent(out)
        return out
