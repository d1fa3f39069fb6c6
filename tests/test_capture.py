"""capture and capture_all against real servers: what must come back, byte for byte, and that nothing hangs."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forge
import pytest
import zoo
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from zoo import CA, EC, RSA, context, ders, local

from irkit.capture import capture, capture_all
from irkit.certificate import pem_blocks
from irkit.chain import Chain
from irkit.errors import CaptureError, InputError

CA_DER = CA.certificate.der


def test_a_client_certificate_demanded_in_tls_12_keeps_the_chain(tmp_path: Path) -> None:
    with zoo.s_server(tmp_path, EC, "-tls1_2", "-Verify", "1") as port:
        chain = local(port)
    assert ders(chain) == ders(EC.chain)
    assert (chain.obtained.how, chain.obtained.possession) == ("hello", "proven")
    assert "the server asked for a client certificate" in chain.obtained.findings
    assert "handshake_failure" in chain.obtained.attempts[0].reason


def test_a_client_certificate_is_presented(tmp_path: Path) -> None:
    certificate, key = CA.issue("me.test").write(tmp_path, "me")
    with zoo.s_server(tmp_path, EC, "-tls1_2", "-Verify", "1") as port:
        chain = local(port, client_certificate=(str(certificate), str(key)))
        assert (chain.obtained.how, chain.obtained.possession) == ("handshake", "proven")
        with pytest.raises(InputError, match="no client certificate or key"):
            local(port, client_certificate=(str(certificate), str(tmp_path / "absent")))
        with pytest.raises(InputError, match="can't use the client certificate"):
            local(port, client_certificate=(str(key), str(certificate)))


def test_the_stapled_ocsp_response_is_kept(tmp_path: Path) -> None:
    response = tmp_path / "ocsp.der"
    response.write_bytes(ocsp_response())
    for version in ("-tls1_2", "-tls1_3"):
        with zoo.s_server(tmp_path, EC, version, "-status_file", str(response)) as port:
            for sweep in (False, True):
                assert local(port, sweep=sweep).obtained.ocsp == response.read_bytes()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_scts_of_the_handshake_are_kept(tmp_path: Path, version: str) -> None:
    listed = b"\0\x2a\0\x28" + bytes(range(40))
    # SERVERINFOV2: in ClientHello, in ServerHello before TLS 1.3, in Certificate from then on
    info = (0x80 | 0x100 | 0x1000).to_bytes(4, "big") + b"\0\x12" + zoo.vector(listed, 2)
    file = tmp_path / "sct.pem"
    body = base64.b64encode(info).decode()
    file.write_text(f"-----BEGIN SERVERINFOV2 FOR SCT-----\n{body}\n-----END SERVERINFOV2 FOR SCT-----\n")
    with zoo.s_server(tmp_path, EC, version, "-serverinfo", str(file)) as port:
        for sweep in (False, True):
            chain = local(port, sweep=sweep)
            assert chain.obtained.scts == listed
            assert chain.obtained.attempts == ()
    with zoo.s_server(tmp_path, EC, version) as port:
        assert local(port).obtained.scts is None


@pytest.mark.parametrize("kind", ["eddsa", "mldsa"])
def test_eddsa_or_ml_dsa_on_request_of_a_server_that_has_both(tmp_path: Path, kind: str) -> None:
    keys = {"eddsa": forge.make_key("ed25519"), "mldsa": mldsa.MLDSA65PrivateKey.generate()}
    identities = {name: forge.self_signed(f"{name}.test", key=key) for name, key in keys.items()}
    served = SSL.Context(SSL.TLS_SERVER_METHOD)
    for name, identity in {**identities, "ecdsa": EC}.items():
        served.use_certificate(identity.x509)
        served.use_privatekey_file(str(identity.write(tmp_path, name)[1]))
    with zoo.pyopenssl(served) as port:
        chain = local(port, key_type=kind)
        assert ders(chain) == ders(identities[kind].chain)
        assert chain.obtained.possession == "proven"
        assert ders(local(port, key_type="ecdsa"))[0] == EC.certificate.der
    with pytest.raises(InputError, match=r"needs TLS 1\.3"):
        local(1, key_type="mldsa", maximum="TLSv1.2")


def ocsp_response() -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509 import ocsp

    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=EC.x509, issuer=CA.x509, algorithm=hashes.SHA256(), cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=forge.EPOCH, next_update=None, revocation_time=None, revocation_reason=None,
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, CA.x509)  # fmt: skip
    return builder.sign(CA.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_rsa_or_ecdsa_on_request_of_a_server_that_has_both(tmp_path: Path) -> None:
    one, two = EC.write(tmp_path, "ec"), RSA.write(tmp_path, "rsa")

    def blocks(port: int) -> str:
        lines = "".join(f"ssl_certificate {cert}; ssl_certificate_key {key};\n" for cert, key in (one, two))
        return f"server {{ listen 127.0.0.1:{port} ssl; {lines} ssl_protocols TLSv1.2 TLSv1.3; }}"

    with zoo.nginx(tmp_path, blocks) as port:
        for maximum in ("TLSv1.2", "TLSv1.3"):
            assert ders(local(port, key_type="rsa", maximum=maximum)) == ders(RSA.chain)
            assert ders(local(port, key_type="ecdsa", maximum=maximum)) == ders(EC.chain)
        assert ders(local(port)) == zoo.s_client(port)


def test_the_server_name_chooses_the_chain(tmp_path: Path) -> None:
    one, two = EC.write(tmp_path, "ec"), RSA.write(tmp_path, "rsa")

    def blocks(port: int) -> str:
        return "".join(
            f"server {{ listen 127.0.0.1:{port} ssl {extra}; server_name {name}; ssl_certificate {cert}; "
            f"ssl_certificate_key {key}; }}\n"
            for name, extra, (cert, key) in (("_", "default_server", one), ("rsa.test", "", two))
        )

    with zoo.nginx(tmp_path, blocks) as port:
        connect = f"127.0.0.1:{port}"
        by_name = capture("rsa.test", connect=connect)
        assert (ders(by_name), by_name.obtained.server_name) == (ders(RSA.chain), "rsa.test")
        assert by_name.obtained.address == connect
        without = capture("rsa.test", server_name=None, connect=connect)
        assert (ders(without), without.obtained.server_name) == (ders(EC.chain), None)
        assert ders(capture("rsa.test", server_name="other.test", connect=connect)) == ders(EC.chain)
        assert capture("127.0.0.1", port).obtained.server_name is None
        assert capture("a.test", server_name="127.0.0.1", connect=connect).obtained.server_name is None
        assert ders(capture("rsa.test.", connect=connect)) == ders(RSA.chain)


def test_alpn_is_offered_on_request() -> None:
    served = context(EC)
    served.set_alpn_protocols(["h2", "http/1.1"])
    with zoo.python_tls(served) as port:
        assert local(port).obtained.alpn == ""
        for sweep in (False, True):
            for maximum in ("TLSv1.2", "TLSv1.3"):
                assert local(port, alpn=("h2",), sweep=sweep, maximum=maximum).obtained.alpn == "h2"


def test_no_session_is_ever_resumed() -> None:
    """A resumed session shows no certificate."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        served = context(EC, version)
        with zoo.python_tls(served) as port:
            for _ in range(3):
                for sweep in (False, True):
                    assert ders(local(port, sweep=sweep)) == ders(EC.chain)
        assert served.session_stats()["hits"] == 0


