"""TLS against a real mosquitto with a real CA: each trouble has a state, and says what to do."""

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from authority import Authority
from fake_peer import Peer
from running_station import running_station

from shorewatch.certificate import ending
from shorewatch.config import UplinkConfig
from shorewatch.errors import UplinkError
from shorewatch.model import utc_now
from shorewatch.mqtt import client
from shorewatch.mqtt.client import connected
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.tls import Expiries, Tls, load_context, read_expiries, speaks_tls
from shorewatch.mqtt.watch import Access, follow
from shorewatch.noc import follow as follow_as_noc


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


class Secured:
    """The guarded mosquitto with a listener that speaks TLS."""

    def __init__(self, guarded, authority: Authority) -> None:  # type: ignore[no-untyped-def]
        self.guarded, self.authority = guarded, authority
        self.port = guarded.port

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"

    async def start(self, more: str = "", ca: Path | None = None, **certificate: object) -> None:
        cert, key = self.authority.issue("broker", **certificate)  # type: ignore[arg-type]
        files = f"cafile {ca or self.authority.file}\ncertfile {cert}\nkeyfile {key}\n"
        await self.guarded.start("topic readwrite #\n", files + more, waits=False)
        while not await asyncio.to_thread(speaks_tls, "127.0.0.1", self.port):
            await asyncio.sleep(0.02)


@pytest.fixture
def secured(guarded, authority: Authority) -> Secured:  # type: ignore[no-untyped-def]
    return Secured(guarded, authority)


class Refusing(Peer):
    """A peer that answers the first bytes, whatever they are, with its own, and goes."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(self.answer)
        writer.close()


async def trouble(port: int, tls: Tls | None, host: str = "127.0.0.1") -> tuple[str, str]:
    """How an attempt to connect ends."""
    with pytest.raises(UplinkError) as caught:
        async with connected(host, port, client_id="tls", tls=tls):
            pass
    return caught.value.state, str(caught.value)


async def test_an_uplink_works_through_tls(secured, bench, until) -> None:  # type: ignore[no-untyped-def]
    """With the CA's file the journal goes to a TLS broker, and comes back acknowledged."""
    await secured.start()
    ca = str(secured.authority.file)
    async with bench(secured.url, [], ca_file=ca) as b:
        await b.write(500)
        await b.until_state("online")
        async with connected("127.0.0.1", secured.port, client_id="ear", tls=Tls(ca)) as ear:
            await ear.subscribe(f"{b.prefix}/journal")
            await until(lambda: b.uplink.status.cursor == 500)
        assert b.uplink.status.certificates.keys() == {"ca", "broker"}


async def test_a_consumer_follows_through_tls(secured, bench, until) -> None:  # type: ignore[no-untyped-def]
    """The NOC's end with the same files acknowledges what the station sends."""
    await secured.start("require_certificate true\n")
    ca = str(secured.authority.file)
    ours, theirs = (
        Tls(ca, *map(str, secured.authority.issue(name))) for name in ("station", "noc")
    )
    files = {"ca_file": ca, "cert_file": ours.cert_file, "key_file": ours.key_file}
    async with bench(secured.url, **files) as b:
        access = Access(tls=theirs)
        following = asyncio.create_task(
            follow(secured.url, Follower(), acknowledge="noc", access=access)
        )
        await b.write(300)
        await until(lambda: b.uplink.status.cursor == 300)
        following.cancel()
        await asyncio.wait([following])


async def test_many_packets_in_one_record_are_all_read(secured) -> None:  # type: ignore[no-untyped-def]
    """Messages that TLS has already deciphered do not wait for the next bytes on the wire."""
    await secured.start()
    tls = Tls(str(secured.authority.file))
    async with connected("127.0.0.1", secured.port, client_id="one", tls=tls) as one:
        await one.subscribe("many")
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(one.publish("many", b"%d" % number, qos=1))
        found = set()
        async for message in one.messages():
            found.add(int(message.payload))
            if len(found) == 200:
                break
        await one.disconnect()


