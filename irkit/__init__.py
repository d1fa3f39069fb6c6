"""irkit: is a certificate pin validation failure a rotation, a MITM or a misconfiguration?

Every public name is here and loaded when it is first used, so that `import irkit` stays light.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from irkit.accept import Acceptance as Acceptance
    from irkit.accept import accepts as accepts
    from irkit.aia import fetch_issuers as fetch_issuers
    from irkit.alert import incident_from_alerts as incident_from_alerts
    from irkit.alert import load_alerts as load_alerts
    from irkit.appraisal import Appraisal as Appraisal
    from irkit.appraisal import appraise as appraise
    from irkit.archive import load_evidence as load_evidence
    from irkit.archive import save_evidence as save_evidence
    from irkit.capture import capture as capture
    from irkit.capture import capture_all as capture_all
    from irkit.certificate import Certificate as Certificate
    from irkit.certificate import Pin as Pin
    from irkit.chain import Chain as Chain
    from irkit.chainfile import load_chain as load_chain
    from irkit.chainfile import load_chains as load_chains
    from irkit.chronicle import history as history
    from irkit.classify import classify as classify
    from irkit.diff import diff as diff
    from irkit.errors import IrkitError as IrkitError
    from irkit.evidence import Evidence as Evidence
    from irkit.explain import explain_pin as explain_pin
    from irkit.failures import Failures as Failures
    from irkit.fleet import capture_many as capture_many
    from irkit.fleetfile import keep_captures as keep_captures
    from irkit.fleetfile import load_captures as load_captures
    from irkit.gather import begin as begin
    from irkit.gather import gather as gather
    from irkit.gather import gather_chains as gather_chains
    from irkit.gather import gather_failures as gather_failures
    from irkit.gather import gather_pins as gather_pins
    from irkit.incident import Incident as Incident
    from irkit.incident import load_incident as load_incident
    from irkit.metrics import load_failures as load_failures
    from irkit.metrics import query_changes as query_changes
    from irkit.metrics import query_failures as query_failures
    from irkit.missing import Missing as Missing
    from irkit.onset import onsets as onsets
    from irkit.pins import Release as Release
    from irkit.pins import check_pins as check_pins
    from irkit.pins import load_inventory as load_inventory
    from irkit.pins import load_release as load_release
    from irkit.pins import new_backup as new_backup
    from irkit.pins import pins_as as pins_as
    from irkit.plan import load_rotation as load_rotation
    from irkit.plan import plan_rotation as plan_rotation
    from irkit.preflight import preflight as preflight
    from irkit.remedy import remedies as remedies
    from irkit.reports import load_reports as load_reports
    from irkit.revocation import check_revocation as check_revocation
    from irkit.run import finish_run as finish_run
    from irkit.run import keep as keep
    from irkit.run import open_run as open_run
    from irkit.run import triage as triage
    from irkit.scope import scope as scope
    from irkit.scope import top as top
    from irkit.session import pinned_session as pinned_session
    from irkit.strategy import Strategy as Strategy
    from irkit.survey import Survey as Survey
    from irkit.survey import survey as survey
    from irkit.transparency import check_scts as check_scts
    from irkit.transparency import load_logs as load_logs
    from irkit.trust import TrustStore as TrustStore
    from irkit.trust import load_trust as load_trust
    from irkit.trust import verify as verify
    from irkit.update import PinUpdate as PinUpdate
    from irkit.update import check_update as check_update
    from irkit.update import sign_update as sign_update
    from irkit.verdict import Finding as Finding
    from irkit.verdict import Verdict as Verdict
    from irkit.workbench import open_desk as open_desk

# Where each public name lives.
_HOMES = {
    "Survey": "survey", "survey": "survey",
    "Appraisal": "appraisal", "appraise": "appraisal", "fetch_issuers": "aia",
    "Acceptance": "accept", "Certificate": "certificate", "Chain": "chain", "Evidence": "evidence",
    "Failures": "failures", "Finding": "verdict", "Incident": "incident", "IrkitError": "errors", "Missing": "missing",
    "Pin": "certificate", "PinUpdate": "update", "Release": "pins", "Strategy": "strategy", "TrustStore": "trust",
    "Verdict": "verdict", "accepts": "accept", "begin": "gather", "capture": "capture", "capture_all": "capture",
    "capture_many": "fleet", "check_revocation": "revocation", "check_scts": "transparency",
    "load_logs": "transparency",
    "check_pins": "pins", "check_update": "update", "classify": "classify", "diff": "diff", "explain_pin": "explain",
    "finish_run": "run", "gather": "gather", "gather_chains": "gather", "gather_failures": "gather",
    "gather_pins": "gather", "history": "chronicle", "keep": "run",
    "keep_captures": "fleetfile", "load_captures": "fleetfile", "load_chain": "chainfile",
    "load_chains": "chainfile", "load_evidence": "archive",
    "incident_from_alerts": "alert", "load_alerts": "alert",
    "load_failures": "metrics", "load_incident": "incident", "load_inventory": "pins", "load_release": "pins",
    "load_reports": "reports", "load_trust": "trust", "new_backup": "pins", "onsets": "onset", "open_desk": "workbench",
    "open_run": "run", "load_rotation": "plan", "plan_rotation": "plan", "preflight": "preflight",
    "pinned_session": "session", "pins_as": "pins", "query_changes": "metrics",
    "query_failures": "metrics", "remedies": "remedy",
    "save_evidence": "archive", "scope": "scope", "sign_update": "update", "top": "scope", "triage": "run",
    "verify": "trust",
}  # fmt: skip

__all__ = [*sorted(_HOMES), "__version__"]  # noqa: PLE0604 - names of a literal above


class _Package(ModuleType):
    """Keeps `irkit.capture` the function: importing the module irkit.capture would otherwise put itself there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'irkit' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"irkit.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("irkit"):
            raise
        from irkit.errors import MissingExtraError

        raise MissingExtraError(
            f"irkit.{name} needs the package {error.name}", "pip install 'irkit[workbench]' installs what it needs"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
