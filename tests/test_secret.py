"""secret.py: secrets from files of one owner, never from the station file, never shown."""

import os
from pathlib import Path

import pytest

from shorewatch.config import load_station
from shorewatch.errors import ConfigError, SecretError
from shorewatch.secret import SIZE_BYTES_MAX, read_secret


@pytest.fixture
def secret(tmp_path: Path):
    def write(data: bytes, mode: int = 0o600) -> str:
        path = tmp_path / "noc.password"
        path.write_bytes(data)
        path.chmod(mode)
        return str(path)

    return write


def test_a_file_holds_it_without_the_line_end(secret):
    """What an editor leaves at the end of the line is no part of the secret."""
    assert read_secret(secret("pass wört\r\n".encode()), None) == "pass wört"


def test_a_credential_is_found_by_its_name(secret):
    """A systemd credential stands below $CREDENTIALS_DIRECTORY under its name."""
    path = Path(secret(b"x1"))

    assert read_secret(None, path.name, {"CREDENTIALS_DIRECTORY": str(path.parent)}) == "x1"


def test_without_systemd_a_credential_is_an_error():
    """Outside a service there are no credentials; the text says both ways out."""
    with pytest.raises(SecretError, match=r"LoadCredential=noc:.*password_file"):
        read_secret(None, "noc", {})


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        (b"x", 0o604, "chmod 600 it"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"\xff", 0o600, "is not UTF-8"),
        (b"x" * (SIZE_BYTES_MAX + 1), 0o600, "the right file"),
    ],
)
def test_what_is_no_secret_is_refused(secret, data, mode, said):
    """Each file that holds no usable secret is refused by a sentence, without its content."""
    with pytest.raises(SecretError, match=said):
        read_secret(secret(data, mode), None)


def test_a_folder_a_pipe_or_nothing_is_refused(tmp_path):
    """A path that names no file is refused with its name, and nobody waits for a pipe's writer."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nowhere"):
        with pytest.raises(SecretError, match=str(path)):
            read_secret(str(path), None)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('password = "hunter2"', "password"),
        ('auth_token = "hunter2"', "auth_token"),
        ('pwd = "hunter2"', "pwd"),
        ('userpass = "hunter2"', "userpass"),
        ('key = "hunter2"', "key"),
    ],
)
def test_a_secret_in_the_station_file_is_refused_and_not_repeated(write, station_text, lines, key):
    """A password in the file is an error that says where it belongs, and does not show it."""
    path = write("s.toml", station_text.replace("[[uplink]]", f"[[uplink]]\n{lines}", 1))

    with pytest.raises(ConfigError, match=r"password_file.*password_credential") as found:
        load_station(path)
    assert found.value.problems[0].key == f"uplink.0.{key}"
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("mqtt://me:hunter2@127.0.0.1", "user or a password"),
        ("mqtt://me:h@hunter2@127.0.0.1", "user or a password"),
        ("mqtt://me:h/hunter2@127.0.0.1", "must look like"),
        ("mqtt://127.0.0.1:1883?password=hunter2", "must look like"),
        ("mqtt://127.0.0.1:1883/#hunter2", "must look like"),
    ],
)
def test_a_login_in_a_url_is_refused_and_not_repeated(write, station_text, url, rule):
    """A user and password anywhere in a broker's url are refused without printing them."""
    text = station_text.replace("mqtt://127.0.0.1:18830", url)

    with pytest.raises(ConfigError, match=rule) as found:
        load_station(write("s.toml", text))
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('password_file = "/etc/p"', "has a password but no user"),
        ('user = "u"\npassword_file = "p"', "whole path"),
        ('user = "u"\npassword_file = "/p"\npassword_credential = "p"', "has two passwords"),
    ],
)
def test_a_login_is_whole_and_one(write, station_text, lines, said):
    """A password has one place, a user, and a path that does not depend on where we run."""
    path = write("s.toml", station_text.replace("[[uplink]]", f"[[uplink]]\n{lines}", 1))

    with pytest.raises(ConfigError, match=said):
        load_station(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "one of key_file and key_credential"),
        ('key_file = "/k"\nkey_credential = "k"', "one of key_file and key_credential"),
        ('key_file = "k"', "whole path"),
        ('key_file = "/k"\nmay = []', "at least 1"),
        ('key_file = "/k"\nmay = ["write"]', "acknowledge"),
        ('key_file = "/k"\n[[uplink.requester]]\nid = "a"\nkey_file = "/k"', "used twice"),
    ],
)
def test_a_requester_has_one_key_and_known_verbs(write, station_text, lines, said):
    """Who may ask has one place for the key, an id of his own, and only what can be asked."""
    table = f'consumers = ["noc"]\n\n[[uplink.requester]]\nid = "a"\n{lines}\n'
    path = write("s.toml", station_text.replace('consumers = ["noc"]\n', table, 1))

    with pytest.raises(ConfigError, match=said):
        load_station(path)
