"""Pin-failure reports and client logs: every format's quirks, bounded reading, bad lines kept aside with a reason."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forge
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incidents import START, World

from irkit.archive import load_evidence, save_evidence
from irkit.certificate import Certificate
from irkit.errors import InputError
from irkit.gather import begin, gather_chains
from irkit.reports import LINE, Reports, load_reports, read_reports

HOST = "api.example.com"
ROOT = forge.root("Report Root")
CA = ROOT.issue(cn="Report CA", ca=True)
LEAF = CA.issue(HOST)
CHAIN = tuple(LEAF.chain)
PATH = (*CHAIN, ROOT.certificate)


def pem(certificates: tuple[Certificate, ...], end: str = "\n") -> list[str]:
    return [certificate.pem().replace("\n", end) for certificate in certificates]


def trustkit(system: str, **changes: Any) -> dict[str, Any]:
    """A report as TrustKit 3 for iOS or TrustKit for Android sends it."""
    report: dict[str, Any] = {
        "app-bundle-id": "com.example.shop", "app-version": "4.2.0", "app-vendor-id": "599F9C00-92DC-4B5C-9464",
        "app-platform": system, "trustkit-version": "3.0.0", "hostname": HOST, "port": 0, "noted-hostname": HOST,
        "include-subdomains": False, "enforce-pinning": True, "date-time": "2026-11-23T09:10:00Z",
        "validated-certificate-chain": pem(PATH, "\r\n"), "known-pins": [f'pin-sha256="{"A" * 43}="'],
        "validation-result": 1,
    }  # fmt: skip
    if system == "ANDROID":
        report |= {
            "served-certificate-chain": pem(CHAIN, "\r\n"),
            "validated-certificate-chain": pem(CHAIN, "\r\n"),
        }
    else:
        report |= {"app-platform-version": "18.1", "known-pins-expiration-date": None}
    return report | changes


def read(*lines: Any, name: str = "r.ndjson") -> Reports:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return read_reports([(name, "\n".join(texts).encode())])


OKHTTP = f"""\
javax.net.ssl.SSLPeerUnverifiedException: Certificate pinning failure!
  Peer certificate chain:
    {LEAF.certificate.pin}: CN={HOST},O=x: sha256/y
    {CA.certificate.pin}: CN=Report CA
  Pinned certificates for *.example.com:
    sha256/{"A" * 43}=
    sha256/bad
