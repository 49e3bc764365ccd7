"""plug.py: why a port does not open, and whether it is the same one."""

import os

from shorewatch.plug import identity, is_simulated, why_closed


def test_what_stands_in_the_way_is_told(tmp_path):
    """Nothing there, no serial port, and a port that somebody holds have words of their own."""
    (tmp_path / "file").write_text("")
    near, far = os.openpty()
    try:
        assert "is the board plugged in?" in why_closed(str(tmp_path / "x"), "the board")
        assert why_closed(str(tmp_path / "file"), "it") == "it is no serial port"
        assert "another program holds it" in why_closed(os.ttyname(far), "it")
    finally:
        os.close(near)
        os.close(far)


def test_a_port_that_is_another_device_has_another_identity(tmp_path):
    """The same path is the same port only while it leads to the same device."""
    port = tmp_path / "port"
    assert identity(str(port)) is None
    port.symlink_to("/dev/null")
    null = identity(str(port))
    assert identity(str(port)) == null
    port.unlink()
    port.symlink_to("/dev/zero")
    assert identity(str(port)) not in (None, null)


def test_a_pseudo_terminal_is_told_from_other_devices(tmp_path):
    """What keeps no parity is known by its device number, also behind a link; a file is none."""
    near, far = os.openpty()
    try:
        (tmp_path / "link").symlink_to(os.ttyname(far))
        assert is_simulated(str(tmp_path / "link"))
        assert not is_simulated("/dev/null") and not is_simulated(str(tmp_path / "none"))
    finally:
        os.close(near)
        os.close(far)
