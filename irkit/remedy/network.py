"""What to do where no server and no release is at fault: an interceptor, a taken-over origin, a network, a device."""

from __future__ import annotations

from collections.abc import Iterator

from irkit.cohorts import Case
from irkit.crux import HASH_KEY
from irkit.facts import Facts
from irkit.remedy.value import Action
from irkit.render import text

__all__ = ["capture_command", "intercepted", "origin_replaced", "outside"]


def capture_command(facts: Facts) -> str:
    """The command that keeps the chain which a place sees."""
    host, port = text(facts.evidence.incident.host), facts.evidence.incident.port
    return (
        f"openssl s_client -connect {host}:{port} -servername {host} -showcerts </dev/null "
        "> seen.pem   # then add it under [[observed]] or [[capture]]"
    )


def intercepted(facts: Facts, case: Case, cause: str) -> Iterator[Action]:
    """Somebody between the users and the server: pinning stays on."""
    host, cohort = text(facts.evidence.incident.host), case.cohort
    where = ", ".join(text(place) for place in (*cohort.networks, *cohort.regions)) or "the affected networks"
    if cause == "interception-public-ca":
        yield Action(
            "revoke",
            "Get the certificate revoked by the CA that issued it, and see how it was obtained.",
            (
                "Report it to the CA's problem-reporting address, with the certificate from the evidence.",
                f"dig +short CAA {host}   # does CAA name only your CA?",
                f"Look {host} up in CT logs, and check DNS, registrar and BGP for changes since the onset.",
            ),
            takes="a day at most: a CA has 24 hours to revoke a certificate that its subject did not order "
            "(Baseline Requirements, 4.9.1.1)",
            why="A public CA vouched for a key that is not yours: whoever holds it can read unpinned clients.",
        )
    if cause in ("inspection-authorised", "inspection-product"):
        known = "that the inventory allows" if cause == "inspection-authorised" else "once its operator is known"
        yield Action(
            "exempt-from-inspection",
            f"Have {host} exempted from the inspection, {known}.",
            (
                f"Ask the operator of the inspection in {where} to bypass TLS inspection for {host}.",
                "Publish a support article: which product, how its administrator exempts a host.",
            ),
            takes="days: the operator of the inspection has to act",
            why="Pinning rightly refuses the inspection; exempting the host ends the failures with pinning on.",
        )
    if cause == "user-installed-ca":
        yield Action(
            "keep-pinning",
            "Leave everything as it is: somebody looks into the app's traffic on a device of their own.",
            ("Nothing to fix. If one of your own testers is meant, give them a debug build.",),
            0.0,
            why="One device or a few, with a root that their user installed.",
        )
    if cause in ("interception-untrusted-ca", "interception-public-ca"):
        yield Action(
            "investigate-network",
            f"Keep pinning on, and find out who intercepts in {where}.",
            (
                "Capture from an affected device or a probe on that network: " + capture_command(facts),
                "Ask the operator of the network whether it inspects TLS; an inspection can exempt the host.",
                "Tell the security team: credentials sent by clients without pinning on that network may be known.",
            ),
            takes="hours to days: whoever runs the network has to act",
            why="The apps fail because pinning works; what has to go is the interceptor.",
        )


def origin_replaced(facts: Facts) -> Iterator[Action]:
    """Trusted vantages too see a chain that is nobody's."""
    host = text(facts.evidence.incident.host)
    yield Action(
        "check-origin",
        "Treat the origin as taken over until its key is accounted for: check DNS, registrar, BGP and the hosts.",
        (
            f"dig +trace {host}   # are delegation and addresses yours?",
            f"Compare the served key with the one on your hosts: {HASH_KEY}",
            f"Look {host} up in CT logs for certificates that you did not order, and have them revoked.",
            "Check the registrar account, the load balancers and the deployment log for changes since the onset.",
        ),
        takes="hours: registrar, DNS and hosts are asked at once",
        why="Trusted vantages themselves see a chain that the owner can't account for.",
    )


def outside(facts: Facts, cause: str) -> Iterator[Action]:
    """Failures that pins have no part in."""
    incident = facts.evidence.incident
    if cause == "endpoint-down":
        step = f"curl -sv https://{text(incident.host)}:{incident.port}/ -o /dev/null"
        yield Action(
            "service-incident", "Hand this over as an outage of the service.", (step,), why="No TLS is served."
        )
    if cause == "clock-wrong":
        yield Action(
            "support-article",
            "Tell these users to set their device's date; nothing is wrong with server, pins or network.",
            ("Put it into the app's error text: a certificate that is not yet valid points at the date.",),
            why="The certificate is valid, and their clocks say otherwise.",
        )
    if cause == "captive-portal":
        yield Action(
            "keep-pinning",
            "Leave everything as it is: a sign-in page answered for the host, and goes away when users sign in.",
            ("Have the app say so: a sign-in to the network is needed.",),
            0.0,
            why="It ends by itself, and pinning kept the portal out.",
        )
