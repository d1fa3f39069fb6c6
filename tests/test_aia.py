"""Certificates that a server left out: fetched on request only, within limits, and kept apart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID
from forge import Identity, root

from irkit.aia import fetch_issuers, issuer_urls
from irkit.errors import InputError
from irkit.trust import TrustStore

ROOT = root("AIA Root")
CA = ROOT.issue(cn="AIA CA", ca=True)
STORE = TrustStore("own", (ROOT.certificate,))
Answer = Callable[[socket.socket, bytes], None]


def naming(*urls: str, by: Identity = CA, ca: bool = False) -> Identity:
    """A certificate that says where its issuer's is; served without anything above it."""
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(url))
            for url in urls
        ]
    )
    made = by.issue(*(() if ca else ("aia.test",)), cn="Level" if ca else None, ca=ca, extensions=((access, False),))
    return Identity(made.x509, made.key)


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server on loopback: its address, and the requests that came."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(4096)
                asked.append(request)
                with suppress(OSError):
                    answer(connection, request)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/ca", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def giving(body: bytes, status: str = "200 OK", more: str = "") -> Answer:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode()
    return lambda connection, _: connection.sendall(head + body)


FORMS = {
    "DER": CA.certificate.der,
    "PEM": CA.certificate.pem().encode(),
    "PKCS #7": pkcs7.serialize_certificates([ROOT.x509, CA.x509], Encoding.DER),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_issuer_is_had_from_where_the_leaf_says(form: str) -> None:
    with server(giving(FORMS[form])) as (url, asked):
        leaf = naming(url)
        (found,) = fetch_issuers(leaf.chain, STORE, allow_private=True)
    assert (found.url, found.of, found.certificates, found.problem) == (url, leaf.certificate, (CA.certificate,), "")
    assert asked[0].startswith(b"GET /ca HTTP/1.0\r\nHost: 127.0.0.1:")
    assert len(asked) == 1


def test_a_complete_chain_asks_nothing() -> None:
    with server(giving(CA.certificate.der)) as (url, asked):
        leaf = naming(url)
        assert fetch_issuers((*leaf.chain, CA.certificate), STORE, allow_private=True) == ()
        assert fetch_issuers(leaf.chain, TrustStore("own", (CA.certificate,)), allow_private=True) == ()
        assert fetch_issuers(root("Alone").chain, STORE, allow_private=True) == ()
        assert fetch_issuers((), STORE) == ()
    assert asked == []


def test_a_private_address_is_left_alone_unless_allowed() -> None:
    with server(giving(CA.certificate.der)) as (url, asked):
        port = url.partition("127.0.0.1:")[2]
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "169.254.169.254",
                     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0.0.0.0"):  # fmt: skip
            (found,) = fetch_issuers(naming(f"http://{host}:{port}").chain, STORE)
            assert "is no public address" in found.problem, host
    assert asked == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "https://ca.test/x", "ldap://ca.test/x", "http:///x", "http://u:p@127.0.0.1/x", "x",
     "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1:99999/", "http://[::1"],
)  # fmt: skip
def test_an_address_of_another_kind_is_told_and_not_asked(url: str) -> None:
    (found,) = fetch_issuers(naming(url).chain, STORE, allow_private=True)
    assert found.problem
    assert found.certificates == ()
    assert "\r" not in str(found)


def dripping(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"0")
        threading.Event().wait(0.1)


def silent(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (giving(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "it answered 302: redirects are not followed"),
        (giving(b"none", "404 Not Found"), "it answered 404"),
        (giving(b"0" * 70_000), "longer than 64 KB"),
        (giving(root("Stranger").certificate.der), "no certificate in the answer signed this one"),
        (giving(b"<html>hello</html>"), "no certificate in the answer"),
        (giving(b""), "empty"),
        (lambda connection, _: connection.sendall(b"SSH-2.0-x\r\n"), "not HTTP"),
        (lambda *_: None, "not HTTP"),
        (dripping, "within the deadline"),
        (silent, "within the deadline"),
    ],
)
def test_an_answer_that_is_no_issuer_is_told(answer: Answer, says: str) -> None:
    with server(answer) as (url, _):
        (found,) = fetch_issuers(naming(url).chain, STORE, allow_private=True, deadline=1)
    assert says in found.problem
    assert found.certificates == ()


def test_the_next_address_is_asked_where_the_first_gives_nothing() -> None:
    with server(giving(b"none", "404 Not Found")) as (bad, _), server(giving(CA.certificate.der)) as (good, _):
        found = fetch_issuers(naming("ldap://x", bad, good).chain, STORE, allow_private=True)
    assert [bool(one.certificates) for one in found] == [False, False, True]


def test_issuers_of_issuers_are_asked_for_and_not_for_ever() -> None:
    made: dict[bytes, bytes] = {}

    def answer(connection: socket.socket, request: bytes) -> None:
        giving(made[request.split()[1]])(connection, request)

    with server(answer) as (url, asked):
        above = ROOT
        for level in range(6):
            made[f"/ca{level}".encode()] = above.certificate.der
            above = naming(f"{url}{level}", by=above, ca=True)
        made[b"/ca6"] = above.certificate.der
        found = fetch_issuers(naming(f"{url}6", by=above).chain, None, allow_private=True)
    assert [len(one.certificates) for one in found] == [1, 1, 1, 1]
    assert len(asked) == 4


def test_a_certificate_without_an_address_has_none() -> None:
    assert issuer_urls(CA.certificate) == ()
    assert fetch_issuers(CA.issue("x.test").chain[:1], STORE) == ()
    with pytest.raises(InputError, match="deadline"):
        fetch_issuers((), deadline=0)
