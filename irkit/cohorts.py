"""Failures sorted into cohorts: those that share their releases' opinion of the chain, a place, and the chain seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irkit.clients import Client
from irkit.facts import Facts, Opinion, clock_off, doubtful
from irkit.tally import Tally
from irkit.verdict import Cohort

if TYPE_CHECKING:
    from irkit.onset import Onset

__all__ = ["FAMILY", "Case", "cases", "counted_places", "is_of"]

# Platforms of irkit, and what metrics call them.
FAMILY = {"okhttp": "android", "trustkit-android": "android", "trustkit-ios": "ios"}


@dataclass(frozen=True, slots=True)
class Case:
    """A cohort with what is to be judged of it.

    Attributes:
        kind: What its releases make of the trusted chain, as `irkit.facts.Opinion.kind` has it; `unlisted` where the
            incident file has no such release; `quiet` where no failures rise; `foreign` where only a client's chain
            speaks of it, `told` where only reports do, `trickle` for strangers as on any day.
        onset: The rise of its failures; None without metrics, or where nothing rises.
        opinions: Of its releases.
        foreign: What its clients saw whose leaf key the owner doesn't know.
        told: What its other clients say, that failed for another reason than their pins.
    """

    cohort: Cohort
    kind: str
    onset: Onset | None = None
    opinions: tuple[Opinion, ...] = ()
    foreign: tuple[Client, ...] = ()
    told: tuple[Client, ...] = ()


def cases(facts: Facts) -> tuple[Case, ...]:
    """Every case there is to judge; at least one. Cases that only a client's chain speaks of come last."""
    found = _without_repeats([case for onset in facts.onsets for case in _by_opinion(facts, onset)])
    if not found:
        found = list(_without_onset(facts))
    reported = sum(client.count for client in facts.clients)
    for client in facts.clients:
        if client.stranger:
            _place(found, client, trickle=_everyday(found, client, reported))
    for client in facts.clients:
        if doubtful(facts, client):
            _listen(found, client, alone=True)
        elif not client.stranger and client.kind != "pin":
            # That one client distrusts a chain which is the owner's and valid now is no incident of its own.
            sound = facts.verification is not None and facts.verification.ok and not clock_off(facts, client)
            _listen(found, client, alone=not sound)
    if not found:
        quiet = facts.evidence.failures is not None
        kinds = {opinion.kind for opinion in facts.opinions}
        kind = "quiet" if quiet else kinds.pop() if len(kinds) == 1 else "unsure" if kinds else "unlisted"
        found.append(Case(_overall(facts), kind, None, facts.opinions))
    return tuple(found)


def _overall(facts: Facts) -> Cohort:
    if facts.tally is None:
        return Cohort()
    failed, validated = facts.tally.total()
    return Cohort(share=1.0, failures=failed, validations=validated, shape="none")


def _values(onset: Onset, role: str) -> tuple[str, ...]:
    value = onset.cohort.get(role, ())
    return (value,) if isinstance(value, str) else tuple(value)


def counted_places(onset: Onset | None) -> tuple[str, ...]:
    """The regions and networks that an onset's failures are counted in; empty for all of them."""
    return () if onset is None else (*_values(onset, "region"), *_values(onset, "network"))


def _by_opinion(facts: Facts, onset: Onset) -> Iterator[Case]:
    """One onset's cohort, split where its releases differ in what they make of the trusted chain."""
    cohort = Cohort(
        platforms=_values(onset, "platform"),
        regions=_values(onset, "region"),
        networks=_values(onset, "network"),
        failures=onset.failures,
        validations=onset.validations,
        share=_share(facts, onset),
        onset=onset.at,
        earliest=onset.earliest,
        latest=onset.latest,
        end=onset.end,
        shape=onset.shape,
    )
    groups: dict[tuple[object, ...], list[Opinion]] = {}
    unlisted = []
    for version, platform in _failing(facts, onset):
        matching = [o for o in facts.opinions if is_of(o, version, platform)]
        if not matching:
            unlisted.append(f"{platform} {version}".strip())
        for opinion in matching:
            if opinion not in groups.setdefault(_reason(opinion), []):
                groups[_reason(opinion)].append(opinion)
    for opinions in groups.values():
        names = tuple(opinion.release.name for opinion in opinions)
        placed = replace(cohort, releases=names, regions=_regions(facts, cohort.regions, opinions))
        yield Case(_counted(facts, placed, opinions), opinions[0].kind, onset, tuple(opinions))
    if unlisted or not groups:
        yield Case(replace(cohort, releases=tuple(unlisted)), "unlisted", onset)


