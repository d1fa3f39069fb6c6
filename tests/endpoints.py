"""The zoo: a table of endpoints, each with what must come back from it.

Where a real server does it, a real server does it: Python's ssl, pyOpenSSL, `openssl s_server`, nginx. What they won't
do raw sockets do.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forge
import zoo
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from forge import Identity
from odd import ODD_CERTIFICATES
from OpenSSL import SSL
from test_starttls import TALKS, then_tls
from zoo import CA, EC, ROOT, RSA, context, ders

from irkit.certificate import pem_blocks

Open = Callable[[Path], AbstractContextManager[int]]


@dataclass(frozen=True)
class Endpoint:
    """One server, and what must come back.

    Attributes:
        kind: What serves it: python, pyopenssl, openssl, nginx or raw.
        open: Starts it below a folder; gives its port.
        chain: The certificates that it presents; None where there is no chain to be had.
        reason: Why not, as a pattern.
        how, possession, protocol, cipher: Of the default capture; empty for any.
        possession_short: Of the short handshake, where it differs.
        finding: A pattern that one finding has; empty for no finding at all.
        options: How to ask.
        s_client: How to ask with `openssl s_client`.
        shown: What that shows, where it is not the chain: OpenSSL writes BER anew, and refuses much.
        refusal: A pattern of what it complains of then.
    """

    kind: str
    open: Open
    chain: list[bytes] | None = None
    reason: str = ""
    how: str = "handshake"
    possession: str = "proven"
    possession_short: str = ""
    protocol: str = ""
    cipher: str = ""
    finding: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    s_client: tuple[str, ...] = ()
    shown: list[bytes] | None = None
    refusal: str = ""


def raw(serve: zoo.Serve, chain: list[bytes] | None = None, **expected: Any) -> Endpoint:
    return Endpoint("raw", lambda _: zoo.raw(serve), chain, **expected)


def useless(serve: zoo.Serve, reason: str) -> Endpoint:
    return raw(serve, None, reason=reason, options={"deadline": 0.8})


def python(identity: Identity, maximum: ssl.TLSVersion, **expected: Any) -> Endpoint:
    made = context(identity, maximum)
    made.set_ciphers("ALL:@SECLEVEL=0")
    protocol = "TLSv1.2" if maximum == ssl.TLSVersion.TLSv1_2 else "TLSv1.3"
    return Endpoint("python", lambda _: zoo.python_tls(made), ders(identity.chain), protocol=protocol, **expected)


def openssl(identity: Identity, *arguments: str, **expected: Any) -> Endpoint:
    return Endpoint(
        "openssl", lambda folder: zoo.s_server(folder, identity, *arguments), ders(identity.chain), **expected
    )


def reshuffled(*above: bytes) -> Identity:
    """EC's leaf and key with other certificates above it."""
    return Identity(EC.x509, EC.key, tuple(x509.load_der_x509_certificate(der) for der in above))


# Of those with one thing odd: what `openssl s_client` refuses, and what the newer OpenSSL of the default capture does
# not shake hands over.
BY_S_CLIENT = {"a padded serial number": "illegal padding", "a name of three bytes in BMPString": "wrong length"}
BY_HANDSHAKE = {*BY_S_CLIENT, "times without seconds", "an extension twice", "a key of unknown kind"}


def _lenient(name: str, der: bytes) -> Endpoint:
    """A certificate with one thing odd, from a server that completes its handshakes."""
    refusal, unknown = BY_S_CLIENT.get(name, ""), name == "a key of unknown kind"
    return raw(
        zoo.tls12([der, CA_DER], EC.key, finish=True), [der, CA_DER],
        how="hello" if name in BY_HANDSHAKE else "handshake", possession="unproven" if unknown else "proven",
        finding=UNPROVEN if unknown else "", shown=[] if refusal else None, refusal=refusal,
    )  # fmt: skip


