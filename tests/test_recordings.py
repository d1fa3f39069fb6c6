"""Chains out of packet captures, mitmproxy's flows and a browser's log: as the server presented them."""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st
from test_starttls import TALKS, then_tls
from zoo import CA, EC, RSA, context, ders

from irkit.capture import capture
from irkit.chainfile import load_chain, load_chain_bytes, load_chains
from irkit.chainjson import chain_to_value
from irkit.errors import InputError
from irkit.pcap import conversations, server_secrets

Said = list[tuple[bool, bytes]]  # who spoke (True: the client), and what


def overheard(serve: zoo.Serve, **options: Any) -> Said:
    """What went over the wire while a chain was captured."""
    said: Said = []

    def relay(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", target)) as other:
            for sock in (connection, other):
                sock.settimeout(0.02)
            for _ in range(500):
                for source, sink, client in ((connection, other, True), (other, connection, False)):
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    if not data:
                        return
                    said.append((client, data))
                    sink.sendall(data)

    with zoo.raw(serve) as target, zoo.raw(relay) as port:
        capture("rec.test", connect=f"127.0.0.1:{port}", **options)
    return said


def tls(identity: Any, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> zoo.Serve:
    return tls_of(context(identity, maximum))


def tls_of(served: ssl.SSLContext) -> zoo.Serve:
    def serve(connection: socket.socket) -> None:
        with served.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(100)

    return serve


def segments(
    said: Said, *, first: int = 1000, size: int = 700, version: int = 4, client_port: int = 50000
) -> list[bytes]:
    """IP packets with the TCP segments of a conversation, from its SYN on."""
    made, sequence = [], {True: first, False: 7}

    def add(flags: int, data: bytes, *, client: bool) -> None:
        ports = (client_port, 443) if client else (443, client_port)
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence[client] % 2**32, 0, 0x80, flags, 8192, 0, 0) + bytes(12) + data
        ends = (b"\x0a\0\0\1", b"\x0a\0\0\2") if version == 4 else (bytes(15) + b"\1", bytes(15) + b"\2")
        source, target = ends if client else ends[::-1]
        if version == 4:
            made.append(struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + source + target + tcp)
        else:  # with a hop-by-hop header between
            made.append(struct.pack(">IHBB", 6 << 28, 8 + len(tcp), 0, 64) + source + target + b"\6\0" + bytes(6) + tcp)
        sequence[client] += len(data) + bool(flags & 2)

    add(0x02, b"", client=True)
    add(0x12, b"", client=False)
    for client, data in said:
        for at in range(0, len(data), size):
            add(0x18, data[at : at + size], client=client)
    return made


FRAMES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "Ethernet": (1, lambda p: bytes(12) + b"\x08\0" + p),
    "Ethernet with a VLAN": (1, lambda p: bytes(12) + b"\x81\0\0\5\x08\0" + p),
    "raw IP": (101, lambda p: p),
    "BSD loopback": (0, lambda p: b"\2\0\0\0" + p),
    "Linux cooked": (113, lambda p: bytes(14) + b"\x08\0" + p),
    "Linux cooked 2": (276, lambda p: b"\x08\0" + bytes(18) + p),
}
AT = 1_795_600_000


def pcap(packets: list[bytes], link: int = 101, order: str = "<") -> bytes:
    head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "4I", AT, n, len(p), len(p)) + p for n, p in enumerate(packets))


def pcapng(packets: list[bytes], link: int = 101, order: str = "<", keys: bytes = b"") -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + size + body + size

    nano = struct.pack(order + "HHB3xI", 9, 1, 9, 0)  # if_tsresol: nanoseconds
    made = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    made += block(1, struct.pack(order + "HHI", link, 0, 0) + nano) + block(99, b"unknown")
    if keys:
        made += block(10, struct.pack(order + "2I", 0x544C534B, len(keys)) + keys)
    for p in packets:
        stamp = AT * 10**9
        made += block(6, struct.pack(order + "5I", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(p), len(p)) + p)
    return made


@pytest.fixture(scope="module")
def talk() -> Said:
    return overheard(tls(RSA))


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("form", [pcap, pcapng])
@pytest.mark.parametrize("frame", FRAMES)
def test_a_packet_capture_shows_the_chain(
    talk: Said, frame: str, form: Callable[..., bytes], order: str, tmp_path: Path
) -> None:
    link, wrap = FRAMES[frame]
    file = tmp_path / "incident.pcap"
    file.write_bytes(form([wrap(packet) for packet in segments(talk)], link, order))
    chain = load_chain(file)
    assert ders(chain) == ders(RSA.chain)
    obtained = chain.obtained
    assert (obtained.host, obtained.server_name, obtained.address) == ("rec.test", "rec.test", "10.0.0.2:443")
    assert (obtained.protocol, obtained.possession, obtained.how) == ("TLSv1.2", "proven", "file")
    assert obtained.at is not None
    assert int(obtained.at.timestamp()) == AT


