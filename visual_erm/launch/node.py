"""What head and worker have in common: the node's name and address, its environment, and Ray's process on it."""

from __future__ import annotations

import functools
import logging
import os
import socket
import tempfile
from collections.abc import Mapping

from visual_erm.errors import ConfigError
from visual_erm.launch.commands import Settings, ray_start
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology
from visual_erm.runtime.guarded_process import GuardedProcess

POLL_S = 1.0
"""Between two looks at processes and nodes."""
NOTICE_S = 30.0
"""Between two lines about what is being waited for."""
LOST_S = 30.0
"""Of silence, after which the head is lost."""
GRACE_S = 8.0
"""For Ray to end by itself."""
STARTS = 3
"""Of Ray on one node: on a busy machine it may not be up within the 30 s that it allows itself."""

log = logging.getLogger(__name__)


def host() -> str:
    """What this node is called by its scheduler, or by itself."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def node_name(rank: int, of: str) -> str:
    """A node's name in the cluster; `rank_of` reads it back."""
    return f"rank{rank}-{of}"


def rank_of(name: str) -> int | None:
    """Reads the rank out of a node's name in the cluster; None where it has none.

    >>> rank_of("rank3-gpu17"), rank_of("10.0.0.1")
    (3, None)
    """
    rank, found, _ = name.removeprefix("rank").partition("-")
    return int(rank) if name.startswith("rank") and found and rank.isdigit() else None


def described(name: str) -> str:
    """Says which node a name in the cluster means.

    >>> described("rank3-gpu17")
    'gpu17 (rank 3)'
    """
    return f"{name.partition('-')[2]} (rank {rank_of(name)})"


def resolved(head: str) -> str:
    """The head's address. Raises ConfigError for a name that means nothing here."""
    try:
        return socket.gethostbyname(head)
    except OSError as error:
        raise ConfigError(f"the head's address `{head}` (MASTER_ADDR): {error}") from error


def own_address(head: str, rank: int) -> str | None:
    """This node's address in the network that the head is in; None where Ray's own guess is as good.

    A machine may have several networks, and Ray on its own takes the one that leads to the internet.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            if rank:
                probe.connect((head, 9))
            else:
                # Not so where the head's address is a service's, which leads here.
                probe.bind((head, 0))
            found = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if found.startswith("127.") else found


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def environment(token: str | None) -> dict[str, str]:
    """The environment of this node's processes."""
    # Ray's sockets live there, and a socket's path may have 107 bytes.
    temporary = tempfile.gettempdir()
    ours = {"TMPDIR": temporary if len(temporary) < 24 else "/tmp"}  # noqa: S108
    if token:
        ours["RAY_AUTH_TOKEN"] = token
    return {**os.environ, **ours}


class Ray:
    """Ray on this node. Where it does not come up it is started again, a few times."""

    def __init__(
        self, recipe: Recipe, topology: Topology, settings: Settings, own: str | None, environ: Mapping[str, str]
    ) -> None:
        self._environ = environ
        self._command = functools.partial(ray_start, recipe, topology, settings, node_name(topology.rank, host()), own)
        self._starts = STARTS
        self._child = self._started()

    def ended(self, up: bool) -> str | None:
        """What Ray said last, once it has ended for good; None while it runs, or is started again as it was never `up`."""
        if self._child.poll() is None:
            return None
        said = self._child.said()
        if up or not self._starts:
            return said
        log.warning("Ray did not come up here and is started again; it said last: %s", said)
        self._child.end()
        self._child = self._started()
        return None

    def said(self) -> str:
        """The end of what it said."""
        return self._child.said()

    def end(self) -> None:
        """Ends Ray and everything it started."""
        self._child.end()

    def _started(self) -> GuardedProcess:
        self._starts -= 1
        return GuardedProcess(["sh", "-c", f"exec {self._command(free_port())}"], self._environ, GRACE_S, quiet=True)
