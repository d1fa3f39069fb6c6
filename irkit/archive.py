"""Evidence on disk: one versioned format, raw enough to judge again years later, with no network.

evidence/
  evidence.json        the schema's version, the incident, how each chain was obtained, what is missing
  certificates/*.der   every certificate, named by its SHA-256
  releases/            the pin files as they were read
  keys.toml            the inventory
  metrics.json         what Prometheus answered
  reports/             the report files as they were read, gzip
  roots.pem            the roots that were trusted
  crls/                the CRLs as they were read
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from cattrs.preconf.json import make_converter

from irkit.certificate import Certificate, pem_blocks
from irkit.chain import Chain, Obtained
from irkit.changes import ServerChange
from irkit.errors import InputError, IrkitError
from irkit.evidence import Capture, Evidence, Observed
from irkit.files import write_atomically
from irkit.incident import Incident
from irkit.missing import Missing
from irkit.pins import Release, load_inventory_bytes, load_release_bytes
from irkit.render import text
from irkit.reports import Reports, read_reports
from irkit.runbook import RunbookSection
from irkit.trust import TrustStore

__all__ = ["SCHEMA", "load_evidence", "save_evidence"]

SCHEMA = "irkit.evidence/1"

_converter = make_converter(forbid_extra_keys=True, omit_if_default=True)
_converter.register_unstructure_hook(Path, str)
_converter.register_structure_hook(Path, lambda value, _: Path(value))


def save_evidence(evidence: Evidence, folder: str | Path) -> Path:
    """Writes evidence into a folder, so that `load_evidence` gives the same value back.

    Raises:
        RunError: The folder can't be written.
    """
    folder = Path(folder)
    chains = [capture.chain for capture in (*evidence.captures, *evidence.history)]
    chains += [observed.chain for observed in evidence.observed]
    for certificate in {certificate for chain in chains for certificate in chain}:
        path = folder / "certificates" / f"{certificate.sha256}.der"
        if not path.exists():
            write_atomically(path, certificate.der)
    releases = []
    for number, release in enumerate(evidence.releases):
        suffix = PurePosixPath(release.source).suffix
        name = f"releases/{number:03d}{suffix if suffix.isascii() and suffix[1:].isalnum() else ''}"
        write_atomically(folder / name, release.raw)
        said = {key: getattr(release, key) for key in ("source", "format", "platform", "app", "version", "library")}
        releases.append(said | {"file": name, "released": _time(release.released), "share": release.share})
    if evidence.inventory is not None:
        write_atomically(folder / "keys.toml", evidence.inventory.raw)
    if evidence.failures is not None:
        write_atomically(folder / "metrics.json", evidence.failures.raw)
    reports = []
    for number, (name, content) in enumerate(() if evidence.reports is None else evidence.reports.raw):
        reports.append({"file": f"reports/{number:03d}.gz", "name": name})
        write_atomically(folder / f"reports/{number:03d}.gz", content)
    if evidence.trust is not None:
        write_atomically(folder / "roots.pem", "".join(root.pem() for root in evidence.trust.roots))
    for number, crl in enumerate(evidence.crls):
        write_atomically(folder / f"crls/{number:03d}.crl", crl)
    document = {
        "schema": SCHEMA,
        "now": evidence.now.isoformat(),
        "incident": _converter.unstructure(replace(evidence.incident, folder=Path())),
        "captures": [_capture(item) for item in evidence.captures],
        "history": [_capture(item) for item in evidence.history],
        "observed": [
            _chain(item.chain)
            | {"source": item.source, "at": _time(item.at), "release": item.release, "network": item.network}
            | {"region": item.region}
            for item in evidence.observed
        ],
        "reports": None if evidence.reports is None else reports,
        "releases": releases,
        "inventory": evidence.inventory is not None,
        "metrics": None if evidence.failures is None else evidence.failures.source,
        "trust": None if evidence.trust is None else evidence.trust.name,
        "missing": _converter.unstructure(evidence.missing),
        "changes": _converter.unstructure(evidence.changes),
        "runbooks": _converter.unstructure(evidence.runbooks),
        "crls": len(evidence.crls),
        "gathered": sorted(evidence.gathered),
    }
    # Last, so that a folder with an evidence.json has everything that it names.
    write_atomically(folder / "evidence.json", json.dumps(document, indent=1, sort_keys=True) + "\n")
    return folder


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _chain(chain: Chain) -> dict[str, Any]:
    return {"certificates": [c.sha256 for c in chain], "obtained": _converter.unstructure(chain.obtained)}


def _capture(item: Capture) -> dict[str, Any]:
    return _chain(item.chain) | {"vantage": item.vantage, "trusted": item.trusted}


def load_evidence(folder: str | Path) -> Evidence:
    """Reads evidence that `save_evidence` wrote. Takes the folder itself or the run's folder that holds it.

    Raises:
        InputError: There is no evidence, it is of another version, or it was changed or damaged.
    """
    folder = Path(folder)
    if not (folder / "evidence.json").exists() and (folder / "evidence" / "evidence.json").exists():
        folder /= "evidence"
    try:
        document = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
        schema = document.get("schema")
    except FileNotFoundError:
        raise InputError(f"no evidence in {text(folder)}", "give a run's folder, DIR/<id>/<start>") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{text(folder)}/evidence.json can't be read: {text(error, 120)}", "take an undamaged copy of the run"
        ) from None
    if schema != SCHEMA:
        raise InputError(
            f"{text(folder)} holds evidence of schema {text(schema, 60)!r}, not {SCHEMA!r}",
            "replay it with the irkit that wrote it",
        )
    try:
        return _evidence(folder, document)
    except IrkitError:
        raise
    except Exception as error:  # noqa: BLE001 - structuring a damaged document raises many kinds
        raise InputError(
            f"the evidence in {text(folder)} is damaged: {type(error).__name__}: {text(error, 160)}",
            "compare it with manifest-sha256.txt, or take an undamaged copy of the run",
        ) from None


def _evidence(folder: Path, document: dict[str, Any]) -> Evidence:
    now = datetime.fromisoformat(document["now"])
    incident = replace(_converter.structure(document["incident"], Incident), folder=folder)

    def chain(item: dict[str, Any]) -> Chain:
        obtained = _converter.structure(item["obtained"], Obtained)
        return Chain(tuple(_certificate(folder, name) for name in item["certificates"]), obtained)

    def captures(key: str) -> tuple[Capture, ...]:
        return tuple(Capture(chain(item), item["vantage"], item["trusted"]) for item in document[key])

    failures = None
    if document["metrics"] is not None:
        from irkit.metrics import Labels, load_failures
        from irkit.onset import found_onsets

        source = incident.metrics
        failures = load_failures(
            (folder / "metrics.json").read_bytes(), incident.host, start=incident.start, end=incident.end,
            metric=source.metric if source else "cert_pin_validation_total",
            labels=Labels(**source.labels) if source else Labels(), matchers=source.matchers if source else {},
            success=source.success if source else None, kind=(source.kind or None) if source else None,
            source=document["metrics"],
        )  # fmt: skip
        found_onsets(failures)
    trust = None
    if document["trust"] is not None:
        roots = pem_blocks((folder / "roots.pem").read_text(encoding="ascii"))
        trust = TrustStore(document["trust"], tuple(Certificate.from_der(der) for der in roots))
    return Evidence(
        incident=incident,
        now=now,
        captures=captures("captures"),
        observed=tuple(
            Observed(chain(item), item["source"], _parse(item["at"]), item["release"], item["network"], item["region"])
            for item in document["observed"]
        ),
        reports=_reports(folder, document.get("reports")),
        history=captures("history"),
        releases=tuple(_release(folder, item) for item in document["releases"]),
        inventory=load_inventory_bytes((folder / "keys.toml").read_bytes()) if document["inventory"] else None,
        trust=trust,
        failures=failures,
        missing=_converter.structure(document["missing"], tuple[Missing, ...]),
        changes=_converter.structure(document.get("changes", []), tuple[ServerChange, ...]),
        runbooks=_converter.structure(document.get("runbooks", []), tuple[RunbookSection, ...]),
        gathered=frozenset(document["gathered"]),
        crls=tuple(
            _inside(folder, f"crls/{number:03d}.crl").read_bytes() for number in range(int(document.get("crls", 0)))
        ),
    )


def _parse(at: str | None) -> datetime | None:
    return None if at is None else datetime.fromisoformat(at)


def _certificate(folder: Path, name: str) -> Certificate:
    if len(name) != 64 or not name.isalnum():
        raise InputError(f"evidence.json names a certificate {text(name, 80)!r}", "take an undamaged copy of the run")
    certificate = Certificate.from_der((folder / "certificates" / f"{name}.der").read_bytes())
    if certificate.sha256 != name:
        raise InputError(f"the certificate {name} was changed", "take an undamaged copy of the run")
    return certificate


def _inside(folder: Path, name: str) -> Path:
    """A file that evidence.json names; raises InputError where it lies outside."""
    path = (folder / name).resolve()
    if folder.resolve() not in path.parents:
        raise InputError(f"evidence.json names a file outside: {text(name, 80)}", "don't trust this evidence")
    return path


def _reports(folder: Path, items: list[dict[str, str]] | None) -> Reports | None:
    if items is None:
        return None
    return read_reports((item["name"], _inside(folder, item["file"]).read_bytes()) for item in items)


def _release(folder: Path, item: dict[str, Any]) -> Release:
    return load_release_bytes(
        _inside(folder, item["file"]).read_bytes(), name=item["source"], format=item["format"],
        platform=item["platform"], app=item["app"], version=item["version"], library=item["library"],
        released=_parse(item["released"]), share=item["share"],
    )  # fmt: skip