def _reason(opinion: Opinion) -> tuple[object, ...]:
    """What releases of one cohort share. Those that refuse for themselves share their reason and their pins."""
    if opinion.kind not in ("never", "rejects", "silent", "lapsed"):
        return (opinion.kind,)
    decided = opinion.now
    rule = decided.rule if decided is not None else None
    pins = tuple(entry.text for entry in rule.pins) if rule is not None and rule.pins else opinion.release.name
    return opinion.kind, decided.why if decided is not None else "", pins


def _regions(facts: Facts, regions: tuple[str, ...], opinions: list[Opinion]) -> tuple[str, ...]:
    """Of the regions that failures of several releases rise in together, those where these releases' do."""
    tally = facts.tally
    if len(regions) < 2 or tally is None or not {"version", "region"} <= set(tally.roles):
        return regions
    versions = {opinion.release.version for opinion in opinions}
    counts = {region: tally.total(version=versions, region=region) for region in regions}
    ratios = {region: failed / max(validated, 1.0) for region, (failed, validated) in counts.items()}
    return tuple(region for region in regions if ratios[region] >= 0.1 * max(ratios.values()))


def _without_repeats(found: list[Case]) -> list[Case]:
    """Cases but for those that another one has already, with the same releases in all the places."""

    def within(case: Case, other: Case) -> bool:
        mine, theirs = case.cohort, other.cohort
        wider = all(not b or (a and set(a) <= set(b)) for a, b in ((mine.regions, theirs.regions),
                                                                   (mine.networks, theirs.networks)))  # fmt: skip
        return case.kind == other.kind in _EXPLAINED and wider and set(mine.releases) <= set(theirs.releases)

    return [
        case
        for i, case in enumerate(found)
        if not any(
            within(case, other) and not (within(other, case) and i < j) for j, other in enumerate(found) if i != j
        )
    ]


def _counted(facts: Facts, cohort: Cohort, opinions: list[Opinion]) -> Cohort:
    """The cohort with the counts of its own releases instead of all that rose together."""
    tally = facts.tally
    if tally is None or "version" not in tally.roles:
        return cohort
    roles = {role: values for role, values in (("region", cohort.regions), ("network", cohort.networks)) if values}
    failed, validated = tally.total(
        version={o.release.version for o in opinions},
        platform={FAMILY.get(o.release.platform, o.release.platform) for o in opinions},
        **roles,
    )
    if not validated:
        return cohort
    return replace(cohort, failures=failed, validations=validated, share=validated / tally.total()[1])


def _share(facts: Facts, onset: Onset) -> float | None:
    whole = facts.tally.total()[1] if facts.tally is not None else 0.0
    return onset.validations / whole if whole else None


def _failing(facts: Facts, onset: Onset) -> list[tuple[str, str]]:
    """(version, platform) of the releases that carry the onset's failures; one pair of blanks where no label says."""
    tally = facts.tally
    if tally is None or not {"version", "platform"} & set(tally.roles):
        return [("", "")]
    counts = _left(facts, onset).by("version", "platform", **onset.cohort)
    total = sum(failed for failed, _ in counts.values())
    ratio = total / max(sum(validated for _, validated in counts.values()), 1.0)
    worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
    return [(key[0], key[1]) for key, (k, n) in worst if n and k >= 0.01 * total and k / n >= 0.2 * ratio]


def _left(facts: Facts, onset: Onset) -> Tally:
    """The counts without those that a surer onset of the same time has: many of them would hide a few others."""
    tally = facts.tally or Tally()
    surer = [
        {role: _values(other, role) for role in other.cohort}
        for other in facts.onsets
        if other.score > onset.score
        and (other.end is None or other.end > onset.at)
        and (onset.end is None or other.at < onset.end)
    ]
    left = tally.without(surer)
    return left if left.total(**onset.cohort)[0] else tally


def is_of(opinion: Opinion, version: str, platform: str) -> bool:
    """Whether a release is counted under that version and platform; a blank tells nothing."""
    release = opinion.release
    family = FAMILY.get(release.platform, release.platform)
    return (not version or release.version == version) and (
        not platform or platform.lower() in (family, release.platform) or family not in ("android", "ios")
    )