async def test_mutual_authentication_lets_only_ours_in(secured) -> None:  # type: ignore[no-untyped-def]
    """A broker that wants certificates takes ours, and none of another CA; the lack is named."""
    await secured.start("require_certificate true\n")
    ca = str(secured.authority.file)
    cert, key = map(str, secured.authority.issue("station"))
    async with connected("127.0.0.1", secured.port, client_id="a", tls=Tls(ca, cert, key)) as ours:
        await ours.disconnect()
    state, text = await trouble(secured.port, Tls(ca))
    assert (state, "give cert_file and key_file" in text) == ("bad-certificate", True), text
    other = Authority(secured.authority.folder / "other", "Other CA")
    cert, key = map(str, other.issue("station"))
    state, text = await trouble(secured.port, Tls(ca, cert, key))
    assert (state, "refuses our certificate" in text) == ("bad-certificate", True), text


async def test_a_noc_follows_a_station_over_mutual_tls(secured, bench) -> None:  # type: ignore[no-untyped-def]
    """Both ends with certificates of their own: every record comes, once and in order."""
    await secured.start("require_certificate true\n")
    ca = str(secured.authority.file)
    cert, key = map(str, secured.authority.issue("station"))
    tls = Tls(ca, *map(str, secured.authority.issue("noc")))
    files = {"ca_file": ca, "cert_file": cert, "key_file": key}
    seqs: list[int] = []
    async with (
        bench(secured.url, **files) as b,
        follow_as_noc(secured.url, consumer="noc", access=Access(tls=tls)) as noc,
    ):
        await b.write(500)
        async for delivery in noc:
            seqs += [record.seq for record in delivery.records]
            await delivery.done()
            if len(seqs) >= 500:
                break
    assert seqs == list(range(1, 501))


async def test_our_expired_certificate_is_refused_by_the_broker(secured) -> None:  # type: ignore[no-untyped-def]
    """The broker's refusal of our certificate is told with its own reason."""
    await secured.start("require_certificate true\n")
    cert, key = map(str, secured.authority.issue("station", days=-1))
    state, text = await trouble(secured.port, Tls(str(secured.authority.file), cert, key))
    assert (state, "expired" in text) == ("bad-certificate", True), text


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ({"days": -1}, "has expired"),
        ({"begins_days": 5}, "is not valid yet: check this gateway's clock"),
        ({"hosts": ("example.org",)}, "is for another host"),
        ({"hosts": ("192.0.2.1",)}, "is for another host"),
    ],
)
async def test_a_brokers_bad_certificate_is_told_apart(secured, certificate, said) -> None:  # type: ignore[no-untyped-def]
    """Expired, not yet valid, or of another host: each is said, and nothing is sent."""
    await secured.start(**certificate)
    state, text = await trouble(secured.port, Tls(str(secured.authority.file)))
    assert (state, said in text) == ("bad-certificate", True), text


async def test_an_unknown_ca_is_refused(secured) -> None:  # type: ignore[no-untyped-def]
    """A broker whose CA is not ours is no broker of ours, nor one that the system does not know."""
    await secured.start()
    other = Authority(secured.authority.folder / "other", "Other CA")
    for tls in (Tls(str(other.file)), Tls()):
        state, text = await trouble(secured.port, tls)
        assert (state, "a CA that we do not know" in text) == ("bad-certificate", True), text


async def test_a_host_name_is_checked_by_name(secured) -> None:  # type: ignore[no-untyped-def]
    """A certificate for the address alone is not good for the name."""
    await secured.start(hosts=("127.0.0.1",))
    state, text = await trouble(secured.port, Tls(str(secured.authority.file)), "localhost")
    assert (state, "another host" in text) == ("bad-certificate", True), text


async def test_without_tls_where_it_is_spoken_is_needs_tls(secured, bench) -> None:  # type: ignore[no-untyped-def]
    """mqtt:// to a TLS listener is needs-tls, and says which url it must be."""
    await secured.start()
    async with bench(f"mqtt://127.0.0.1:{secured.port}") as b:
        await b.until_state("needs-tls")
        assert "must begin with mqtts://" in b.uplink.status.text