def test_a_client_certificate_demanded_in_tls_13_is_presented(tmp_path: Path) -> None:
    certificate, key = CA.issue("me.test").write(tmp_path, "me")
    seen: list[bytes] = []

    def keep(_: Any, shown: Any, *__: Any) -> bool:
        seen.append(shown.to_cryptography().public_bytes(Encoding.DER))
        return True

    asking = SSL.Context(SSL.TLS_SERVER_METHOD)
    asking.use_certificate_chain_file(str(EC.write(tmp_path, "ec")[0]))
    asking.use_privatekey_file(str(tmp_path / "ec.key"))
    asking.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, keep)
    with zoo.pyopenssl(asking) as port:
        assert local(port, client_certificate=(str(certificate), str(key))).obtained.possession == "proven"
        chain = local(port)  # the server's refusal comes after its chain
    assert ders(chain) == ders(EC.chain)
    assert pem_blocks(certificate.read_text())[0] in seen


def test_minimum_and_maximum_protocol_hold() -> None:
    with zoo.python_tls(context(EC, ssl.TLSVersion.TLSv1_2)) as port:
        assert local(port, maximum="TLSv1.2").obtained.protocol == "TLSv1.2"
        with pytest.raises(CaptureError, match="protocol_version"):
            local(port, minimum="TLSv1.3")


