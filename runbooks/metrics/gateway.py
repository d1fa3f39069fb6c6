"""What a gateway does with the counts that apps send: one counter, whose labels can't grow without end.

Apps send `{"domain": …, "result": …, "app_version": …, "platform": …, "count": …}`. The gateway knows region and
network by the client's address.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter

# From your own lists: the hosts that are pinned, the releases that the stores have, the regions that you serve.
DOMAINS = ("api.example.com",)
RELEASES = (("android", "4.1.0"), ("android", "4.2.0"), ("ios", "7.2"), ("ios", "7.3"))
REGIONS = ("eu-west", "us-east", "ap-south")
NETWORKS = ("AS64500",)
RESULTS = ("success", "unpinned", "pin", "trust", "name", "expired", "not_yet_valid", "other")
MOST = 10_000  # checks in one message; an app makes fewer

VALIDATIONS = Counter(
    "cert_pin_validation",
    "Pin checks that clients finished.",
    ["domain", "result", "app_version", "platform", "region", "network"],
)

# Every series begins at 0: one that is born with its first failure hides it from rate() and increase().
for _domain in DOMAINS:
    for _platform, _version in RELEASES:
        for _region in REGIONS:
            for _result in ("success", "pin"):
                VALIDATIONS.labels(_domain, _result, _version, _platform, _region, "other")


def count(message: Mapping[str, object], region: str, network: str) -> None:
    """Counts what an app sends. Anybody can send anything: what is on no list is `other`, or is not counted at all."""
    domain, number = message.get("domain"), message.get("count", 1)
    if domain not in DOMAINS or not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MOST:
        return
    platform, version = str(message.get("platform")), str(message.get("app_version"))
    if (platform, version) not in RELEASES:
        version, platform = "other", platform if platform in {known for known, _ in RELEASES} else "other"
    result = str(message.get("result"))
    VALIDATIONS.labels(
        str(domain),
        result if result in RESULTS else "other",
        version,
        platform,
        region if region in REGIONS else "other",
        network if network in NETWORKS else "other",
    ).inc(number)