def by_openssl(*arguments: str) -> Identity:
    """A self-signed certificate that the library would not make, of RSA's key."""
    with tempfile.NamedTemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a serial number that isn't positive
        file.write(RSA.key_pem)
        file.flush()
        command = ["openssl", "req", "-x509", "-subj", "/CN=odd.test", "-days", "30", "-key", file.name, *arguments]
        made = subprocess.run(command, capture_output=True, check=True).stdout
        (der,) = pem_blocks(made.decode())
        return Identity(x509.load_der_x509_certificate(der), RSA.key)


UNPROVEN, DISPROVEN = "possession of the leaf's key is unproven", "possession of the leaf's key is disproven"
STRANGER = forge.self_signed("stranger.test").certificate.der
CA_DER, LEAF = CA.certificate.der, EC.certificate.der
OTHER_KEY = forge.make_key()
BOTH = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
RAW = {"1.2": zoo.tls12, "1.3": zoo.tls13}
OLD = ("-cipher", "ALL:@SECLEVEL=0")

# Served by Python's ssl in TLS 1.2 and 1.3.
PRESENTED = {
    "two certificates": EC,
    "RSA": RSA,
    "RSA 4096 leaf signed by EC": CA.issue("rsa4096.test", key=forge.make_key("rsa4096")),
    "P-384": CA.issue("p384.test", key=forge.make_key("ec384")),
    "Ed25519": CA.issue("ed25519.test", key=forge.make_key("ed25519")),
    "Ed448": CA.issue("ed448.test", key=forge.make_key("ed448")),
    "self-signed": forge.self_signed("self.test"),
    "expired": CA.issue("old.test", not_before=forge.EPOCH.replace(year=2020), days=1),
    "not yet valid": CA.issue("soon.test", not_before=forge.EPOCH.replace(year=2030)),
    "root included": reshuffled(CA_DER, ROOT.certificate.der),
    "wrong order, duplicates and strangers": reshuffled(ROOT.certificate.der, CA_DER, CA_DER, STRANGER, CA_DER),
    "the leaf twice": reshuffled(LEAF, CA_DER),
    "no intermediate": Identity(EC.x509, EC.key),
    "100 certificates": reshuffled(*[CA_DER] * 99),
    "a name for every host": CA.issue(*(f"h{n}.test" for n in range(500))),
}

BIG = CA.issue(*(f"name-{n}.big-chain.example" for n in range(3000)))
BER = b"\x30\x80" + LEAF[4:] + b"\0\0"
JUNK = b"\x30\x82\x00\x04junk"
TOO_LONG = "excessive message size"  # OpenSSL reads at most 100 kB of Certificate
# As raw sockets present it in TLS 1.2 and 1.3, and why OpenSSL shows nothing of it, or what it shows instead.
REFUSED: dict[str, tuple[list[bytes], str | list[bytes]]] = {
    "junk leaf": ([JUNK], "bad object header"),
    "one junk certificate in the tail": ([*ders(EC.chain), JUNK], "bad object header"),
    "indefinite length": ([BER, CA_DER], ders(EC.chain)),
    "a length in more bytes than it needs": ([b"\x30\x83\x00" + LEAF[2:], CA_DER], ders(EC.chain)),
    "trailing bytes": ([LEAF + b"more"], "cert length mismatch"),
    "empty certificate": ([LEAF, b""], "too small"),
    "over 100 kB": ([LEAF, *ders(BIG.chain) * 2], TOO_LONG),
    "a certificate of 1 MB": ([LEAF, bytes(2**20)], TOO_LONG),
    "300 certificates": ([LEAF] + [CA_DER] * 299, TOO_LONG),
    "a name that is not UTF-8": ([LEAF.replace(b"ec.test", b"ec\xff\xfeest", 1)], "invalid utf8string"),
}


def _odd(presented: list[bytes], instead: str | list[bytes], make: Callable[..., zoo.Serve]) -> Endpoint:
    """A chain as it is, whatever OpenSSL makes of it."""
    has_key = presented[0] != JUNK
    return raw(
        make(presented, EC.key), presented, how="hello", possession="proven" if has_key else "unproven",
        finding="" if has_key else UNPROVEN, shown=[] if isinstance(instead, str) else instead,
        refusal=instead if isinstance(instead, str) else "",
    )  # fmt: skip