\tat okhttp3.CertificatePinner.check$okhttp(CertificatePinner.kt:201)
"""


def test_trustkit_ios_has_only_the_path_that_the_device_built() -> None:
    (seen,) = read(trustkit("IOS")).sightings
    report = seen.report
    assert (report.format, report.kind, report.platform, report.version) == ("trustkit-ios", "pin", "ios", "4.2.0")
    assert report.served == ()
    assert report.validated == PATH
    assert seen.chain.certificates == PATH
    assert seen.chain.obtained.how == "report"
    assert report.at == datetime(2026, 11, 23, 9, 10, tzinfo=UTC)
    assert not report.local
    assert report.known == (f"sha256/{'A' * 43}=",)


def test_trustkit_android_repeats_the_served_chain_as_validated_and_writes_local_time() -> None:
    (seen,) = read(trustkit("ANDROID")).sightings
    assert seen.report.served == CHAIN
    assert seen.report.validated == ()
    assert seen.report.local
    (older,) = read(trustkit("ANDROID", **{"validated-certificate-chain": pem(PATH)})).sightings
    assert older.report.validated == PATH
    assert older.chain.certificates == CHAIN


@pytest.mark.parametrize(("result", "kind"), [(0, "success"), (1, "pin"), (2, "trust"), (3, "other"), (5, "pin")])
def test_only_results_1_and_5_are_pin_failures(result: int, kind: str) -> None:
    assert read(trustkit("IOS", **{"validation-result": result})).sightings[0].report.kind == kind


def test_rfc_7469_names_no_app_and_has_both_chains() -> None:
    keys = ("hostname", "noted-hostname", "known-pins", "date-time")
    report = {key: trustkit("IOS")[key] for key in keys} | {
        "port": 443, "effective-expiration-date": "2027-01-01T00:00:00Z", "include-subdomains": True,
        "served-certificate-chain": pem(CHAIN), "validated-certificate-chain": pem(PATH),
    }  # fmt: skip
    (seen,) = read(report).sightings
    assert (seen.report.format, seen.report.kind, seen.report.platform) == ("rfc7469", "pin", "")
    assert (seen.report.served, seen.report.validated) == (CHAIN, PATH)


def test_reports_that_agree_are_counted_together_with_their_devices_and_span() -> None:
    times = ("2026-11-23T09:10:00Z", "2026-11-23T07:00:00Z", "2026-11-23T11:00:00Z")
    reports = read(*(trustkit("IOS", **{"date-time": at, "app-vendor-id": at[-9:]}) for at in times), trustkit("IOS"))
    (seen,) = reports.sightings
    assert (seen.count, seen.devices, reports.total) == (4, 4, 4)
    assert seen.first is not None
    assert seen.last is not None
    assert (seen.first.hour, seen.last.hour) == (7, 11)


def test_labels_that_a_collector_adds_keep_regions_and_networks_apart() -> None:
    found = read(*(trustkit("IOS", region=region, network="AS64500") for region in ("eu", "ap")))
    assert {seen.report.region for seen in found.sightings} == {"eu", "ap"}


def test_okhttps_message_gives_the_path_and_the_pins_wherever_it_stands() -> None:
    plain = read(OKHTTP, name="app.log")
    logcat = read(*(f"11-23 09:10:00.123  1234  5678 E Shop: {line}" for line in OKHTTP.splitlines()), name="logcat")
    entry = {"@timestamp": "2026-11-23T09:10:00Z", "message": OKHTTP, "app_version": "4.2.0", "region": "ap-south"}
    (in_json,) = read(entry).sightings
    for reports in (plain, logcat):
        (seen,) = reports.sightings
        assert seen.report.pins == (LEAF.certificate.pin, CA.certificate.pin)
        assert seen.report.known == (f"sha256/{'A' * 43}=", "sha256/bad")
        assert (seen.report.host, seen.report.kind, seen.count) == ("*.example.com", "pin", 1)
    assert (in_json.report.version, in_json.report.region) == ("4.2.0", "ap-south")
    assert in_json.report.at == datetime(2026, 11, 23, 9, 10, tzinfo=UTC)


def test_androids_messages_tell_a_pin_failure_from_an_untrusted_chain_and_count_a_trace_once() -> None:
    trace = """\
