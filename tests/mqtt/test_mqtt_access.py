"""access.py: what a real mosquitto lets through by these rules, and what it refuses."""

import asyncio
import os
import subprocess
import sys

import pytest
from programs import need

from shorewatch.config import Station, load_station
from shorewatch.errors import UsageError
from shorewatch.mqtt.access import access_rules, broker_conf, broker_users, find_uplinks
from shorewatch.mqtt.client import connected
from shorewatch.mqtt.topics import ROOT

UPLINK = """
user = "gateway"
password_file = "/etc/shorewatch/gateway.password"

[[uplink.requester]]
id = "noc"
key_file = "/etc/shorewatch/noc.key"

[[uplink.requester]]
id = "shift"
key_file = "/etc/shorewatch/shift.key"
"""
HERE = f"{ROOT}/trans-caspian/sumqayit"
ELSEWHERE = f"{ROOT}/trans-caspian/aktau"
PUBLISHED = ("state", "birth/pfe", "now/pfe", "alarms", "alarm/lid", "journal")
TOPICS = [
    *(f"{HERE}/{topic}" for topic in PUBLISHED),
    *(f"{HERE}/{kind}/{name}" for kind in ("ack", "request") for name in ("noc", "owner", "shift")),
    *(f"{HERE}/reply/{name}/request-1{more}" for name in ("noc", "owner", "shift")
      for more in ("", "/records")),
    f"{HERE}/state/more", f"{HERE}/birth/pfe/more", f"{HERE}/other",
    f"{ELSEWHERE}/state", f"{ELSEWHERE}/request/noc", f"{ELSEWHERE}/ack/noc", "other",
]  # fmt: skip


def here(*topics: str) -> set[str]:
    return {f"{HERE}/{topic}" for topic in topics}


READS = {
    "gateway": here("state", "ack/noc", "ack/owner", "ack/shift")
    | here("request/noc", "request/owner", "request/shift"),
    "noc": here(*PUBLISHED, "ack/noc", "reply/noc/request-1", "reply/noc/request-1/records"),
    "owner": here(*PUBLISHED, "ack/owner"),
    "shift": here(*PUBLISHED, "reply/shift/request-1", "reply/shift/request-1/records"),
    "wall": here(*PUBLISHED),
    "stranger": set(),
}
WRITES = {
    "gateway": here(*PUBLISHED) | {t for t in TOPICS if t.startswith(f"{HERE}/reply/")},
    "noc": here("ack/noc", "request/noc"),
    "owner": here("ack/owner"),
    "shift": here("request/shift"),
    "wall": set(),
    "stranger": set(),
}
CHIEF = "\nuser chief\ntopic readwrite #\n"


@pytest.fixture
def guarded_station(write, station_text) -> Station:  # type: ignore[no-untyped-def]
    consumers = 'consumers = ["noc"]\n'
    assert consumers in station_text
    text = station_text.replace(consumers, 'consumers = ["noc", "owner"]\n' + UPLINK, 1)
    return load_station(write("guarded.toml", text))


@pytest.fixture
async def ruled(guarded, guarded_station):  # type: ignore[no-untyped-def]
    """A mosquitto with the rules of a station, and users who all have the password `secret`."""
    guarded.folder.mkdir()
    passwords = guarded.folder / "users"
    passwords.touch()
    for user in (*READS, "chief"):
        command = [need("mosquitto_passwd"), "-b", str(passwords), user, "secret"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # noqa: ASYNC221
    rules = access_rules(find_uplinks([guarded_station], None), ["wall"])
    await guarded.start(rules + CHIEF, f"password_file {passwords}\n")
    return guarded


def entered(port: int, user: str):  # type: ignore[no-untyped-def]
    return connected(
        "127.0.0.1", port, client_id=f"{user}-{os.urandom(4).hex()}", login=(user, "secret")
    )


@pytest.mark.parametrize("user", WRITES)
async def test_each_may_write_its_own_and_nothing_else(ruled, user) -> None:  # type: ignore[no-untyped-def]
    """A publish that the rules do not name is refused as not authorised, any other is taken."""
    async with entered(ruled.port, user) as connection:
        codes = {topic: await connection.publish(topic, b"x", qos=1) for topic in TOPICS}

    assert {topic for topic, code in codes.items() if code < 0x80} == WRITES[user]
    assert {code for topic, code in codes.items() if topic not in WRITES[user]} == {0x87}


@pytest.mark.parametrize("user", READS)
async def test_each_hears_what_it_may_and_nothing_else(ruled, user, until) -> None:  # type: ignore[no-untyped-def]
    """Of everything that is said, a user who asks for all hears what the rules name."""
    heard: list[str] = []

    async def hear() -> None:
        async for message in connection.messages():
            heard.append(message.topic)  # noqa: PERF401 (it never ends)

    async with entered(ruled.port, user) as connection, entered(ruled.port, "chief") as chief:
        await connection.subscribe("#")
        hearing = asyncio.create_task(hear())
        for topic in TOPICS:
            await chief.publish(topic, b"x", qos=1)
        # What one connection sends comes in its order: after this, all the rest has come.
        last = min(READS[user], default=None)
        if last is not None:
            await chief.publish(last, b"x", qos=1)
            await until(lambda: heard.count(last) == 2)
        else:
            await connection.subscribe("more")  # its answer comes after all that was sent to us
        hearing.cancel()
        await asyncio.wait([hearing])

    assert set(heard) == READS[user]


async def test_a_station_works_by_the_rules(ruled, guarded_station, bench, tmp_path, until) -> None:  # type: ignore[no-untyped-def]
    """The gateway is refused nothing that it publishes or subscribes to, its Will included."""
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    login = {"user": "gateway", "password_file": str(password)}
    requester = [{"id": "noc", "key_file": str(password)}]
    async with (
        entered(ruled.port, "chief") as chief,
        bench(ruled.url, station=guarded_station, requester=requester, **login) as b,
    ):
        await chief.subscribe("#")  # a journal that nobody hears is not taken
        await b.until_state("online")
        b.alarms.become("lid-open", "unacknowledged")
        await b.write(3)
        await until(lambda: b.uplink.status.published >= 3 or b.uplink.refused_topics)
        assert not b.uplink.refused_topics


def openssl(folder, *arguments: str) -> None:  # type: ignore[no-untyped-def]
    command = [need("openssl"), *arguments]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)


