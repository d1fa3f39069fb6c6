"""Failures sorted into cohorts: those that share their releases' opinion of the chain, a place, and the chain seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from irkit.clients import Client
from irkit.facts import Facts, Opinion
from irkit.verdict import Cohort

if TYPE_CHECKING:
    from irkit.failures import Failures
    from irkit.onset import Onset

__all__ = ["Case", "cases"]

_FAMILY = {"okhttp": "android", "trustkit-android": "android", "trustkit-ios": "ios"}


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
    found = [case for onset in facts.onsets for case in _by_opinion(facts, onset)]
    if not found:
        found = list(_without_onset(facts))
    reported = sum(client.count for client in facts.clients)
    for client in facts.clients:
        if client.stranger:
            _place(found, client, trickle=_everyday(found, client, reported))
    for client in facts.clients:
        if not client.stranger and client.kind != "pin":
            _listen(found, client)
    if not found:
        quiet = facts.evidence.failures is not None
        kinds = {opinion.kind for opinion in facts.opinions}
        kind = "quiet" if quiet else kinds.pop() if len(kinds) == 1 else "unsure" if kinds else "unlisted"
        found.append(Case(_overall(facts), kind, None, facts.opinions))
    return tuple(found)


def _overall(facts: Facts) -> Cohort:
    failures = facts.evidence.failures
    if failures is None:
        return Cohort()
    table = failures.by()
    return Cohort(
        share=1.0, failures=float(table["failures"].sum()), validations=float(table["validations"].sum()), shape="none"
    )


def _values(onset: Onset, role: str) -> tuple[str, ...]:
    value = onset.cohort.get(role, ())
    return (value,) if isinstance(value, str) else tuple(value)


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
    groups: dict[str, list[Opinion]] = {}
    unlisted = []
    for version, platform in _failing(facts, onset):
        matching = [o for o in facts.opinions if _is(o, version, platform)]
        if not matching:
            unlisted.append(f"{platform} {version}".strip())
        for opinion in matching:
            # Each release that was never right has its own reason; the others share theirs.
            key = opinion.release.name if opinion.kind in ("never", "rejects", "silent") else opinion.kind
            if opinion not in groups.setdefault(key, []):
                groups[key].append(opinion)
    for opinions in groups.values():
        names = tuple(opinion.release.name for opinion in opinions)
        yield Case(_counted(facts, replace(cohort, releases=names), opinions), opinions[0].kind, onset, tuple(opinions))
    if unlisted or not groups:
        yield Case(replace(cohort, releases=tuple(unlisted)), "unlisted", onset)


def _counted(facts: Facts, cohort: Cohort, opinions: list[Opinion]) -> Cohort:
    """The cohort with the counts of its own releases instead of all that rose together."""
    failures = facts.evidence.failures
    if failures is None or "version" not in failures.roles:
        return cohort
    roles = {
        role: values
        for role, values in (("region", cohort.regions), ("network", cohort.networks))
        if values and role in failures.roles
    }
    part = failures.select(version=tuple({o.release.version for o in opinions}), **roles)
    if "platform" in failures.roles:
        part = part.select(platform=tuple({_FAMILY.get(o.release.platform, o.release.platform) for o in opinions}))
    table, whole = part.by(), failures.by()
    validations = float(table["validations"].sum())
    if not validations:
        return cohort
    share = validations / float(whole["validations"].sum())
    return replace(cohort, failures=float(table["failures"].sum()), validations=validations, share=share)


def _share(facts: Facts, onset: Onset) -> float | None:
    failures = facts.evidence.failures
    whole = float(failures.by()["validations"].sum()) if failures is not None else 0.0
    return onset.validations / whole if whole else None


def _failing(facts: Facts, onset: Onset) -> list[tuple[str, str]]:
    """(version, platform) of the releases that carry the onset's failures; one pair of blanks where no label says."""
    failures = facts.evidence.failures
    roles = [role for role in ("version", "platform") if failures is not None and role in failures.roles]
    if failures is None or not roles:
        return [("", "")]
    table = failures.select(**onset.cohort).by(*roles).reset_index()
    total = table["failures"].sum()
    ratio = total / max(table["validations"].sum(), 1)
    keep = table[(table["failures"] >= 0.01 * total) & (table["ratio"] >= 0.2 * ratio)]
    return [(str(row.get("version", "")), str(row.get("platform", ""))) for _, row in keep.iterrows()]


def _is(opinion: Opinion, version: str, platform: str) -> bool:
    release = opinion.release
    family = _FAMILY.get(release.platform, release.platform)
    return (not version or release.version == version) and (
        not platform or platform.lower() in (family, release.platform) or family not in ("android", "ios")
    )


def _without_onset(facts: Facts) -> Iterator[Case]:
    """What the chain and the pins say by themselves, when no failures are counted, or none rise."""
    counted = facts.evidence.failures
    for kind in ("changed", "split", "path"):
        alike = tuple(opinion for opinion in facts.opinions if opinion.kind == kind)
        if alike and not (kind == "path" and all(_succeeds(counted, opinion) for opinion in alike)):
            yield Case(Cohort(tuple(o.release.name for o in alike)), kind, None, alike)
    for opinion in facts.opinions:
        if opinion.kind == "silent" or (opinion.kind in ("never", "rejects") and not _succeeds(counted, opinion)):
            yield Case(Cohort((opinion.release.name,)), opinion.kind, None, (opinion,))


def _succeeds(failures: Failures | None, opinion: Opinion) -> bool:
    """Whether the metrics show this release connecting all the same."""
    if failures is None or "version" not in failures.roles:
        return False
    table = failures.select(version=opinion.release.version).by()
    validations = float(table["validations"].sum())
    return validations > 0 and float(table["failures"].sum()) < 0.5 * validations


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
    cohort = _cohort_of(client)
    for i, case in enumerate(found):
        if case.kind == kind and case.cohort == cohort:
            found[i] = replace(case, foreign=(*case.foreign, client))
            return
    found.append(Case(cohort, kind, foreign=(client,)))


def _listen(found: list[Case], client: Client) -> None:
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
    found.append(Case(cohort, "told", told=(client,)))


def _cohort_of(client: Client) -> Cohort:
    return Cohort(
        releases=(client.release,) if client.release else (),
        regions=(client.region,) if client.region else (),
        networks=(client.network,) if client.network else (),
    )


def _fits(cohort: Cohort, client: Client) -> bool:
    pairs = ((cohort.regions, client.region), (cohort.networks, client.network))
    # A report names the app as its bundle does; the version is what both have.
    version = client.release.rpartition(" ")[2]
    same = not cohort.releases or not version or any(name.rpartition(" ")[2] == version for name in cohort.releases)
    return same and all(not values or not value or value in values for values, value in pairs)