async def test_tls_where_none_is_spoken_is_no_tls(guarded, bench) -> None:  # type: ignore[no-untyped-def]
    """mqtts:// to a listener without TLS is no-tls, and says which url it must be."""
    await guarded.start("topic readwrite #\n")
    async with bench(f"mqtts://127.0.0.1:{guarded.port}") as b:
        await b.until_state("no-tls")
        assert "must begin with mqtt://" in b.uplink.status.text


async def test_tls_older_than_1_2_is_not_spoken() -> None:
    """A peer that refuses our versions of TLS is no-tls, and is told to be updated."""
    # A fatal alert, protocol_version. Source: RFC 5246, 7.2.
    peer = Refusing(b"\x15\x03\x01\x00\x02\x02\x46")
    async with peer.listening():
        state, text = await trouble(peer.port, Tls())
    assert (state, "no TLS 1.2 or newer" in text) == ("no-tls", True), text


async def test_a_cancelled_attempt_does_not_wait_for_the_handshake(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Where a peer takes the connection and says nothing, a cancellation ends it all the same."""
    monkeypatch.setattr(client, "CONNECT_S_MAX", 1000.0)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        attempt = asyncio.create_task(trouble(server.getsockname()[1], Tls()))
        silent, _ = await loop.sock_accept(server)
        with silent:
            assert await loop.sock_recv(silent, 1000)
            attempt.cancel()
            await asyncio.wait([attempt])
        assert attempt.cancelled()


async def test_a_renewed_certificate_needs_no_restart(secured, bench) -> None:  # type: ignore[no-untyped-def]
    """A missing key, and a certificate that was another's, count as soon as they are right."""
    await secured.start("require_certificate true\n")
    cert, key = secured.authority.issue("station")
    pem = cert.read_bytes()
    away = key.rename(key.with_suffix(".away"))
    cert.write_bytes(secured.authority.file.read_bytes())
    files = {"ca_file": str(secured.authority.file), "cert_file": str(cert), "key_file": str(key)}
    async with bench(secured.url, **files) as b:
        await b.until_state("no-secret")
        assert str(key) in b.uplink.status.text
        away.rename(key)
        await b.until_state("bad-certificate")
        assert "belongs to another one" in b.uplink.status.text
        cert.write_bytes(pem)
        await b.until_state("online")
        assert b.uplink.status.certificates.keys() == {"own", "ca", "broker"}


def _absent(path: Path) -> None:
    path.unlink()


def _no_pem(path: Path) -> None:
    path.write_text("this is no certificate\n")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _garbled(path: Path) -> None:
    path.write_text(path.read_text().replace("M", "!", 9))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _huge(path: Path) -> None:
    path.write_bytes(b"#" * 3_000_000)


def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("which", "harm", "state", "said"),
    [
        ("ca", _absent, "bad-certificate", "cannot be read"),
        ("ca", _no_pem, "bad-certificate", "BEGIN CERTIFICATE"),
        ("ca", _cut, "bad-certificate", "cut off"),
        ("ca", _garbled, "bad-certificate", "write it anew"),
        ("ca", _pipe, "bad-certificate", "is no file"),
        ("ca", _huge, "bad-certificate", "the right file?"),
        ("cert", _absent, "bad-certificate", "cannot be read"),
        ("cert", _no_pem, "bad-certificate", "BEGIN CERTIFICATE"),
        ("cert", _garbled, "bad-certificate", "write it anew"),
        ("key", _absent, "no-secret", "cannot be read"),
        ("key", _pipe, "no-secret", "is no file"),
        ("key", _huge, "no-secret", "the right file?"),
        ("key", _open_to_all, "no-secret", "chmod 600"),
        ("key", _no_pem, "bad-certificate", "both must be PEM"),
    ],
)
def test_a_file_that_is_wrong_is_named(
    authority: Authority, which: str, harm: Callable[[Path], None], state: str, said: str
) -> None:
    """Missing, cut, garbled, too long, readable by everybody: state, path and what to do."""
    cert, key = authority.issue("station")
    files = {"ca": authority.file, "cert": cert, "key": key}
    harm(files[which])
    with pytest.raises(UplinkError) as caught:
        load_context(Tls(*map(str, files.values())))
    assert caught.value.state == state
    assert str(files[which]) in str(caught.value)
    assert said in str(caught.value)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    """A locked key is no-secret; the terminal is left alone."""
    cert, key = authority.issue("station", password=b"locked")
    with pytest.raises(UplinkError, match="has a password") as caught:
        load_context(Tls(str(authority.file), str(cert), str(key)))
    assert caught.value.state == "no-secret"