def test_packets_come_late_twice_and_around_the_end_of_the_numbers(talk: Said) -> None:
    for first in (1000, 2**32 - 300):
        made = segments(talk, first=first)
        jumbled = made[:2] + random.Random(4).sample(made[2:] * 2, 2 * len(made[2:]))
        assert ders(load_chain_bytes(pcap(jumbled))) == ders(RSA.chain)
    assert ders(load_chain_bytes(pcap(segments(talk)[2:]))) == ders(RSA.chain)  # the SYN was not captured
    assert ders(load_chain_bytes(pcap(segments(talk, version=6)))) == ders(RSA.chain)


def test_a_hello_in_several_records_is_part_of_what_was_signed(talk: Said) -> None:
    (client, first), *rest = talk
    pieces = b"".join(first[:3] + zoo.vector(part, 2) for part in (first[5:50], first[50:60], first[60:]))
    chain = load_chain_bytes(pcap(segments([(client, pieces), *rest])))
    assert (ders(chain), chain.obtained.possession) == (ders(RSA.chain), "proven")
    assert chain.obtained.server_name == "rec.test"


def test_a_packet_that_is_missing_is_no_chain_made_up(talk: Said) -> None:
    made = segments(talk, size=400)
    certificate = next(n for n, packet in enumerate(made) if RSA.certificate.der[60:90] in packet)
    with pytest.raises(InputError, match="no certificate in"):
        load_chain_bytes(pcap(made[:certificate] + made[certificate + 1 :]))


def test_tls_13_in_a_capture_says_that_it_hides_its_certificates() -> None:
    said = overheard(tls(EC, ssl.TLSVersion.TLSv1_3))
    with pytest.raises(InputError, match=r"TLS 1\.3, in which the certificates are encrypted"):
        load_chain_bytes(pcap(segments(said)))


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1"])  # the second is asked for by a HelloRetryRequest
def test_tls_13_in_a_capture_that_holds_its_keys_shows_the_chain(curve: str, order: str, tmp_path: Path) -> None:
    served, log = context(EC), tmp_path / "keys.log"
    served.keylog_filename = str(log)
    served.set_ecdh_curve(curve)
    said = overheard(tls_of(served))
    chain = load_chain_bytes(pcapng(segments(said), order=order, keys=log.read_bytes()))
    assert ders(chain) == ders(EC.chain)
    obtained = chain.obtained
    assert (obtained.protocol, obtained.possession, obtained.server_name) == ("TLSv1.3", "proven", "rec.test")
    with pytest.raises(InputError, match="the capture holds no keys") as raised:
        load_chain_bytes(pcapng(segments(said), keys=b"CLIENT_RANDOM 00 00\n"))
    assert "--inject-secrets" in raised.value.hint
    wrong = log.read_bytes().replace(b"SERVER_HANDSHAKE_TRAFFIC_SECRET", b"CLIENT_HANDSHAKE_TRAFFIC_SECRET")
    with pytest.raises(InputError, match="no certificate in"):
        load_chain_bytes(pcapng(segments(said), keys=wrong))


def test_starttls_in_a_capture() -> None:
    said = overheard(then_tls(TALKS["smtp"]), starttls="smtp", maximum="TLSv1.2")
    assert ders(load_chain_bytes(pcap(segments(said)))) == ders(EC.chain)


def test_several_connections_are_several_chains(talk: Said) -> None:
    other = overheard(tls(EC))
    both = pcap(segments(talk) + segments(other, client_port=50001) + segments(other))  # the first port again
    file_error = pytest.raises(InputError, match=r"2 different chains, of rec\.test")
    with file_error as raised:
        load_chain_bytes(both)
    assert "load_chains" in raised.value.hint
    with pytest.raises(InputError, match=r"holds no chain of a\.test, but of rec\.test"):
        load_chain_bytes(both, host="a.test")


@given(st.binary(max_size=300), st.sampled_from([pcap, pcapng]), st.sampled_from([0, 1, 101, 113, 276]))
def test_any_packet_gives_conversations_or_none(packet: bytes, form: Callable[..., bytes], link: int) -> None:
    whole = form([packet, b"\x45" + packet, b"\x60" + packet], link)
    conversations(whole)
    assert server_secrets(pcapng([packet], keys=packet)) == {}
    for cut in range(0, len(whole), 37):
        conversations(whole[:cut] if cut > 28 else whole)
    with pytest.raises(InputError):
        load_chain_bytes(whole)