@pytest.mark.parametrize("kind", [zoo.tls12, zoo.tls13], ids=["1.2", "1.3"])
def test_a_server_that_leaves_after_certificate_keeps_its_chain(kind: Callable[..., zoo.Serve]) -> None:
    with zoo.raw(kind(ders(EC.chain))) as port:
        chain = local(port)
    assert ders(chain) == ders(EC.chain)
    assert chain.obtained.possession == "unproven"
    assert chain.obtained.attempts[0].reason == "the server closed the connection"


def test_an_alert_after_certificate_keeps_the_chain() -> None:
    with zoo.raw(zoo.tls12(ders(EC.chain), then=zoo.records(b"\x02\x50", 21))) as port:
        chain = local(port)
    assert ders(chain) == ders(EC.chain)
    assert chain.obtained.attempts[0].reason == "the server sent the alert internal_error"


def test_limits_cut_with_a_finding() -> None:
    many = [EC.certificate.der] + [CA_DER] * 99
    for kind in (zoo.tls12, zoo.tls13):
        with zoo.raw(kind(many, EC.key)) as port:
            few = local(port, max_certificates=10)
            assert ders(few) == many[:10]
            assert "kept the first 10 certificates, the rest is cut" in few.obtained.findings
            short = local(port, max_bytes=20000)
            assert 10 < len(short) < 100
            assert ders(short) == many[: len(short)]
            assert any("stopped reading after 20000 bytes" in finding for finding in short.obtained.findings)


BAD_CALLS: list[dict[str, Any]] = [
    {"host": ""}, {"port": 0}, {"port": 70000}, {"deadline": 0}, {"deadline": float("nan")}, {"connect": "a:b:c"},
    {"connect": "host:99999"}, {"connect": ":443"}, {"proxy": "https://x:1"}, {"proxy": "nonsense"},
    {"proxy": "http://user:secret@127.0.0.1:1"}, {"proxy": "user:secret@127.0.0.1:1"},
    {"proxy": "http://u:secret@[x"}, {"proxy": "http://x:1", "proxy_auth_env": "NO_SUCH_VARIABLE"},
    {"starttls": "gopher"}, {"key_type": "dsa"}, {"minimum": "SSLv3"}, {"minimum": "TLSv1.3", "maximum": "TLSv1.2"},
    {"host": "a.test:443"}, {"host": "https://a.test/"}, {"host": "me@a.test"}, {"alpn": ("",)}, {"alpn": ("é",)},
    {"max_bytes": 0}, {"max_certificates": 0}, {"server_name": "a b"}, {"server_name": ""}, {"server_name": "x\r\ny"},
    {"host": "fa\xdf.test"}, {"host": "a\u200db.test", "server_name": None},
]  # fmt: skip


@pytest.mark.parametrize("arguments", BAD_CALLS, ids=str)
def test_a_wrong_call_says_what_to_do(arguments: dict[str, Any]) -> None:
    for call in (capture, capture_all):
        with pytest.raises(InputError) as raised:
            call(**{"host": "127.0.0.1", "port": 1, **arguments})
        assert raised.value.hint
        assert "secret" not in str(raised.value)


def test_captures_in_parallel_do_not_mix_up_their_keys() -> None:
    """One context serves all handshakes; each must decrypt with its own secret."""
    with zoo.python_tls(context(EC)) as one, zoo.python_tls(context(RSA)) as two:
        found: dict[int, list[Chain]] = {one: [], two: []}
        threads = [
            threading.Thread(target=lambda port=port: found[port].append(local(port)))  # type: ignore[misc]  # default
            for port in (one, two) * 12
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(found[one]) == {EC.chain}
    assert set(found[two]) == {RSA.chain}
    assert len(found[one]) == len(found[two]) == 12


def test_what_was_asked_and_agreed_is_all_there() -> None:
    with zoo.python_tls(context(EC)) as port:
        chain = capture("ec.test", connect=f"127.0.0.1:{port}", vantage="office")
    obtained = replace(chain.obtained, at=None, duration=0.0)
    assert chain.obtained.at is not None
    assert chain.obtained.at.utcoffset() is not None
    assert chain.obtained.duration > 0
    assert obtained == replace(
        obtained, how="handshake", where=f"ec.test:443 at 127.0.0.1:{port}", host="ec.test", port=443,
        server_name="ec.test", address=f"127.0.0.1:{port}", protocol="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384",
        signature_scheme="ecdsa_secp256r1_sha256", alpn="", possession="proven", ocsp=None, attempts=(), findings=(),
        vantage="office", proxy="", starttls="",
    )  # fmt: skip