async def test_the_sample_configuration_serves_tls_and_users(tmp_path, write, free_port) -> None:  # type: ignore[no-untyped-def]
    """mosquitto takes the sample as it is: who has a password gets in, over TLS alone."""
    folder = tmp_path / "out"
    folder.mkdir()
    openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", "server.key", "-out", "server.crt",
    )  # fmt: skip
    (folder / "ca.crt").write_bytes((folder / "server.crt").read_bytes())
    passwords = folder / "shorewatch.passwords"
    subprocess.run(  # noqa: ASYNC221
        [need("mosquitto_passwd"), "-b", "-c", str(passwords), "chief", "secret"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / "shorewatch.acl").write_text(CHIEF)
    # Started by root, mosquitto would become a user who cannot read a test's folder.
    user = "user root\n" if os.geteuid() == 0 else ""
    conf = write("mosquitto.conf", broker_conf(folder, folder, free_port) + user)

    def publish(*more: str) -> int:
        where = [need("mosquitto_pub"), "-V", "5", "-h", "127.0.0.1", "-p", str(free_port)]
        said = ["-t", "x", "-m", "x", "-q", "1", "--repeat-delay", "0"]
        return subprocess.run([*where, *said, *more], capture_output=True, timeout=30).returncode

    ca = ["--cafile", str(folder / "ca.crt")]
    with subprocess.Popen(  # noqa: ASYNC220
        [need("mosquitto"), "-c", str(conf)], stderr=subprocess.DEVNULL
    ) as broker:
        try:
            for _ in range(200):
                await asyncio.sleep(0.05)
                code = await asyncio.to_thread(publish, *ca, "-u", "chief", "-P", "secret")
                if code == 0:
                    break
            assert code == 0
            assert publish(*ca, "-u", "chief", "-P", "wrong") != 0
            assert publish(*ca) != 0
            assert publish("-u", "chief", "-P", "secret") != 0
        finally:
            broker.terminate()


def test_rules_of_two_stations_stand_in_one_file(write, guarded_station, station_text) -> None:  # type: ignore[no-untyped-def]
    """A consumer of both is named at each station, each gateway at its own alone."""
    other = UPLINK.replace('"gateway"', '"gateway-aktau"')
    text = station_text.replace('consumers = ["noc"]\n', 'consumers = ["noc"]\n' + other, 1)
    aktau = load_station(write("aktau.toml", text.replace('id = "sumqayit"', 'id = "aktau"', 1)))
    uplinks = find_uplinks([guarded_station, aktau], "noc")

    rules = access_rules(uplinks)

    assert rules.count("user noc\n") == 2
    _, _, of_gateway = rules.partition("user gateway-aktau\n")
    assert f"topic write {ELSEWHERE}/state\n" in of_gateway.partition("user ")[0]
    of_gateway = of_gateway.partition("user ")[0]
    assert f"topic read {HERE}/now/pfe\n" in of_gateway and of_gateway.count(HERE) == 1
    assert broker_users(uplinks, []) == ["gateway", "gateway-aktau", "noc", "owner", "shift"]


@pytest.mark.parametrize(
    ("uplink", "dashboards", "said"),
    [
        ("", [], "has no user"),
        ('user = "noc"\n', [], "is two of"),
        ('user = "g"\n', ["noc"], "is two of"),
        ('user = "g"\n', ["g"], "is two of"),
        ('user = "g h"\n', [], "cannot stand"),
        ('user = "g"\n', ["#"], "cannot stand"),
    ],
)
def test_a_name_has_one_meaning(write, station_text, uplink, dashboards, said) -> None:  # type: ignore[no-untyped-def]
    """A gateway without a user, and a user who would be two things, are refused."""
    text = station_text.replace('consumers = ["noc"]\n', 'consumers = ["noc"]\n' + uplink, 1)
    uplinks = find_uplinks([load_station(write("s.toml", text))], None)

    with pytest.raises(UsageError, match=said):
        access_rules(uplinks, dashboards)


def test_two_stations_are_two_users(guarded_station) -> None:  # type: ignore[no-untyped-def]
    """Two gateways with one user could speak for each other: that is refused."""
    with pytest.raises(UsageError, match="another station's"):
        access_rules(find_uplinks([guarded_station, guarded_station], None))


def test_the_broker_of_a_station_must_be_clear(guarded_station) -> None:  # type: ignore[no-untyped-def]
    """A station without the uplink that was named is refused with those it has."""
    with pytest.raises(UsageError, match="it has noc"):
        find_uplinks([guarded_station], "owner")


def test_the_command_writes_both_files(tmp_path, guarded_station) -> None:  # type: ignore[no-untyped-def]
    """`shorewatch broker-rules` writes rules and configuration, and says whom to give passwords."""
    out = tmp_path / "made" / "rules"
    command = [sys.executable, "-m", "shorewatch", "broker-rules", guarded_station.source.path]
    done = subprocess.run(
        [*command, "--out", str(out), "--dashboard", "wall"], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "topic write" in (out / "shorewatch.acl").read_text()
    assert f"acl_file {out}/shorewatch.acl\n" in (out / "shorewatch.conf").read_text()
    for user in ("gateway", "noc", "owner", "shift", "wall"):
        assert f"mosquitto_passwd {out}/shorewatch.passwords {user}\n" in done.stdout


SPARKPLUG = """
[[uplink]]
id = "scada"
url = "mqtt://127.0.0.1:18831"
plane = "sparkplug"
primary_host = "ignition"
user = "node"
password_file = "/etc/shorewatch/node.password"
"""
GROUP = "spBv1.0/trans-caspian"
BORN = [f"{GROUP}/{kind}/sumqayit" for kind in ("NBIRTH", "NDATA", "NDEATH")]
BORN += [f"{GROUP}/{kind}/sumqayit/pfe" for kind in ("DBIRTH", "DDATA", "DDEATH")]
TOLD = [f"{GROUP}/NCMD/sumqayit", f"{GROUP}/DCMD/sumqayit/pfe"]
STATE = "spBv1.0/STATE/ignition"
ELSE = [topic.replace("sumqayit", "aktau") for topic in (*BORN, *TOLD)]
ELSE += ["spBv1.0/STATE/other", f"{GROUP}/NBIRTH/sumqayit/pfe", f"{HERE}/state"]
MAY_WRITE = {"node": set(BORN), "ignition": {*TOLD, STATE}, "wall": set()}


@pytest.mark.parametrize("user", MAY_WRITE)
async def test_an_edge_node_and_its_host_have_rules_too(guarded, write, station_text, user) -> None:  # type: ignore[no-untyped-def]
    """Each writes its own messages of the Sparkplug plane, and none for another node or host."""
    station = load_station(write("node.toml", station_text + SPARKPLUG))
    guarded.folder.mkdir()
    passwords = guarded.folder / "users"
    passwords.touch()
    command = [need("mosquitto_passwd"), "-b", str(passwords), user, "secret"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # noqa: ASYNC221
    rules = access_rules(find_uplinks([station], "scada"), ["wall"])
    await guarded.start(rules, f"password_file {passwords}\n")
    async with entered(guarded.port, user) as connection:
        topics = [*BORN, *TOLD, STATE, *ELSE]
        codes = {topic: await connection.publish(topic, b"x", qos=1) for topic in topics}
    assert {topic for topic, code in codes.items() if code < 0x80} == MAY_WRITE[user]


def test_who_hears_the_sparkplug_plane(write, station_text) -> None:  # type: ignore[no-untyped-def]
    """The node its commands and its host's STATE, the host and dashboards what the node says."""
    station = load_station(write("node.toml", station_text + SPARKPLUG))
    uplinks = find_uplinks([station], "scada")
    assert broker_users(uplinks, ["wall"]) == ["node", "ignition", "wall"]
    heard: dict[str, list[str]] = {}
    for line in access_rules(uplinks, ["wall"]).splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "user":
            user = heard.setdefault(rest, [])
        elif verb == "topic" and rest.startswith("read"):
            user.append(rest.partition(" ")[2])
    said = [topic.replace("/pfe", "/+") for topic in BORN]
    told = [topic.replace("/pfe", "/+") for topic in TOLD]
    assert heard == {"node": [*told, STATE], "ignition": [*said, STATE], "wall": said}
