"""From sources to evidence, stage by stage. A source that gives nothing becomes a `Missing`, and the rest goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.capture import CaptureFailure, capture_all
from irkit.chain import Chain
from irkit.chainfile import load_chain
from irkit.errors import IrkitError, MissingExtraError
from irkit.evidence import Capture, Evidence, Observed, with_missing
from irkit.files import read_file
from irkit.history import add_capture, read_history
from irkit.incident import Incident, MetricsSource, ObservedSource, ReleaseSource, Vantage, load_incident
from irkit.missing import Missing
from irkit.pins import Inventory, Release, load_inventory, load_release
from irkit.render import text
from irkit.reports import Reports, load_reports
from irkit.runbook import RunbookSection, load_runbooks
from irkit.stoppable import Progress, StoppedError, Timer, at_once
from irkit.trust import TrustStore, load_trust, mozilla
from irkit.truststore import joined

if TYPE_CHECKING:
    from irkit.failures import Failures
    from irkit.servermetrics import ServerChanges
    from irkit.transport import Access

__all__ = [
    "STAGES", "access", "begin", "counted", "gather", "gather_chains", "gather_failures", "gather_pins", "look",
    "server_changes",
]  # fmt: skip

STAGES = ("failures", "chains", "pins")
CAPTURE_DEADLINE = 10.0
METRICS_DEADLINE = 30.0


def begin(incident: Incident | str | Path, *, now: datetime | None = None) -> Evidence:
    """Evidence with nothing in it yet but the incident and the time.

    Args:
        incident: An incident, or the path of an incident file.
        now: Aware; the clock's when left out.

    Raises:
        InputError: The incident file can't be used.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    if not isinstance(incident, Incident):
        incident = load_incident(incident, now=now)
    return Evidence(incident, now)


@contextlib.contextmanager
def _missing_instead(found: list[Missing], source: str) -> Iterator[None]:
    """What a source raises becomes a Missing; a bug of ours too, since nothing else gathered may be lost to it."""
    try:
        yield
    except MissingExtraError:
        raise
    except IrkitError as error:
        found.append(Missing.of(source, error))
    except Exception as error:  # noqa: BLE001 - the other sources must not be lost to a fault in reading this one
        reason = f"an error of irkit itself: {type(error).__name__}: {text(error, 200)}"
        found.append(Missing(source, reason, "report it with the file or the endpoint that caused it"))


def access(incident: Incident) -> Access:
    """How an incident's Prometheus lets us in: names of variables and files (relative to the incident's), no secret."""
    source = incident.metrics or MetricsSource()

    def path(name: str) -> str:
        return str(incident.path(name)) if name else ""

    return {
        "token_env": source.token_env,
        "token_file": path(source.token_file),
        "username_env": source.username_env,
        "password_env": source.password_env,
        "password_file": path(source.password_file),
        "tenant": source.tenant,
        "ca_file": path(source.ca_file),
        "client_cert": path(source.client_cert),
        "client_key": path(source.client_key),
    }