def _without_onset(facts: Facts) -> Iterator[Case]:
    """What the chain and the pins say by themselves, when no failures are counted, or none rise."""
    counted = facts.tally
    for kind in ("changed", "split", "path"):
        alike = tuple(opinion for opinion in facts.opinions if opinion.kind == kind)
        if alike and not (kind == "path" and all(_succeeds(counted, opinion) for opinion in alike)):
            yield Case(Cohort(tuple(o.release.name for o in alike)), kind, None, alike)
    for opinion in facts.opinions:
        if opinion.kind in ("silent", "lapsed") or (
            opinion.kind in ("never", "rejects") and not _succeeds(counted, opinion)
        ):
            yield Case(Cohort((opinion.release.name,)), opinion.kind, None, (opinion,))


def _succeeds(tally: Tally | None, opinion: Opinion) -> bool:
    """Whether the metrics show this release connecting all the same."""
    if tally is None or "version" not in tally.roles:
        return False
    failed, validated = tally.total(version=opinion.release.version)
    return validated > 0 and failed < 0.5 * validated


_EXPLAINED = ("changed", "never", "rejects", "split", "path")


def _everyday(found: list[Case], client: Client, reported: int) -> bool:
    """Whether strangers are as few as on any day, and were there before the failures that something else explains."""
    onsets = [case.onset for case in found if case.onset is not None]
    return bool(
        onsets
        and all(case.kind in _EXPLAINED for case in found)
        and client.nature in ("debug", "elsewhere", "product")
        and client.count <= 0.05 * reported
        and client.at is not None
        and client.at < min(onset.earliest for onset in onsets)
    )


def _place(found: list[Case], client: Client, *, trickle: bool) -> None:
    """Puts a stranger's chain into the case it belongs to, or makes one for it."""
    for i, case in enumerate(found):
        # A release that doesn't accept the trusted chain fails for that reason already; the chain its client saw is
        # another matter, and gets a case of its own.
        if case.kind in ("accepts", "unsure", "unlisted") and _fits(case.cohort, client):
            networks = case.cohort.networks or ((client.network,) if client.network else ())
            found[i] = replace(case, foreign=(*case.foreign, client), cohort=replace(case.cohort, networks=networks))
            return
    kind = "trickle" if trickle else "foreign"
    for i, case in enumerate(found):
        if case.kind == kind and case.foreign[0].nature == client.nature and _same_place(case.cohort, client):
            found[i] = replace(case, foreign=(*case.foreign, client), cohort=_with(case.cohort, client))
            return
    found.append(Case(_cohort_of(client), kind, foreign=(client,)))


def _listen(found: list[Case], client: Client, *, alone: bool) -> None:
    """Puts what a client of the owner's own chain says beside the case that it belongs to, or makes one for it."""
    for i, case in enumerate(found):
        if case.kind not in ("foreign", "trickle", "told") and _fits(case.cohort, client):
            found[i] = replace(case, told=(*case.told, client))
            return
    cohort = _cohort_of(client)
    for i, case in enumerate(found):
        if case.kind == "told" and case.cohort == cohort:
            found[i] = replace(case, told=(*case.told, client))
            return
    if alone:
        found.append(Case(cohort, "told", told=(client,)))


def _same_place(cohort: Cohort, client: Client) -> bool:
    pairs = ((cohort.regions, client.region), (cohort.networks, client.network))
    return all(not values or not value or value in values for values, value in pairs)


def _with(cohort: Cohort, client: Client) -> Cohort:
    """The cohort with one more client in it. A report names the app as its bundle does: the version tells whose."""
    known = {name.rpartition(" ")[2] for name in cohort.releases}
    more = () if not client.release or client.release.rpartition(" ")[2] in known else (client.release,)
    places = _cohort_of(client)
    return replace(
        cohort,
        releases=(*cohort.releases, *more) if cohort.releases else (),
        regions=cohort.regions or places.regions,
        networks=cohort.networks or places.networks,
    )


def _cohort_of(client: Client) -> Cohort:
    return Cohort(
        releases=(client.release,) if client.release else (),
        regions=(client.region,) if client.region else (),
        networks=(client.network,) if client.network else (),
    )


def _fits(cohort: Cohort, client: Client) -> bool:
    # A report names the app as its bundle does; the version is what both have.
    version = client.release.rpartition(" ")[2]
    same = not cohort.releases or not version or any(name.rpartition(" ")[2] == version for name in cohort.releases)
    return same and _same_place(cohort, client)