def test_what_ends_first_in_a_file_counts(authority: Authority, tmp_path: Path) -> None:
    """Of several certificates in one file the first to end is told; an unreadable file is left."""
    soon = Authority(tmp_path / "soon", "Soon CA", days=10)
    both = tmp_path / "both.pem"
    both.write_bytes(authority.file.read_bytes() + soon.file.read_bytes())
    found = read_expiries(Tls(str(both), "/nowhere/cert.pem", "/nowhere/key.pem"))
    assert found.keys() == {"ca"}
    assert timedelta(days=9) < found["ca"] - utc_now() <= timedelta(days=10)


async def test_a_certificate_that_ends_soon_is_told(secured, bench) -> None:  # type: ignore[no-untyped-def]
    """The text says whose it is and how many days are left; so does the state message."""
    await secured.start(days=12.5)
    async with bench(secured.url, ca_file=str(secured.authority.file)) as b:
        await b.until_state("online")
        assert "the broker's ends in 12 days" in b.uplink.status.text
        tls = Tls(str(secured.authority.file))
        async with connected(
            "127.0.0.1", secured.port, client_id="ear", tls=tls, incoming_bytes_max=100_000
        ) as ear:
            await ear.subscribe(f"{b.prefix}/state")
            message = await anext(ear.messages())
            assert b'"broker":{"until":"' in message.payload
            assert b'"days":12}' in message.payload


async def test_a_brokers_new_certificate_is_noticed_while_connected(secured) -> None:  # type: ignore[no-untyped-def]
    """What the broker shows to others by now counts, not what the connection began with."""
    await secured.start(days=300)
    config = UplinkConfig(id="noc", url=secured.url, ca_file=str(secured.authority.file))
    expiries = Expiries(config)
    expiries.saw(utc_now() + timedelta(days=3))
    assert ending(expiries.known, utc_now())
    await expiries.look()
    assert ending(expiries.known, utc_now()) == []


async def test_failed_handshakes_leave_no_sockets(secured) -> None:  # type: ignore[no-untyped-def]
    """A socket whose handshake failed is closed at once, not when memory is tidied up."""
    await secured.start(hosts=("192.0.2.1",))
    tls = Tls(str(secured.authority.file))
    await trouble(secured.port, tls)
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            await trouble(secured.port, tls)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("plane", ["json", "sparkplug"])
async def test_a_station_raises_the_alarm_of_a_certificate(  # type: ignore[no-untyped-def]
    secured, tmp_path, quiet_text, plane
) -> None:
    """The whole gateway, on either plane, is online through TLS and alarms of ten days left."""
    await secured.start(days=10.5)
    text = f"""{quiet_text}
[[uplink]]
id = "noc"
url = "{secured.url}"
plane = "{plane}"
ca_file = "{secured.authority.file}"

[[alarm]]
id = "certificate-ending"
text = "A certificate ends"
action = "Get a new one."
priority = "minor"
gateway = "certificate"
"""
    async with running_station(tmp_path, text) as station:
        await station.until(lambda live: live["uplinks"]["noc"]["state"] == "online")
        await station.until(lambda live: live["alarms"])
        page = await station.ask("live")
        row = page["uplinks"]["noc"]
        assert row["certificates"]["broker"]["days"] == 10
        assert "the broker's ends in 10 days" in row["text"]
        assert [alarm["id"] for alarm in page["alarms"]] == ["certificate-ending"]
        await station.stop()
