"""Chains from files.

A file is what somebody saved during an incident: PEM with talk around it, DER, PKCS #7, what `openssl s_client`
printed, a recording of traffic, a folder of certificates, or irkit's own JSON. The certificates come back as they stand
there, in that order.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from irkit import der, pcap, recordings, render
from irkit.certificate import Certificate, pem_blocks
from irkit.chain import Chain, Obtained
from irkit.chainjson import chain_from_json, chain_from_value
from irkit.errors import InputError

__all__ = ["load_chain", "load_chain_bytes", "load_chains"]

_LIMIT = 2**24  # bytes of one file; the longest chain that irkit captures is a quarter of it
_RECORDING = 2**27  # bytes of a packet capture or of flows that are read
_HINT = (
    "give PEM, DER, PKCS #7, the output of openssl s_client -showcerts, a packet capture, mitmproxy's flows, "
    "irkit's JSON, or a folder of these"
)


def load_chain(path: str | os.PathLike[str], *, host: str = "") -> Chain:
    """Reads a chain from a file or a folder.

    Args:
        path: PEM with any text around it, DER (one certificate, or several end to end), PKCS #7 in either, the output
            of `openssl s_client`, the JSON of `chain_to_json`, or a folder of such files, in the order of their names.
            Of a recording (pcap or pcapng with TLS 1.2 or older, or with TLS 1.3 and its key log inside; what
            `mitmdump -w` writes; a browser's chrome://net-export), its one chain.
        host: Which host's chain, of a recording that has several.

    Returns:
        The certificates in the order of the file. `obtained.at` is None unless the file says when.

    Raises:
        InputError: There is no such file, it can't be read, or it holds no certificate; or several chains, where one is
            wanted.
    """
    if _is_folder(Path(path)):
        return _load_folder(Path(path))
    return load_chain_bytes(_read(Path(path)), where=str(path), host=host)


def load_chains(path: str | os.PathLike[str]) -> tuple[Chain, ...]:
    """Every chain of a recording or of a list in irkit's JSON, in its order; of any other file, its one.

    Args:
        path: As `load_chain`.

    Raises:
        InputError: As `load_chain`, but for several chains.
    """
    if _is_folder(Path(path)):
        return (_load_folder(Path(path)),)
    data, where = _read(Path(path)), str(path)
    found = _recorded(data, where)
    if found is None and (value := _json(data)) is not None and isinstance(value, list) and value:
        return tuple(chain_from_value(entry, render.text(where, 200)) for entry in value)
    return tuple(found) if found is not None else (load_chain_bytes(data, where),)


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:  # a name too long; reading it says so
        return False


def _read(place: Path) -> bytes:
    shown = render.text(place, 200)
    try:
        if not place.exists():
            raise InputError(f"there is no file {shown}", "check the path; relative paths start at the current folder")
        if not place.is_file():
            raise InputError(f"{shown} is neither a file nor a folder", _HINT)
        with place.open("rb") as file:
            data = file.read(_LIMIT + 1)
            if pcap.is_pcap(data) or recordings.is_flows(data[:100_000]):
                data += file.read(_RECORDING - len(data))
                return data
    except OSError as error:
        raise InputError(f"can't read {shown}: {error.strerror or error}", "check the path and its rights") from None
    except ValueError as error:  # a NUL in the path
        raise InputError(f"not a path: {shown}: {error}", "check the path") from None
    if len(data) > _LIMIT:
        raise InputError(f"{shown} is larger than {_LIMIT >> 20} MB", "is this a file of certificates?")
    return data


def _json(data: bytes) -> object:
    """The JSON value that a file is; None for another file."""
    if data.lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _recorded(data: bytes, where: str) -> list[Chain] | None:
    """The chains of a recording; None for another file."""
    if pcap.is_pcap(data):
        return recordings.chains_of_pcap(data, where)
    if recordings.is_flows(data):
        return recordings.chains_of_flows(data, where)
    value = _json(data) if data[:1] == b"{" else None
    if isinstance(value, dict) and recordings.is_netlog(value):
        return recordings.chains_of_netlog(value, where)
    if problem := recordings.har_problem(value):
        raise InputError(
            f"{render.text(where or 'the input', 200)} is {problem}",
            "export the certificate in the browser (PEM, chain), or the log of chrome://net-export",
        )
    return None


def load_chain_bytes(data: bytes, where: str = "", *, host: str = "") -> Chain:
    """Reads a chain from the content of a file, as `load_chain` does.

    Raises:
        InputError: It holds no certificate.
    """
    shown = render.text(where or "the input", 200)
    if not data.strip():
        raise InputError(f"{shown} is empty", _HINT)
    if (found := _recorded(data, where)) is not None:
        return recordings.one_of(found, host, shown)
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:  # a text saved by Windows' tools
        data = data.decode("utf-16", "replace").encode()
    if data[:1] == b"\x30" and data[1:2] >= b"\x80":  # below, it is the digit 0 of a text: no certificate is that short
        try:
            ders, findings = _from_der(data)
        except ValueError as error:
            raise InputError(f"{shown} begins like DER but is none: {error}", _HINT) from None
        return _chain(ders, Obtained("file", where, findings=findings))
    if data[:4] == b"\xfe\xed\xfe\xed":
        raise InputError(f"{shown} is a Java key store", "keytool -exportcert -rfc takes a certificate out")
    text = data.decode("utf-8-sig", "replace")
    if text.lstrip()[:1] in {"{", "["}:
        return chain_from_json(text, shown)
    return _from_text(text, where, shown)


def _chain(ders: list[bytes], obtained: Obtained) -> Chain:
    return Chain(tuple(Certificate.from_der(raw) for raw in ders), obtained)


def _from_der(data: bytes) -> tuple[list[bytes], tuple[str, ...]]:
    """One certificate, several end to end, or PKCS #7."""
    found = der.pkcs7_certificates(data)
    if found is not None:
        if not found[0]:
            raise ValueError("PKCS #7 without a certificate")
        return found[0], (found[1],)
    if b"\x02\x01\x03\x30" in data[2:9]:  # version 3 and a SEQUENCE (RFC 7292, section 4)
        raise ValueError("it looks like PKCS #12; openssl pkcs12 -nokeys takes the certificates out")
    ders, rest = der.sequences(data)
    if not ders or not any(der.looks_like_certificate(one) for one in ders):
        raise ValueError("no certificate in it")
    return ders, (f"{len(rest)} bytes after the last certificate are left out",) if rest.strip() else ()


_S_CLIENT = re.compile(r"^(?:CONNECTED\([0-9A-Fa-f]+\)|Certificate chain|SSL-Session:)\s*$", re.MULTILINE)
_PKCS7 = re.compile(r"-----BEGIN (PKCS7|PKCS #7 SIGNED DATA|CMS)-----(.*?)-----END \1-----", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9+/=\s]+\Z")


def _from_text(text: str, where: str, shown: str) -> Chain:
    try:
        ders = pem_blocks(_unquoted(text))
    except InputError as error:
        raise InputError(f"{shown}: {error.message}", error.hint) from None
    findings: list[str] = []
    for match in _PKCS7.finditer(text):
        try:
            more, said = _from_der(base64.b64decode("".join(match[2].split()), validate=True))
        except ValueError as error:
            raise InputError(f"{shown}: its {match[1]} block can't be read: {error}", "export it again") from None
        ders += more
        findings += said
    if not ders and len(text) > 100 and _BARE.match(text):  # base64 without its PEM lines, as portals copy it
        try:
            ders, said = _from_der(base64.b64decode("".join(text.split()), validate=True))
            findings += said
        except ValueError:
            ders = []
    if not ders:
        raise InputError(f"no certificate in {shown}{_instead(text)}", _HINT)
    if "PRIVATE KEY-----" in text:
        findings.append("a private key stands in the same file; it was not read: keep it out of the evidence")
    if text.count("-----BEGIN CERTIFICATE-----") > text.count("-----END CERTIFICATE-----"):
        findings.append("a CERTIFICATE block has no END: it was cut off and is left out")
    obtained = Obtained("file", where, findings=tuple(findings))
    return _chain(ders, _as_s_client_says(obtained, text) if _S_CLIENT.search(text) else obtained)


def _unquoted(text: str) -> str:
    r"""PEM out of mails, logs and JSON strings: without quote marks at line starts, with `\n` as line ends."""
    if "\\n" in text and "-----BEGIN" in text:
        text = text.replace("\\r", "").replace("\\n", "\n")
    return re.sub(r"^[ \t]*(?:>[ \t]?)+", "", text, flags=re.MULTILINE) if ">" in text else text


def _instead(text: str) -> str:
    """What the file holds instead of certificates, as far as it can be told."""
    for mark, what in (
        ("PRIVATE KEY-----", "a private key"),
        ("BEGIN PUBLIC KEY-----", "a bare public key"),
        ("CERTIFICATE REQUEST-----", "a certificate request"),
        ("BEGIN X509 CRL-----", "a CRL"),
        ("BEGIN CERTIFICATE-----", "a CERTIFICATE block without its END"),
        ("no peer certificate available", "what s_client says of a server that presented none"),
        ("<html", "a web page"),
    ):
        if mark in text:
            return f"; it holds {what}"
    return "; it is binary" if "\0" in text or "\ufffd" in text else "; it is other text"


def _as_s_client_says(obtained: Obtained, text: str) -> Obtained:
    """Time, protocol and suite where `openssl s_client` printed them."""
    start = re.search(r"^\s*Start Time: (\d{1,11})\s*$", text, re.MULTILINE)
    new = re.search(r"^(?:New|Reused), (TLSv[\d.]+|SSLv3), Cipher is (\S+)", text, re.MULTILINE)
    name = re.search(r"^SNI: (\S+)|^Connecting to (\S+)", text, re.MULTILINE)
    return replace(
        obtained,
        at=datetime.fromtimestamp(int(start[1]), UTC) if start else None,
        protocol=new[1] if new else "",
        cipher=new[2] if new and new[2] != "(NONE)" else "",
        address=(name[2] or "") if name else "",
    )


def _load_folder(folder: Path) -> Chain:
    """Every file of a folder, in the order of names; what holds no certificate is said."""
    found: list[Certificate] = []
    findings = ["read from a folder: the order is that of the file names"]
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith("."):
            continue
        try:
            chain = load_chain(file)
        except InputError as error:
            findings.append(f"left out: {error.message}")
            continue
        found += chain.certificates
        findings += [f"{render.text(file.name, 100)}: {finding}" for finding in chain.obtained.findings]
    if not found:
        raise InputError(f"no file in {render.text(folder, 200)} holds a certificate", _HINT)
    return Chain(tuple(found), Obtained("file", str(folder), findings=tuple(findings)))
