"""watch.py: what the command line may ask for."""

from pathlib import Path

import pytest

from shorewatch.errors import SecretError, UsageError
from shorewatch.mqtt.tls import Tls
from shorewatch.watch import Options, run_watch

NOWHERE = "mqtt://127.0.0.1:1"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(from_first=True), "--from-first asks stations for a replay"),
        (Options(identity="noc"), "--identity and --key-file belong together"),
        (Options(key_file="/x"), "--identity and --key-file belong together"),
        (Options(password_file="/x"), "--password-file needs the --user"),
        (Options(tls=Tls(cert_file="/c")), "--cert-file and --cert-key-file belong together"),
        (Options(tls=Tls(ca_file="/c")), "belong to mqtts://"),
        (Options(jsonl="x", account=Path("y")), "stands beside --jsonl"),
    ],
)
async def test_options_that_make_no_sense_together_are_refused(options: Options, text: str) -> None:
    """Each says which option, and what to give instead, before anything is opened."""
    with pytest.raises(UsageError, match=text):
        await run_watch(NOWHERE, options)


async def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    """The key of an identity is a secret, as every other."""
    path = tmp_path / "key"
    path.write_text("k" * 32)
    path.chmod(0o644)
    with pytest.raises(SecretError, match="everybody"):
        await run_watch(NOWHERE, Options(identity="noc", key_file=str(path)))


async def test_a_run_without_a_broker_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing received there is a fault, and no account that all is well."""
    outcome = await run_watch(NOWHERE, Options(seconds=0.01, verify=True, json=tmp_path / "a"))

    assert (outcome.is_online, outcome.fault) == (
        False, "no record came: nothing is shown to be whole",
    )  # fmt: skip
    assert b'"ok":false' in (tmp_path / "a").read_bytes()
    assert "no record came" in capsys.readouterr().out


async def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """A file that cannot be written is named, with the reason."""
    with pytest.raises(UsageError, match="cannot be written"):
        await run_watch(NOWHERE, Options(jsonl=str(tmp_path / "none" / "x.jsonl")))
