"""No test reaches another machine."""

import socket
import subprocess
import sys
import urllib.request

import pytest

from clone import OFFLINE


def test_test_that_reaches_for_another_machine_fails():
    for address in (("192.0.2.1", 80), ("example.org", 443)):
        with pytest.raises(OSError, match=f"a test must not reach {address[0]}"):
            socket.create_connection(address, timeout=5)
    with pytest.raises(OSError, match="must not reach"):
        urllib.request.urlopen("https://example.org")


def test_own_machine_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_process_that_a_test_starts_is_kept_off_and_tells(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))
    monkeypatch.setenv("CAMLOC_CONNECTIONS", str(tmp_path / "tried"))
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = subprocess.run([sys.executable, "-c", reach], capture_output=True, text=True)
    assert "a test must not reach 192.0.2.1" in done.stderr
    assert (tmp_path / "tried").read_text() == "192.0.2.1\n"