def test_mitmproxy_s_flows_hold_what_the_server_presented(tool: Callable[..., str], tmp_path: Path) -> None:
    identity = CA.issue("localhost")
    flows = tmp_path / "flows"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = taken.getsockname()[1]
    command = [tool("mitmdump"), "-q", "-p", str(listen), "--listen-host", "127.0.0.1", "--ssl-insecure", "-w",
               str(flows), "--set", f"confdir={tmp_path / 'conf'}"]  # fmt: skip
    with zoo.python_tls(context(identity)) as port, zoo.program(command):
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", listen)).close()
                break
            except OSError:
                time.sleep(0.1)
        curl = [tool("curl"), "-sk", "-m", "20", "-x", f"http://127.0.0.1:{listen}", f"https://localhost:{port}/"]
        for _ in range(2):
            subprocess.run(curl, capture_output=True, check=False)
    chain = load_chain(flows)
    assert ders(chain) == ders(identity.chain)  # not the one that mitmproxy made, and not the two requests' together
    assert len(load_chains(flows)) == 2
    assert (chain.obtained.host, chain.obtained.port, chain.obtained.protocol) == ("localhost", port, "TLSv1.3")
    assert chain.obtained.at is not None
    data = flows.read_bytes()
    assert load_chain_bytes(data[: len(data) - 9]) == chain  # cut off while it was written
    for cut in range(0, len(data), 97):
        try:
            load_chain_bytes(data[:cut])
        except InputError as error:
            assert error.hint


def test_a_browser_s_network_log_holds_what_it_was_presented(tool: Callable[..., str], tmp_path: Path) -> None:
    identity = CA.issue("localhost")
    log = tmp_path / "net.json"
    with zoo.python_tls(context(identity)) as port:
        command = [tool("chromium", "chromium-browser", "google-chrome"), "--headless", "--no-sandbox", "--disable-gpu",
                   "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
                   f"--log-net-log={log}", "--dump-dom", f"https://localhost:{port}/"]  # fmt: skip
        subprocess.run(command, capture_output=True, timeout=60, check=False)
    chain = load_chain(log)
    assert ders(chain) == ders(identity.chain)
    assert chain.obtained.host == "localhost"
    assert chain.obtained.at is not None
    assert abs(chain.obtained.at.timestamp() - log.stat().st_mtime) < 300


def test_a_host_picks_its_chain_of_a_recording_with_several() -> None:
    events = [
        {"type": 7, "time": "1000", "params": {"host": host, "certificates": [c.pem() for c in chain]}}
        for host, chain in (("a.test", EC.chain), ("b.test", RSA.chain), ("a.test", EC.chain))
    ]
    constants = {"logEventTypes": {"CERT_VERIFIER_JOB": 7}, "timeTickOffset": AT * 1000}
    log = json.dumps({"constants": constants, "events": [5, {"type": 7}, *events]}).encode()
    chain = load_chain_bytes(log, host="b.test")
    assert (chain, chain.obtained.host) == (RSA.chain, "b.test")
    assert chain.obtained.at is not None
    assert chain.obtained.at.timestamp() == AT + 1
    assert load_chain_bytes(log, host="a.test") == EC.chain
    with pytest.raises(InputError, match=r"2 different chains, of a\.test, b\.test"):
        load_chain_bytes(log)


def test_a_har_says_that_it_holds_no_certificates() -> None:
    with pytest.raises(InputError, match="a HAR, which holds no certificates") as raised:
        load_chain_bytes(json.dumps({"log": {"version": "1.2", "entries": []}}).encode())
    assert "net-export" in raised.value.hint


def test_load_chains_reads_every_chain_of_a_list_and_the_one_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps([chain_to_value(EC.chain), chain_to_value(RSA.chain)]))
    assert load_chains(file) == (EC.chain, RSA.chain)
    file.write_text(EC.chain_pem)
    assert load_chains(file) == (EC.chain,)
    assert load_chains(tmp_path) == (EC.chain,)


def tnet(value: object) -> bytes:
    """A tnetstring."""
    if isinstance(value, dict):
        body, kind = b"".join(tnet(key) + tnet(item) for key, item in value.items()), b"}"
    elif isinstance(value, list):
        body, kind = b"".join(map(tnet, value)), b"]"
    elif isinstance(value, bytes):
        body, kind = value, b","
    elif isinstance(value, str):
        body, kind = value.encode(), b";"
    elif value is None:
        body, kind = b"", b"~"
    else:
        body, kind = str(value).encode(), b"^" if isinstance(value, float) else b"#"
    return str(len(body)).encode() + b":" + body + kind


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


FIELDS = ("certificate_list", "address", "peername", "sni", "timestamp_tls_setup", "cipher")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANY)), st.integers(0, 400))
def test_any_flow_is_chains_or_an_input_error(server: dict[str, Any], cut: int) -> None:
    good = {"certificate_list": [EC.certificate.pem().encode()], "sni": "a.test", "address": ["a.test", 443]}
    whole = tnet({"server_conn": {**good, **server}, "client_conn": {}})
    for data in (whole, whole[:cut], whole + whole[:cut]):
        try:
            assert len(load_chain_bytes(data)) > 0
        except InputError as error:
            assert error.hint


@given(ANY, ANY, ANY, ANY)
def test_any_network_log_is_chains_or_an_input_error(types: Any, offset: Any, events: Any, parameters: Any) -> None:
    for kinds, told in ((types, events), ({"CERT_VERIFIER_JOB": 1}, [{"type": 1, "params": parameters}])):
        log = {"constants": {"logEventTypes": kinds, "timeTickOffset": offset}, "events": told}
        try:
            load_chain_bytes(json.dumps(log, default=str).encode())
        except InputError as error:
            assert error.hint
