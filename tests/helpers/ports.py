"""Ports for servers that are started a moment later.

One that the kernel picks (port 0) comes from the range of outgoing connections, and until its server listens any process
may get it for one of those. These lie below that range, and no two test workers share any.
"""

import os
import random
import socket
from collections.abc import Iterator

FIRST, BEYOND = 20_000, 30_000
"""Below /proc/sys/net/ipv4/ip_local_port_range, above the ports of Ray's workers."""


def free_port() -> int:
    """A port that nothing listens on, and that this process was never given before."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many in a row."""
    row: list[int] = []
    while len(row) < count:
        port = next(_ports, None)
        assert port, "all ports were given"
        if row and port != row[-1] + 1:
            row = []
        row = [*row, port] if _is_free(port) else []
    return row[0]


def _all_of_this_worker() -> Iterator[int]:
    """Each once, from somewhere on: other test runs on this machine begin elsewhere."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (BEYOND - FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    start = random.SystemRandom().randrange(share)
    return (FIRST + worker * share + (start + number) % share for number in range(share))


_ports = _all_of_this_worker()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            # Nor on any one address of this machine.
            probe.bind(("", port))
        except OSError:
            return False
        return True
