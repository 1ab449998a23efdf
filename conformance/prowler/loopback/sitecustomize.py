"""Keeps a Python program on this machine: Python runs this at its start when the folder is on PYTHONPATH.

What wants to leave is refused, and written down in the file that LOOPBACK_LOG names. Names are refused too: looking one up asks a server.
The file is made at once, so that whoever finds none knows that nothing was watched.
"""

import ipaddress
import os
import socket

_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _stays(host):
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(host):
    if isinstance(host, bytes):
        host = host.decode()
    if not _stays(host):
        with open(os.environ["LOOPBACK_LOG"], "a") as f:
            f.write(f"{host}\n")
        raise OSError(f"{host} is not on this machine")


def _connecting(original):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return original(self, address)

    return connect


def _look_up(host, *args, **kwargs):
    _check(host)
    return _getaddrinfo(host, *args, **kwargs)


if "LOOPBACK_LOG" in os.environ:
    open(os.environ["LOOPBACK_LOG"], "a").close()
    socket.socket.connect, socket.socket.connect_ex = _connecting(_connect), _connecting(_connect_ex)
    socket.getaddrinfo = _look_up
