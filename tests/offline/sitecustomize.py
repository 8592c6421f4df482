"""Keeps a Python from reaching other machines, in a test and in what it starts.

Python runs a module of this name at its start where its folder is on PYTHONPATH. What was tried
stands in the file that CAMLOC_CONNECTIONS names, since a caller may carry on without it.
"""

import ipaddress
import os
import socket

_connect, _look_up = socket.socket.connect, socket.getaddrinfo


def _refuse(host: object) -> None:
    """Raise what a machine without a network would, unless the host is this machine."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return
    try:
        if ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified:
            return
    except ValueError:
        pass
    if path := os.environ.get("CAMLOC_CONNECTIONS"):
        with open(path, "a") as file:  # noqa: PTH123, at the start of every Python
            file.write(f"{host}\n")
    raise socket.gaierror(socket.EAI_NONAME, f"a test must not reach {host}")


def connect(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _refuse(address[0])
    return _connect(self, address)


def look_up(host: object, *options: object, **more: object) -> list:
    _refuse(host)
    return _look_up(host, *options, **more)


socket.socket.connect, socket.getaddrinfo = connect, look_up
