"""Evidence made in code, for the tests of the verdict: a service with its CA, its releases, and whatever befalls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import forge
import numpy as np

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.evidence import Capture, Evidence, Observed
from irkit.failures import Failures
from irkit.incident import Incident, MetricsSource, Vantage
from irkit.missing import Missing
from irkit.pins import Inventory, InventoryKey, Release, load_release_bytes
from irkit.trust import TrustStore

HOST = "api.example.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = NOW - timedelta(hours=24)
ONSET = NOW - timedelta(hours=3)
STAGES = frozenset({"failures", "chains", "pins"})

OLD = "shop-android 4.1.0"
NEW = "shop-android 4.2.0"


def nsc(*pins: Any) -> bytes:
    """An Android network security configuration for the host."""
    entries = "".join(f'<pin digest="SHA-256">{getattr(pin, "base64", pin)}</pin>' for pin in pins)
    return (
        f'<network-security-config><domain-config><domain includeSubdomains="false">{HOST}</domain>'
        f"<pin-set>{entries}</pin-set></domain-config></network-security-config>"
    ).encode()


def release(name: str, *pins: Any, released: datetime | None = None) -> Release:
    app, version = name.split(" ")
    return load_release_bytes(
        nsc(*pins), name=f"{name}.xml", platform="android", app=app, version=version, released=released
    )


def capture(chain: Chain, vantage: str = "office", *, at: datetime = NOW, trusted: bool = True) -> Capture:
    return Capture(Chain(chain.certificates, replace(chain.obtained, at=at, host=HOST, port=443)), vantage, trusted)


def failures(
    ratio: Callable[[Mapping[str, str], np.ndarray], np.ndarray],
    *,
    versions: Sequence[str] = ("4.1.0", "4.2.0"),
    regions: Sequence[str] = ("eu-west", "us-east", "ap-south"),
    rate: float = 60.0,
    traffic: Callable[[Mapping[str, str], np.ndarray], np.ndarray] | None = None,
) -> Failures:
    """A day of counts: `ratio(cohort, minutes)` of the validations of each cohort fail, besides a trickle."""
    rng = np.random.default_rng(7)
    minutes = np.arange(24 * 60)
    cohorts = tuple(
        {"version": version, "platform": "android", "region": region} for version in versions for region in regions
    )
    shape = traffic or (lambda _cohort, m: np.ones(len(m)))
    validations = np.array([rng.poisson(rate * shape(cohort, minutes)) for cohort in cohorts])
    risk = np.array([np.clip(0.001 + ratio(cohort, minutes), 0, 1) for cohort in cohorts])
    failed = rng.binomial(validations, risk)
    times = np.array([int((START + timedelta(minutes=int(m))).timestamp()) for m in minutes], dtype="datetime64[s]")
    return Failures(
        host=HOST, times=times, step=timedelta(minutes=1), cohorts=cohorts, failures=failed.astype(float),
        validations=validations.astype(float), reasons={"failure": float(failed.sum())}, query="made in code", raw=b"",
        findings=(), source="made in code",
    )  # fmt: skip


def since_onset(part: float = 1.0, **cohort: str) -> Callable[[Mapping[str, str], np.ndarray], np.ndarray]:
    """A step at the onset for the cohorts that have those labels."""
    onset = (ONSET - START) / timedelta(minutes=1)

    def ratio(labels: Mapping[str, str], minutes: np.ndarray) -> np.ndarray:
        hit = all(labels[key] == value for key, value in cohort.items())
        return part * hit * (minutes >= onset)

    return ratio


def quiet(_labels: Mapping[str, str], minutes: np.ndarray) -> np.ndarray:
    return 0.0 * minutes


@dataclass
class World:
    """A service whose releases pin its leaf key and a backup."""

    root: forge.Identity = field(
        default_factory=lambda: forge.root("World Root", not_before=START - timedelta(days=900))
    )
    issuer: forge.Identity = field(init=False)
    leaf: forge.Identity = field(init=False)
    backup: Pin = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = self.root.issue(cn="World CA", ca=True, not_before=START - timedelta(days=300), days=900)
        self.leaf = self.leaf_for()
        self.backup = self.leaf_for().certificate.pin

    def leaf_for(self, *names: str, **options: Any) -> forge.Identity:
        options.setdefault("not_before", START - timedelta(days=20))
        return self.issuer.issue(*(names or (HOST,)), **options)

    def keys(self, *more: tuple[Pin | None, str]) -> Inventory:
        listed = ((self.leaf.certificate.pin, "active"), (self.backup, "backup"), *more)
        return Inventory(tuple(InventoryKey(pin, status=status) for pin, status in listed))

    def evidence(self, **changes: Any) -> Evidence:
        """A quiet day, with what is given put in place of what was."""
        good = (
            release(OLD, self.leaf.certificate.pin, self.backup),
            release(NEW, self.leaf.certificate.pin, self.backup),
        )
        fields: dict[str, Any] = {
            "incident": Incident(
                HOST, START, NOW, id="TEST", metrics=MetricsSource(file="failures.json"),
                vantages=(Vantage("office"), Vantage("probe")),
            ),
            "now": NOW,
            "captures": (capture(self.leaf.chain, "office"), capture(self.leaf.chain, "probe")),
            "history": (capture(self.leaf.chain, "office", at=START - timedelta(hours=6)),),
            "releases": good,
            "inventory": self.keys(),
            "trust": TrustStore("test roots", (self.root.certificate,)),
            "failures": failures(quiet),
            "gathered": STAGES,
        }  # fmt: skip
        return Evidence(**{**fields, **changes})

    def interceptor(self, *names: str, cn: str = "Web Access CA") -> forge.Identity:
        """A leaf for the host from a CA that nobody knows."""
        return forge.root(cn).issue(*(names or (HOST,)))

    def observed(self, chain: Chain, **where: str) -> Observed:
        return Observed(chain, "phone.pem", NOW - timedelta(hours=1), **where)


def rotation(world: World, *, known: bool = True) -> Evidence:
    following = world.leaf_for()
    pin = following.certificate.pin
    return world.evidence(
        captures=(capture(following.chain, "office"), capture(following.chain, "probe")),
        inventory=world.keys((pin, "next")) if known else None,
        releases=(
            release(OLD, world.leaf.certificate.pin, world.backup),
            release(NEW, world.leaf.certificate.pin, pin),
        ),
        failures=failures(since_onset(version="4.1.0")),
    )


def interception(world: World, chain: Chain | None = None) -> Evidence:
    chain = chain or world.interceptor().chain
    return world.evidence(
        failures=failures(since_onset(0.6, region="ap-south")),
        observed=(world.observed(chain, network="AS64500"),),
    )


def wrong_pins(world: World, *pins: object) -> Evidence:
    bad = release("shop-android 4.3.0", *pins, released=ONSET)

    def traffic(
        labels: Mapping[str, str], minutes: np.ndarray
    ) -> np.ndarray:  # the new release is adopted from the onset on
        grown = (minutes - (ONSET - START) / timedelta(minutes=1)).clip(0) / 180
        return grown if labels["version"] == "4.3.0" else 1 - 0.3 * grown

    return world.evidence(
        releases=(*world.evidence().releases, bad),
        failures=failures(since_onset(version="4.3.0"), versions=("4.1.0", "4.2.0", "4.3.0"), traffic=traffic),
    )


def without(evidence: Evidence, *sources: str) -> Evidence:
    """The evidence as it would be had some sources given nothing."""
    empty: dict[str, dict[str, Any]] = {
        "metrics": {"failures": None},
        "inventory": {"inventory": None},
        "history": {"history": ()},
        "releases": {"releases": ()},
        "captures": {"captures": ()},
        "client chains": {"observed": ()},
        "trust": {"trust": None},
        "second vantage": {"captures": evidence.captures[:1]},
    }
    changes = {name: value for source in sources for name, value in empty[source].items()}
    missing = tuple(Missing(source, "taken away by the test") for source in sources)
    return replace(evidence, missing=(*evidence.missing, *missing), **changes)
