"""Trust stores: named sets of roots, from certifi, PEM and DER files, folders and Java keystores."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from irkit import render
from irkit.certificate import Certificate, pem_blocks
from irkit.errors import InputError
from irkit.files import read_file

__all__ = ["TrustStore", "joined", "load_roots", "load_trust", "mozilla"]

SIZE = 64 << 20  # bytes of one file
_PKCS7_DATA = bytes.fromhex("06092a864886f70d010701")  # what a PKCS #12 file begins with (RFC 7292, section 4)
_CERTIFICATE = re.compile(r"\.(pem|crt|cer|der|[0-9]+)\Z", re.IGNORECASE)  # android has 5ed36f99.0


@dataclass(frozen=True, slots=True, repr=False)
class TrustStore:
    """Roots under a name.

    Attributes:
        name: What reports call it: `mozilla`, `android 14`, a file.
        roots: The trust anchors.
    """

    name: str
    roots: tuple[Certificate, ...]

    def __repr__(self) -> str:
        return f"TrustStore({render.text(self.name, 120)}, {len(self.roots)} roots)"

    def _repr_html_(self) -> str:
        rows = [
            (root.subject or "unreadable", root.not_after or "unreadable", root.pin or "none") for root in self.roots
        ]
        return render.table(("subject", "notAfter", "pin"), rows, f"Trust store {self.name}")


@lru_cache(maxsize=1)
def mozilla() -> TrustStore:
    """Mozilla's roots, as the installed certifi has them."""
    import certifi

    ders = pem_blocks(certifi.contents())
    return TrustStore("mozilla", tuple(Certificate.from_der(der) for der in ders))


def load_roots(names: Iterable[str | Path]) -> TrustStore:
    """Several stores as one: `mozilla`, and files or folders as `load_trust` reads them.

    Raises:
        InputError: As `load_trust`.
    """
    return joined([mozilla() if str(name) == "mozilla" else load_trust(name) for name in names])


def joined(stores: Sequence[TrustStore]) -> TrustStore:
    """Several stores as one, each root once."""
    roots = dict.fromkeys(root for store in stores for root in store.roots)
    return TrustStore(" + ".join(store.name for store in stores), tuple(roots))


def load_trust(path: str | Path, name: str = "", *, password: str | None = None) -> TrustStore:
    """Reads a trust store from a file or a folder.

    A file holds PEM certificates, one DER certificate, a Java keystore (JKS), or PKCS #12. Of a folder, files that end
    as certificates do are read (.pem .crt .cer .der, and .0 as Android names them), each PEM or DER.

    Args:
        path: The file or folder.
        name: What to call the store; default: the path.
        password: Of a keystore. By default PKCS #12 is opened without one and with Java's `changeit`, and a JKS, which
            is not encrypted, is read as it is; with a password its digest is checked.

    Raises:
        InputError: It can't be read, holds no certificate, or has another password.
    """
    source = Path(path)
    files = sorted(f for f in source.iterdir() if _CERTIFICATE.search(f.name)) if source.is_dir() else [source]
    ders = [der for file in files for der in _certificates(file, password)]
    if not ders:
        raise InputError(f"no certificate in {render.text(path)}", "give PEM or DER certificates, or a Java keystore")
    return TrustStore(name or str(path), tuple(Certificate.from_der(der) for der in dict.fromkeys(ders)))


def _certificates(file: Path, password: str | None) -> list[bytes]:
    data = read_file(file, "name a file or folder of roots", limit=SIZE, what="trust store")
    if data.startswith(b"\xfe\xed\xfe\xed"):
        return list(_jks(data, file, password))
    if ders := pem_blocks(data.decode("latin-1")):
        return ders
    if Certificate(data).x509 is not None:
        return [data]
    if data.startswith(b"\x30") and (ders := _pkcs12(data, password)):
        return ders
    if _PKCS7_DATA in data[:64]:
        raise InputError(
            f"{render.text(file)} is PKCS #12 that does not open, or holds no certificate", "give its password"
        )
    raise InputError(
        f"{render.text(file)} holds no certificate", "roots are PEM, DER, JKS or PKCS #12; move other files elsewhere"
    )


def _pkcs12(data: bytes, given: str | None) -> list[bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

    for password in (None, b"changeit", b"") if given is None else (given.encode(),):
        try:
            content = pkcs12.load_pkcs12(data, password)
        except Exception:  # noqa: BLE001, S112 - not PKCS #12 or another password: the caller says that nothing was found
            continue
        return [entry.certificate.public_bytes(Encoding.DER) for entry in content.additional_certs]
    return []


def _jks(data: bytes, file: Path, password: str | None) -> Iterator[bytes]:
    """The trusted certificates of a JKS file.

    The format is that of `sun.security.provider.JavaKeyStore`; no library that is still looked after reads it.
    """
    broken = InputError(
        f"{render.text(file)} is a broken Java keystore", "export the certificates: keytool -exportcert"
    )
    try:
        _, version, count = struct.unpack_from(">III", data)
        pos = 12
        for _ in range(count):
            (tag,) = struct.unpack_from(">I", data, pos)
            if tag != 2:
                raise InputError(
                    f"{render.text(file)} holds private keys", "give a keystore of trusted certificates only"
                )
            _, pos = _jks_part(data, pos + 4, ">H")
            pos += 8  # when it was added
            if version == 2:
                _, pos = _jks_part(data, pos, ">H")
            der, pos = _jks_part(data, pos, ">I")
            yield der
    except (struct.error, ValueError):
        raise broken from None
    if len(data) - pos != 20:  # a digest keyed by the password ends the file
        raise broken
    if password is not None:
        keyed = password.encode("utf-16-be") + b"Mighty Aphrodite" + data[:pos]
        if hashlib.sha1(keyed, usedforsecurity=False).digest() != data[pos:]:
            raise InputError(f"{render.text(file)} has another password, or was changed", "give its own password")


def _jks_part(data: bytes, pos: int, length: str) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(length, data, pos)
    start = pos + struct.calcsize(length)
    if start + size > len(data):
        raise ValueError("truncated")
    return data[start : start + size], start + size
