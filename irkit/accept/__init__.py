"""Would this release accept this chain, for this host, at this time? As each platform decides it; pure and quick.

Pins are compared only with certificates on a path whose every signature holds, never with the presented list: an
interceptor can append a genuine CA certificate to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo

from irkit.accept.android import android, trustkit_android
from irkit.accept.apple import ios, trustkit_ios
from irkit.accept.multilevel import multilevel
from irkit.accept.okhttp import okhttp
from irkit.accept.others import chromium, curl, pin_list, python
from irkit.accept.value import Acceptance, Answer, Question, Why, across, no, unpinned
from irkit.certificate import Certificate
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.pins.cover import canonical_host, unclear_host
from irkit.pins.release import Platform, Release
from irkit.render import text
from irkit.strategy import Strategy
from irkit.trust import TrustStore
from irkit.update import PinUpdate

__all__ = ["Acceptance", "Answer", "Why", "accepts"]

_PLATFORMS: Mapping[Platform, Callable[[Question], Acceptance]] = {
    "android": android,
    "okhttp": okhttp,
    "ios": ios,
    "trustkit-ios": trustkit_ios,
    "trustkit-android": trustkit_android,
    "hpkp": chromium,
    "chromium": chromium,
    "curl": curl,
    "python": python,
    "list": pin_list,
}


def accepts(
    release: Release | Strategy | PinUpdate,
    chain: Chain | Sequence[Certificate],
    *,
    host: str,
    at: datetime | None = None,
    trust: TrustStore | Sequence[TrustStore] | None = None,
    tz: tzinfo | None = None,
    extra_cached: Sequence[Certificate] = (),
) -> Acceptance:
    """Decides as the release's platform would.

    Args:
        release: The pins, and whose rules decide; or a Strategy of one's own, or a PinUpdate that was checked.
        chain: As presented, the leaf first.
        host: The host that the app connects to.
        at: When, aware; default: when the chain was captured. Where that is unknown too, pins count as not expired,
            and the leaf as just issued.
        trust: The device's roots, or several stores to hear of each; None for the chain as given: then only its
            signatures are checked, no root, no date, no name.
        tz: The device's time zone. Android's expiry depends on it; None for any zone.
        extra_cached: Intermediates that the device has seen elsewhere.

    Raises:
        InputError: `at` is naive, or `trust` an empty list.
    """
    if at is None and isinstance(chain, Chain):
        at = chain.obtained.at
    if at is not None and at.tzinfo is None:
        raise InputError(f"the time {at} has no time zone", "give an aware datetime, as datetime(…, tzinfo=UTC)")
    if trust is not None and not isinstance(trust, TrustStore):
        if not trust:
            raise InputError("the list of trust stores is empty", "give at least one, or None for the chain as given")
        cases = [
            (store.name, accepts(release, chain, host=host, at=at, trust=store, tz=tz, extra_cached=extra_cached))
            for store in trust
        ]
        return across(cases, "trust-store")

    if unclear := unclear_host(host):
        return Acceptance("unknown", "unconfirmed", (unclear,))

    if isinstance(release, PinUpdate):
        if at is not None and release.expires <= at:
            reason = f"the update ended at {release.expires:%F %H:%M} UTC; which pins count since then it doesn't say"
            return Acceptance("unknown", "unconfirmed", (reason,))
        release = release.release()

    def question(shipped: Release) -> Question:
        return Question(shipped, tuple(chain), canonical_host(host), at, trust, tz, tuple(extra_cached))

    if isinstance(release, Strategy):
        return multilevel(question(Release("list", ())), release)
    if release.rejected:
        if release.platform == "hpkp":
            return unpinned("config-rejected", f"browsers ignore the header: {text(release.rejected, 400)}")
        return no("config-rejected", f"the platform refuses the configuration: {text(release.rejected, 400)}")
    return _PLATFORMS[release.platform](question(release))