@contextmanager
def both_keys(folder: Path) -> Iterator[int]:
    """nginx with an ECDSA and an RSA certificate for one name."""
    with zoo.nginx(folder, lambda port: _server(folder, port, "ssl", EC, RSA)) as port:
        yield port


def _server(folder: Path, port: int, listen: str, *identities: Identity, more: str = "") -> str:
    """A server block of nginx."""
    lines = ""
    for identity in identities:
        certificate, key = identity.write(folder, identity.certificate.sha256[:8])
        lines += f"ssl_certificate {certificate}; ssl_certificate_key {key};\n"
    return f"server {{ listen 127.0.0.1:{port} {listen}; {lines} {more} }}\n"


def nginx(blocks: Callable[[Path, int], str], chain: list[bytes] | None, **expected: Any) -> Endpoint:
    def start(folder: Path) -> AbstractContextManager[int]:
        return zoo.nginx(folder, lambda port: blocks(folder, port))

    return Endpoint("nginx", start, chain, **expected)


def _two_names(folder: Path, port: int) -> str:
    return _server(folder, port, "ssl default_server", EC, more="server_name _;") + _server(
        folder, port, "ssl", RSA, more="server_name rsa.test;"
    )


def _asking(folder: Path, port: int) -> str:
    (folder / "ca.pem").write_text(ROOT.certificate.pem())
    return _server(folder, port, "ssl", EC, more=f"ssl_verify_client on; ssl_client_certificate {folder}/ca.pem;")


NGINX = {
    "nginx": nginx(lambda f, p: _server(f, p, "ssl", EC), ders(EC.chain)),
    "nginx, TLS 1.2": nginx(
        lambda f, p: _server(f, p, "ssl", RSA, more="ssl_protocols TLSv1.2;"), ders(RSA.chain), protocol="TLSv1.2"
    ),
    "nginx, no SNI: the default certificate": nginx(
        _two_names, ders(EC.chain), options={"server_name": None}, s_client=("-noservername",)
    ),
    "nginx, by SNI": nginx(
        _two_names, ders(RSA.chain), options={"server_name": "rsa.test"}, s_client=("-servername", "rsa.test")
    ),
    "nginx, an unknown SNI": nginx(
        _two_names, ders(EC.chain), options={"server_name": "who.test"}, s_client=("-servername", "who.test")
    ),
    "nginx, RSA of two": nginx(
        lambda f, p: _server(f, p, "ssl", EC, RSA), ders(RSA.chain), options={"key_type": "rsa"}, how="hello",
        s_client=("-sigalgs", "RSA-PSS+SHA256"),
    ),
    "nginx, ECDSA of two": nginx(
        lambda f, p: _server(f, p, "ssl", EC, RSA), ders(EC.chain), options={"key_type": "ecdsa"}, how="hello",
        s_client=("-sigalgs", "ECDSA+SHA256"),
    ),
    "nginx, a client certificate wanted": nginx(_asking, ders(EC.chain), finding="asked for a client certificate"),
    "nginx, handshakes rejected": nginx(
        lambda _, p: f"server {{ listen 127.0.0.1:{p} ssl; ssl_reject_handshake on; }}", None,
        reason="the alert unrecognized_name",
    ),
    "nginx, HTTP on this port": nginx(
        lambda _, p: f"server {{ listen 127.0.0.1:{p}; }}", None, reason="not TLS but plain HTTP"
    ),
}  # fmt: skip


def post_quantum(kind: Any) -> Endpoint:
    identity = forge.self_signed("pq.test", key=kind.generate())

    def start(folder: Path) -> AbstractContextManager[int]:
        served = SSL.Context(SSL.TLS_SERVER_METHOD)
        served.use_certificate(identity.x509)
        served.use_privatekey_file(str(identity.write(folder, "pq")[1]))
        return zoo.pyopenssl(served)

    # OpenSSL before 3.5 does not know these signatures: its hello has none that the server could give
    old = ssl.OPENSSL_VERSION_INFO < (3, 5)
    more: dict[str, Any] = {"shown": [], "refusal": "unexpected eof"} if old else {}
    return Endpoint("pyopenssl", start, ders(identity.chain), protocol="TLSv1.3", **more)