E/Shop: javax.net.ssl.SSLHandshakeException: {0}
E/Shop:     at com.android.org.conscrypt.ConscryptFileDescriptorSocket.startHandshake(X.java:239)
E/Shop: Caused by: java.security.cert.CertificateException: {0}
E/Shop:     ... 12 more
I/Shop: retrying
"""
    pin = "java.security.cert.CertificateException: Pin verification failed"
    trust = "java.security.cert.CertPathValidatorException: Trust anchor for certification path not found."
    name = f"Hostname {HOST} not verified:\n    certificate: {LEAF.certificate.pin}\n    DN: CN=login.example\n"
    early = "java.security.cert.CertificateNotYetValidException: Certificate not valid until Mon Nov 23"
    found = read(trace.format(pin) * 2 + trace.format(trust) + name + trace.format(early), name="logcat.txt")
    assert {seen.report.kind: seen.count for seen in found.sightings} == {
        "pin": 2, "trust": 1, "name": 1, "not-yet-valid": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"hostname": "x", ', "not JSON"),
        ('["known-pins"]', "not a JSON object"),
        ('{"level": "info", "message": "hello"}', "neither a report"),
        (trustkit("IOS", hostname="", **{"noted-hostname": None}), "no hostname"),
        (trustkit("IOS", **{"validation-result": "1"}), "validation-result"),
        (trustkit("IOS", **{"validated-certificate-chain": ["-----BEGIN CERTIFICATE-----"]}), "no PEM block"),
        (trustkit("IOS", **{"validated-certificate-chain": []}), "no certificate"),
        (trustkit("IOS", **{"validated-certificate-chain": pem(PATH) * 20}), "60 certificates"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_kept_aside_with_its_reason_and_the_others_count(line: Any, why: str) -> None:
    reports = read(trustkit("IOS"), line, trustkit("ANDROID"))
    assert (reports.total, reports.aside) == (2, 1)
    assert reports.refused[0].line == 2
    assert why in reports.refused[0].reason


@pytest.mark.parametrize("first", ["[1, 2]", "[", "{", "[]"])
def test_a_first_line_that_looks_like_the_beginning_of_a_document_costs_only_itself(first: str) -> None:
    reports = read(first, trustkit("IOS"), trustkit("ANDROID"))
    assert reports.total == 2
    assert reports.aside in (0, 1)


def test_a_report_written_over_many_lines_and_a_list_of_reports_are_read() -> None:
    for value in (trustkit("IOS"), [trustkit("IOS"), {"odd": 1}, trustkit("ANDROID")]):
        reports = read_reports([("r.json", json.dumps(value, indent=2).encode())])
        assert reports.total == (2 if isinstance(value, list) else 1)
        assert reports.aside == (1 if isinstance(value, list) else 0)


def test_gzip_damaged_files_and_endless_lines_cost_only_what_is_damaged() -> None:
    lines = "".join(json.dumps(trustkit("IOS", **{"app-version": str(i)})) + "\n" for i in range(40)).encode()
    packed = gzip.compress(lines)
    assert read_reports([("r.gz", packed)]).total == 40
    cut = read_reports([("r.gz", packed[:-200])])
    assert 0 < cut.total < 40
    assert "damaged" in cut.findings[0]
    bomb = gzip.compress(b'{"a": "' + b"x" * (3 * LINE) + b'"}\n' + lines)
    reports = read_reports([("b.gz", bomb)])
    assert (reports.total, reports.aside) == (40, 1)
    assert "no report" in read_reports([("empty", b"")]).findings[0]


def test_a_pattern_without_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file is called"):
        load_reports(["*.ndjson"], tmp_path)


def test_reports_of_the_corpus_are_read_or_refused_in_words(corpus: Path) -> None:
    found = load_reports(["pin-configs/*report*.json"], corpus)
    assert found.total + found.aside >= 2
    assert {seen.report.format for seen in found.sightings} <= {"trustkit-ios", "trustkit-android", "rfc7469"}
    assert found.total >= 1


def test_reports_are_gathered_archived_raw_and_come_back_the_same(tmp_path: Path) -> None:
    (tmp_path / "r.ndjson").write_text(json.dumps(trustkit("IOS")) + "\nnot a report\n{\n")
    (tmp_path / "phone.pem").write_text(LEAF.chain.pem())
    (tmp_path / "incident.toml").write_text(
        f'[incident]\nhost = "{HOST}"\n[[capture]]\nfile = "phone.pem"\n[reports]\nfiles = ["*.ndjson"]\n'
    )
    evidence = gather_chains(begin(tmp_path / "incident.toml"))
    assert evidence.reports is not None
    assert evidence.reports.total == 1
    assert any(item.source == "reports" and "kept aside" in item.reason for item in evidence.missing)
    save_evidence(evidence, tmp_path / "evidence")
    again = load_evidence(tmp_path / "evidence")
    assert again.reports == evidence.reports
    assert again.reports is not None
    assert again.reports.raw == evidence.reports.raw


def test_what_reports_hold_is_shown_escaped_and_device_ids_are_not_shown() -> None:
    found = read(
        trustkit("IOS", **{"app-bundle-id": "<script>alert(1)</script>", "app-vendor-id": "SECRET-ID"}), "\x1b[2J"
    )
    assert "<script>" not in found._repr_html_()
    for shown in (found._repr_html_(), repr(found)):
        assert "SECRET-ID" not in shown
        assert "\x1b" not in shown


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.dictionaries(
                st.sampled_from([*trustkit("IOS"), "message"]),
                st.one_of(
                    st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.lists(st.text(max_size=20))
                ),
            ).map(json.dumps),
            st.just(OKHTTP),
        ),
        max_size=6,
    )
)
def test_nothing_that_a_file_holds_raises(lines: list[str]) -> None:
    reports = read_reports([("r", "\n".join(lines).encode("utf-8", "surrogatepass"))])
    assert reports.total == sum(seen.count for seen in reports.sightings)
    repr(reports)


def test_the_world_of_the_other_tests_reads_back_its_own_reports() -> None:
    world = World()
    report = trustkit("ANDROID", **{"served-certificate-chain": pem(tuple(world.leaf.chain))})
    (seen,) = read(report).sightings
    assert seen.chain.leaf.pin == world.leaf.certificate.pin
    assert seen.first is not None
    assert seen.first > START