def gather_failures(
    evidence: Evidence, *, deadline: float = METRICS_DEADLINE, again: bool = False, progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Evidence:  # fmt: skip
    """Adds the counts of failures and validations by cohort.

    Args:
        evidence: What there is so far.
        deadline: Seconds for all queries together.
        again: Ask again although this stage is done.
        progress: Is given a line when the stage begins and ends.
        stop: Set while the stage runs, it ends it at once; what an earlier try gathered stays.

    Raises:
        MissingExtraError: pandas or the Prometheus client is not installed.
    """
    if "failures" in evidence.gathered and not again:
        return evidence
    from irkit.counters import PARTIAL
    from irkit.servermetrics import in_order, noted

    incident, missing = evidence.incident, list[Missing]()
    timer = Timer(progress, "counting failures", stop)
    failures = None
    if incident.metrics is None:
        missing.append(
            Missing(
                "metrics", "the incident file names no metrics", 'add [metrics] with url = "http://prometheus:9090"'
            )
        )
    else:
        with _missing_instead(missing, "metrics"):
            failures = at_once([lambda: counted(incident, deadline)], stop)[0]()
            if partly := [finding for finding in failures.findings if finding.startswith(PARTIAL)]:
                hint = "the counts may be too low: ask again when all stores behind this address answer"
                missing.append(Missing("metrics in part", "; ".join(partly[:5]), hint))
    changes = noted(incident.annotations)
    if failures is not None:  # where nothing answered, nothing more is asked
        with _missing_instead(missing, "server metrics"):
            left = max(1.0, deadline - timer.seconds)
            found = at_once([lambda: server_changes(incident, left)], stop)[0]()
            changes += found.changes
            if found.findings:
                hint = "look at these metrics in Prometheus"
                missing.append(Missing("server metrics", "; ".join(found.findings[:5]), hint))
    if failures is None and timer.stopped:  # what an earlier try gave is not lost
        failures, changes = evidence.failures, list(evidence.changes)
    if failures is not None:
        from irkit.onset import found_onsets

        found_onsets(failures)
    evidence = replace(evidence, failures=failures, changes=in_order(changes))
    return _done(evidence, "failures", ("metrics", "server metrics"), missing, timer)


def counted(incident: Incident, deadline: float = METRICS_DEADLINE) -> Failures:
    """The failures of an incident's window, from its Prometheus or its file.

    Raises:
        MetricsError: They can't be had.
    """
    from irkit.metrics import Labels, load_failures, query_failures

    source = incident.metrics or MetricsSource()
    labels = Labels(**source.labels)
    if source.file:
        return load_failures(
            incident.path(source.file), incident.host, start=incident.start, end=incident.end, metric=source.metric,
            labels=labels, matchers=source.matchers, kind=source.kind or None, success=source.success,
            source=source.file,
        )  # fmt: skip
    return query_failures(
        source.url, incident.host, start=incident.start, end=incident.end, metric=source.metric, labels=labels,
        matchers=source.matchers, kind=source.kind or "counter", success=source.success, deadline=deadline,
        **access(incident),
    )  # fmt: skip


def server_changes(incident: Incident, deadline: float = METRICS_DEADLINE) -> ServerChanges:
    """What the metrics show of the server, from a day before the window on: a change comes before its failures.

    Raises:
        MetricsError: Prometheus can't be asked, or the file is damaged.
    """
    from irkit.metrics import query_changes
    from irkit.servermetrics import load_changes

    source = incident.metrics or MetricsSource()
    if source.file:
        return load_changes(incident.path(source.file).read_bytes(), incident.host, source.file)
    return query_changes(
        source.url, incident.host, start=incident.start - timedelta(days=1), end=incident.end,
        annotations=incident.annotations, deadline=deadline, **access(incident),
    )  # fmt: skip


def _number(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" + "s" * (len(things) != 1)


def gather_chains(
    evidence: Evidence, *, deadline: float = CAPTURE_DEADLINE, again: bool = False, progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Evidence:  # fmt: skip
    """Adds what the vantages see now, what failing clients saw, and earlier captures; keeps the new captures.

    Args:
        evidence: What there is so far.
        deadline: Seconds for each vantage; they are captured at once.
        again: Capture again although this stage is done.
        progress: Is given a line when the stage begins and ends, and when a vantage is done.
        stop: Set while the stage runs, it ends it at once: of vantages that had not answered by then, the captures of
            an earlier try stay.
    """
    if "chains" in evidence.gathered and not again:
        return evidence
    incident, missing = evidence.incident, list[Missing]()
    timer = Timer(progress, f"capturing chains from {_number(incident.vantages, 'vantage')}", stop)
    folder = incident.path(incident.history)
    history: tuple[Capture, ...] = evidence.history if again else ()
    with _missing_instead(missing, "history"):
        past = at_once([partial(read_history, folder, incident.host, incident.port)], stop)[0]()
        history = tuple(
            Capture(
                Chain(item.chain.certificates, replace(item.chain.obtained, at=item.at)), item.vantage, item.trusted
            )
            for item in past.captures
        )
        if past.findings:
            missing.append(Missing("history", "; ".join(past.findings), "remove the entries that can't be read"))
        elif not past.captures:
            missing.append(
                Missing("history", f"no earlier capture in {text(folder)}", "this run's captures are its first entries")
            )
    fresh, kept = list[Capture](), list[Capture]()
    works = [partial(_capture, incident, vantage, deadline, timer) for vantage in incident.vantages]
    for vantage, result in zip(incident.vantages, at_once(works, stop), strict=True):
        try:
            chains, failed = result()
        except StoppedError as error:
            failed = [Missing.of(f"capture {vantage.name}", error)]
            kept += [capture for capture in evidence.captures if capture.vantage == vantage.name]
        else:
            fresh += chains
        missing += failed
    with _missing_instead(missing, "history"):
        for capture in fresh:
            if capture.chain.obtained.how in ("handshake", "hello"):
                add_capture(folder, capture.chain, vantage=capture.vantage, trusted=capture.trusted)
    observed = []
    for source in incident.observed:
        with _missing_instead(missing, f"client chain {source.file}"):
            observed.append(_observed(incident, source))
    if not incident.observed and not incident.reports:
        missing.append(
            Missing(
                "client chains",
                "no chain that a failing client saw",
                "get one from an affected device and network (a pin-failure report, an app log, openssl s_client), "
                "and name it under [[observed]]",
            )
        )
    reports = _reports(incident, missing)
    captures = (*fresh, *kept)
    done = replace(evidence, captures=captures, observed=tuple(observed), reports=reports, history=history)
    return _done(done, "chains", ("history", "capture ", "client chain", "reports"), missing, timer)


def _reports(incident: Incident, missing: list[Missing]) -> Reports | None:
    reports: Reports | None = None
    with _missing_instead(missing, "reports"):
        reports = load_reports(incident.reports, incident.folder) if incident.reports else None
    if reports is not None and (reports.findings or reports.aside):
        aside = [f"{reports.aside} lines are kept aside, the first: {item.reason}" for item in reports.refused[:1]]
        reason = "; ".join((*reports.findings, *aside))
        missing.append(Missing("reports", reason, "mend or leave out what can't be read; the rest counts"))
    return reports


def _capture(
    incident: Incident, vantage: Vantage, deadline: float, timer: Timer
) -> tuple[list[Capture], list[Missing]]:
    captures, missing = list[Capture](), list[Missing]()
    source = f"capture {vantage.name}"
    with _missing_instead(missing, source):
        results = look(incident, vantage, deadline)
        for result in results:
            if isinstance(result, CaptureFailure):
                where = f"{source} ({result.where})" if len(results) > 1 else source
                missing.append(Missing(where, result.reason, "check that the endpoint answers from there"))
            else:
                captures.append(Capture(result, vantage.name, vantage.trusted))
    timer.part(f"{text(vantage.name, 60)} {'gave no chain' if missing else 'is captured'}")
    return captures, missing


def look(
    incident: Incident, vantage: Vantage, deadline: float, *, sweep: bool = False
) -> tuple[Chain | CaptureFailure, ...]:
    """What a vantage sees: a chain, or why there is none, for each address; or the chain that was brought in a file.

    Args:
        incident: For the host and the port.
        vantage: Where from.
        deadline: Seconds for all of it.
        sweep: Only the short handshake.

    Raises:
        IrkitError: The file or the address can't be used.
    """
    if vantage.file:
        chain = load_chain(incident.path(vantage.file), host=incident.host)
        obtained = replace(chain.obtained, where=vantage.file, at=vantage.at or chain.obtained.at)
        return (Chain(chain.certificates, obtained),)
    return capture_all(
        incident.host,
        incident.port,
        server_name=vantage.server_name or incident.host,
        connect=vantage.connect or None,
        proxy=vantage.proxy or None,
        starttls=vantage.starttls or None,
        deadline=deadline,
        vantage=vantage.name,
        sweep=sweep,
    )


def _observed(incident: Incident, source: ObservedSource) -> Observed:
    read = load_chain(incident.path(source.file), host=incident.host)
    chain = Chain(read.certificates, replace(read.obtained, where=source.file))
    return Observed(chain, source.file, source.at or chain.obtained.at, source.release, source.network, source.region)


def gather_pins(
    evidence: Evidence, *, again: bool = False, progress: Progress | None = None, stop: threading.Event | None = None
) -> Evidence:
    """Adds the releases with their pins, the owner's inventory of keys, the roots to trust, and the team's runbooks.

    Args:
        evidence: What there is so far.
        again: Read again although this stage is done.
        progress: Is given a line when the stage begins and ends.
        stop: Set while the stage runs, it leaves out the releases that were not read yet.
    """
    if "pins" in evidence.gathered and not again:
        return evidence
    incident, missing = evidence.incident, list[Missing]()
    timer = Timer(progress, f"reading pins of {_number(incident.releases, 'release')}", stop)
    releases = []
    for source in incident.releases:
        with _missing_instead(missing, f"release {source.app} {source.version}".rstrip()):
            releases.append(at_once([partial(_release, incident, source)], stop)[0]())
    if not incident.releases:
        missing.append(
            Missing("releases", "the incident file names no release", "add [[release]] with the pins that each ships")
        )
    inventory: Inventory | None = None
    if incident.inventory:
        with _missing_instead(missing, "inventory"):
            inventory = load_inventory(incident.path(incident.inventory))
    else:
        missing.append(
            Missing("inventory", "the incident file names no inventory of keys", "list your keys in a keys.toml")
        )
    runbooks: tuple[RunbookSection, ...] = ()
    if incident.runbooks:
        with _missing_instead(missing, "runbooks"):
            runbooks, wrong = load_runbooks(incident.path(incident.runbooks))
            missing += wrong
    if timer.stopped:  # what an earlier try gave is not lost
        releases = list({release.name: release for release in (*evidence.releases, *releases)}.values())
    done = replace(evidence, releases=tuple(releases), inventory=inventory, trust=_trust(incident, missing))
    crls = []
    for name in incident.crls:
        with _missing_instead(missing, f"CRL {name}"):
            crls.append(read_file(incident.path(name), "name a CRL, DER or PEM", limit=1 << 26, what="CRL"))
    done = replace(done, runbooks=runbooks, crls=tuple(crls))
    return _done(done, "pins", ("release", "inventory", "trust", "CRL ", "runbook"), missing, timer)


def _release(incident: Incident, source: ReleaseSource) -> Release:
    release = load_release(
        incident.path(source.pins),
        platform=source.platform or None,
        app=source.app,
        version=source.version,
        library=source.library,
        released=source.released,
        share=source.share,
    )
    return replace(release, source=source.pins)


def _trust(incident: Incident, missing: list[Missing]) -> TrustStore | None:
    stores = []
    for name in incident.roots:
        with _missing_instead(missing, f"trust {name}"):
            stores.append(mozilla() if name == "mozilla" else load_trust(incident.path(name), name))
    return joined(stores) if stores else None


def _done(evidence: Evidence, stage: str, sources: tuple[str, ...], missing: list[Missing], timer: Timer) -> Evidence:
    """Marks a stage as done, unless it was stopped; what it says is missing replaces what an earlier try of it said."""
    timer.done(missing)
    kept = tuple(item for item in evidence.missing if not item.source.startswith(sources))
    gathered = evidence.gathered - {stage} if timer.stopped else evidence.gathered | {stage}
    return with_missing(replace(evidence, missing=kept, gathered=gathered), *missing)


def gather(
    incident: Incident | str | Path, *, now: datetime | None = None, progress: Progress | None = None
) -> Evidence:
    """Gathers everything an incident file names.

    Args:
        incident: An incident, or the path of an incident file.
        now: Aware; the clock's when left out.
        progress: Is given a line when each stage begins and ends.

    Raises:
        InputError: The incident file can't be used. Nothing else: what can't be had is in `missing`.
        MissingExtraError: A package that reads metrics is not installed.
    """
    evidence = begin(incident, now=now)
    for step in (gather_failures, gather_chains, gather_pins):
        evidence = step(evidence, progress=progress)
    return evidence
