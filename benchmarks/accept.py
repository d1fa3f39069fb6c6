"""How fast the pin decision and the pins themselves are; ratios hold on any machine, as both sides run at once.

    python benchmarks/accept.py [a folder or zip of DER certificates, or a PEM bundle]

Prints accepts() on 10,000 pairs of a release and a chain, and pins of a bundle against what is usually written for
them, `load_der_x509_certificate(der).public_key().public_bytes(...)`: how fast, and on how many it is right.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from forge import EPOCH, make_key, root

from irkit.accept import accepts
from irkit.certificate import Certificate, Pin, pem_blocks
from irkit.pins.release import PLATFORMS, ConfiguredPin, HostRule, Release
from irkit.trust import TrustStore, mozilla

ROUNDS = 5


def main() -> None:
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    decisions()
    pins(certificates(bundle))


def decisions() -> None:
    """10,000 different pairs: 100 releases of every platform, 100 chains under 10 CAs."""
    top = root("Benchmark Root")
    cas = [top.issue(cn=f"Benchmark CA {i}", ca=True) for i in range(10)]
    chains = [ca.issue("api.example.com").chain for ca in cas for _ in range(10)]
    stranger = Pin(hashlib.sha256(b"nobody's").digest())
    releases = [
        Release(
            platform := PLATFORMS[i % len(PLATFORMS)],
            (
                HostRule(
                    "api.example.com", expires="2027-01-01" if i % 3 else None,
                    pins=tuple(ConfiguredPin(str(pin), pin) for pin in (chains[i].leaf.pin, stranger)),
                ),
            ),
            library="okhttp 4.12.0" if platform == "okhttp" else "",
        )
        for i in range(100)
    ]  # fmt: skip
    store = TrustStore("benchmark", (top.certificate, *mozilla().roots))
    at = EPOCH + timedelta(days=5)
    for name, trust in (("the chain as given", None), ("paths to 118 roots", store)):
        started = time.perf_counter()
        answers = [
            accepts(release, chain, host="api.example.com", at=at, trust=trust).answer
            for release, chain in product(releases, chains)
        ]
        took = time.perf_counter() - started
        counted = ", ".join(f"{answers.count(answer)} {answer}" for answer in sorted(set(answers)))
        print(f"accepts() on {len(answers):,} pairs, {name}: {took:.2f} s ({counted})")


def certificates(bundle: Path | None) -> list[bytes]:
    """The DER certificates of a bundle; without one the roots of certifi and 500 forged ones."""
    if bundle is None:
        default = Path(__file__).parent.parent.parent / "shared" / "corpus" / "certificates.zip"
        if not default.exists():
            keys = [make_key(kind) for kind in ("ec", "rsa", "ed25519", "ec384")]
            top = root("Bundle Root")
            forged = [top.issue(f"{i}.example", key=keys[i % 4]).certificate.der for i in range(500)]
            return [root.der for root in mozilla().roots] + forged
        bundle = default
    if zipfile.is_zipfile(bundle):
        with zipfile.ZipFile(bundle) as archive:
            return [archive.read(name) for name in archive.namelist() if not name.endswith(("/", ".csv", ".md"))]
    if bundle.is_dir():
        return [path.read_bytes() for path in sorted(bundle.iterdir()) if path.is_file()]
    return pem_blocks(bundle.read_text())


def usual(der: bytes) -> bytes | None:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    except Exception:  # noqa: BLE001 - it raises ValueError, UnsupportedAlgorithm and more
        return None


def ours(der: bytes) -> bytes | None:
    pin = Certificate.from_der(der).pin
    return None if pin is None else pin.digest


def pins(ders: Sequence[bytes]) -> None:
    import warnings

    warnings.simplefilter("ignore")
    expected, found = [ours(der) for der in ders], [usual(der) for der in ders]
    print(f"pins of {len(ders):,} certificates: irkit {sum(pin is not None for pin in expected):,},", end=" ")
    wrong = sum(a is not None and a != b for a, b in zip(found, expected, strict=True))
    print(f"re-encoding {sum(pin is not None for pin in found) - wrong:,} right and {wrong} wrong")
    # In turns, so that a busy moment of the machine hits both.
    ratios = [timed(usual, ders) / timed(ours, ders) for _ in range(ROUNDS)]
    rate = len(ders) / timed(ours, ders)
    print(f"irkit is {statistics.median(ratios):.1f} times as fast as re-encoding, at {rate:,.0f} pins a second")


def timed(function: Callable[[bytes], object], ders: Sequence[bytes]) -> float:
    started = time.process_time()
    for der in ders:
        function(der)
    return time.process_time() - started


if __name__ == "__main__":
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}")
    main()