def pss_leaf() -> Endpoint:
    """The library would write the key as a plain RSA key, which is not the certificate's."""
    command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=pss.test", "-days", "30", "-keyout", "-", "-newkey",
               "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"]  # fmt: skip
    made = subprocess.run(command, capture_output=True, check=True).stdout

    def start(folder: Path) -> AbstractContextManager[int]:
        file = folder / "pss.pem"
        file.write_bytes(made)
        return zoo.s_server(folder, Identity(EC.x509, EC.key), "-cert", str(file), "-key", str(file))

    return Endpoint("openssl", start, pem_blocks(made.decode()))


ASKED = "asked for a client certificate"
OPENSSL = {
    "TLS 1.0": openssl(RSA, "-tls1", *OLD, protocol="TLSv1"),
    "TLS 1.0, ECDSA": openssl(EC, "-tls1", *OLD, protocol="TLSv1"),
    "TLS 1.1": openssl(EC, "-tls1_1", *OLD, protocol="TLSv1.1"),
    "DHE": openssl(RSA, "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256", protocol="TLSv1.2",
        cipher="TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    "RSA key exchange": openssl(RSA, "-tls1_2", "-cipher", "AES128-SHA", possession_short="unproven",
        cipher="TLS_RSA_WITH_AES_128_CBC_SHA"),
    "CBC": openssl(EC, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"),
    "ChaCha20": openssl(EC, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", cipher="TLS_CHACHA20_POLY1305_SHA256"),
    "AES 128": openssl(EC, "-ciphersuites", "TLS_AES_128_GCM_SHA256", cipher="TLS_AES_128_GCM_SHA256"),
    "CCM": openssl(EC, "-ciphersuites", "TLS_AES_128_CCM_SHA256", *OLD, "-no_tls1_2",
        s_client=("-ciphersuites", "TLS_AES_128_CCM_SHA256")),
    "CCM 8": openssl(EC, "-ciphersuites", "TLS_AES_128_CCM_8_SHA256", *OLD, "-no_tls1_2",
        s_client=("-ciphersuites", "TLS_AES_128_CCM_8_SHA256")),
    "HelloRetryRequest to P-384": openssl(EC, "-groups", "P-384", protocol="TLSv1.3"),
    "HelloRetryRequest to P-521": openssl(EC, "-groups", "P-521", protocol="TLSv1.3"),
    "P-256 only": openssl(EC, "-groups", "P-256", protocol="TLSv1.3"),
    "a stateless retry with a cookie": openssl(EC, "-groups", "P-256", "-num_tickets", "0"),
    "a client certificate demanded, 1.3": openssl(EC, "-Verify", "1", protocol="TLSv1.3", finding=ASKED),
    "a client certificate demanded, 1.2": openssl(
        EC, "-Verify", "1", "-tls1_2", protocol="TLSv1.2", how="hello", finding=ASKED
    ),
    "a client certificate asked for, 1.2": openssl(EC, "-verify", "1", "-tls1_2", finding=ASKED),
    "a rare curve": openssl(CA.issue("rare.test", key=ec.generate_private_key(ec.BrainpoolP256R1())), "-tls1_2",
                            s_client=("-curves", "brainpoolP256r1:X25519")),
    "a DSA leaf": openssl(CA.issue("dsa.test", key=forge.make_key("dsa")), "-tls1_2", *OLD),
    "an RSA-PSS leaf": pss_leaf(),
    "RSA 1024": openssl(CA.issue("weak.test", key=rsa.generate_private_key(65537, 1024)), *OLD),
    "signed with SHA-1": openssl(by_openssl("-sha1"), *OLD),
    "signed with MD5": openssl(by_openssl("-md5"), *OLD),
    "serial number 0": openssl(by_openssl("-set_serial", "0"), *OLD),
    "a negative serial number": openssl(by_openssl("-set_serial", "-7"), *OLD),
    "ALPN": openssl(EC, "-alpn", "h2", options={"alpn": ("h2",)}),
    "many records": openssl(EC, "-tls1_2", "-split_send_frag", "512", "-max_send_frag", "512"),
}  # fmt: skip


def long_hellos_cut() -> Endpoint:
    """A middlebox that cuts hellos that are longer than those of TLS 1.2."""
    served = context(EC)

    def serve(connection: socket.socket) -> None:
        if len(connection.recv(2000, socket.MSG_PEEK)) < 400:
            with served.wrap_socket(connection, server_side=True) as tls:
                tls.recv(10)
        else:
            zoo.resetting(connection)

    return raw(serve, ders(EC.chain), how="hello", s_client=("-no_tls1_3",))


ALERT = zoo.records(b"\x02\x50", 21)
ODD = {
    **{f"{name}, {v}": _odd(*refused, make) for name, refused in REFUSED.items() for v, make in RAW.items()},
    **{f"{name}, 1.2": _lenient(name, der) for name, der in ODD_CERTIFICATES.items()},
    "no secure renegotiation": raw(zoo.tls12(ders(EC.chain), EC.key, finish=True), ders(EC.chain), protocol="TLSv1.2"),
    **{
        f"an unknown signature scheme, {v}": raw(make(ders(EC.chain), b"\xfe\x42"), ders(EC.chain), how="hello",
                                                 possession="unproven", finding="no way here to check 0xFE42")
        for v, make in RAW.items()
    },
    **{
        f"{name}, {v}": raw(make(ders(EC.chain), key), ders(EC.chain), how="hello", possession="disproven",
                            finding=DISPROVEN)
        for name, key in (("another's key", OTHER_KEY), ("a key of another kind", RSA.key)) for v, make in RAW.items()
    },
    **{
        f"gone after Certificate, {v}": raw(make(ders(EC.chain)), ders(EC.chain), how="hello", possession="unproven",
                                            finding=UNPROVEN)
        for v, make in RAW.items()
    },
    "an alert after Certificate": raw(zoo.tls12(ders(EC.chain), then=ALERT), ders(EC.chain), how="hello",
                                      possession="unproven", finding=UNPROVEN),
    "an alert after the signature": raw(zoo.tls12(ders(EC.chain), EC.key, then=ALERT), ders(EC.chain), how="hello"),
    "a warning before all": raw(zoo.tls12(ders(EC.chain), EC.key, first=zoo.records(b"\1\x70", 21)), ders(EC.chain),
                                how="hello", finding="the warning unrecognized_name"),
    "records of one byte": raw(zoo.tls12(ders(EC.chain), EC.key, size=1), ders(EC.chain), how="hello"),
    "certificates beyond the limit": raw(zoo.tls12([LEAF] + [CA_DER] * 1200, EC.key), [LEAF] + [CA_DER] * 999,
                                         how="hello", shown=[], refusal=TOO_LONG,
                                         finding="kept the first 1000 certificates, the rest is cut"),
    "bytes beyond the limit": raw(zoo.tls12([LEAF, *[bytes(2**19)] * 12], EC.key), [LEAF, *[bytes(2**19)] * 7],
                                  how="hello", possession="unproven", shown=[], refusal=TOO_LONG,
                                  finding="stopped reading after 4194304 bytes"),
    "a list that breaks off": raw(
        zoo.tls12([], EC.key, certificate=zoo.message(11, zoo.vector(zoo.vector(LEAF, 3) + b"\x00\xff\xffshort", 3))),
        [LEAF], how="hello", finding="Certificate breaks off after 1 whole certificates",
        shown=[], refusal="cert length mismatch",
    ),
    "long hellos are cut": long_hellos_cut(),
}  # fmt: skip

SERVER_HELLO_ONLY = zoo.records(zoo.message(2, b"\3\3" + bytes(32) + b"\0\xc0\x2b\0"))
MYSQL = b"\x4a\0\0\0\x0a8.0.36\0" + bytes(66)
USELESS = {
    "plain HTTP": useless(zoo.replying(b"HTTP/1.1 400 Bad Request\r\n\r\n<p>"), "not TLS but plain HTTP: HTTP/1.1 400"),
    "a redirect": useless(zoo.replying(b"HTTP/1.1 301 Moved\r\nLocation: https://a.test/\r\n\r\n"), "HTTP/1.1 301"),
    "SSH": useless(zoo.answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "not TLS but SSH: SSH-2.0-OpenSSH_9.2"),
    "SMTP": useless(zoo.answering(b"220 mx.test ESMTP\r\n"), "not TLS but SMTP or FTP: 220 mx.test"),
    "IMAP": useless(zoo.answering(b"* OK ready\r\n"), r"not TLS but IMAP"),
    "POP3": useless(zoo.answering(b"+OK ready\r\n"), r"not TLS but POP3"),
    "MySQL": useless(zoo.answering(MYSQL), "not TLS but MySQL|not TLS"),
    "a hostile banner": useless(zoo.answering(b"220 \x1b[2Jgone\r\n"), r"not TLS but SMTP or FTP: 220 \\u\{1b\}\[2J"),
    "binary garbage": useless(zoo.replying(bytes(range(200, 256))), "not TLS: bytes c8c9cacb"),
    "an alert": useless(zoo.replying(zoo.records(b"\x02\x28", 21)), "the server sent the alert handshake_failure"),
    "silence": useless(zoo.silent, "the server said nothing within the deadline"),
    "a byte a second": useless(zoo.dripping, "the server did not finish within the deadline"),
    "a reset": useless(zoo.resetting, "the server reset the connection"),
    "a close": useless(zoo.replying(b""), "the server closed the connection"),
    "1 GB of warnings": useless(zoo.endless(zoo.records(b"\1\x70", 21)), "stopped reading|deadline|too many warn"),
    "1 GB of HelloRequests": useless(zoo.endless(zoo.records(bytes(4))), "malformed TLS|deadline|stopped|OpenSSL"),
    "1 GB of Certificate": useless(
        zoo.endless(zoo.records(bytes(16384)), SERVER_HELLO_ONLY + zoo.records(b"\x0b\xff\xff\xff")),
        "stopped reading|deadline|no certificate|OpenSSL gave up",
    ),
    "1 GB of application data": useless(zoo.endless(zoo.records(bytes(16384), 23)), "application data before"),
    "1 GB of plain text": useless(zoo.endless(b"x" * 65536), "not TLS: xxxx"),
    "a huge record": useless(zoo.replying(b"\x16\3\3\xff\xff" + bytes(70000)), "a record of 65535 bytes"),
    "an empty Certificate": useless(zoo.tls12([], EC.key), "Certificate holds no certificate"),
    "no Certificate": useless(
        zoo.tls12([], EC.key, certificate=b""), "OpenSSL gave up: unexpected message|presented no certificate"
    ),
    "closed after ServerHello": useless(zoo.replying(SERVER_HELLO_ONLY), "the server closed the connection|reset"),
    "an unknown suite, then silence": raw(
        zoo.replying_and_silent(zoo.records(zoo.message(2, b"\3\3" + bytes(32) + b"\0\xff\xfe\0"))), None,
        reason="OpenSSL gave up: unknown cipher returned|did not finish within the deadline", options={"deadline": 3},
    ),
    "a truncated ServerHello": useless(zoo.replying(zoo.records(zoo.message(2, b"\3\3"))), "malformed TLS message"),
    "a port that nobody listens on": Endpoint("raw", lambda _: _nobody(), reason="refused the connection"),
}  # fmt: skip


@contextmanager
def _nobody() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield port


STARTTLS = {
    f"STARTTLS, {protocol}": raw(
        then_tls(talk), ders(EC.chain), options={"starttls": protocol}, s_client=("-starttls", protocol)
    )
    for protocol, talk in TALKS.items()
}

ZOO: dict[str, Endpoint] = {
    **{f"{name}, {v}": python(identity, m) for name, identity in PRESENTED.items() for v, m in BOTH.items()},
    **{kind.__name__[:7]: post_quantum(kind)
       for kind in (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)},
    **OPENSSL, **NGINX, **ODD, **USELESS, **STARTTLS,
}  # fmt: skip
