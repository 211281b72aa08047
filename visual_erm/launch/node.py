"""What head and worker have in common: the node's name and address, its environment, and Ray's process on it."""

from __future__ import annotations

import functools
import logging
import os
import socket
import tempfile
from collections.abc import Mapping

from visual_erm.errors import ConfigError
from visual_erm.launch.commands import LaunchSettings, ray_start
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology
from visual_erm.runtime.guarded_process import GuardedProcess

POLL_S = 1.0
"""Seconds between two looks at processes and nodes."""
LOG_INTERVAL_S = 30.0
"""Seconds between two log lines about what this node waits for."""
LOST_TIMEOUT_S = 30.0
"""Seconds without an answer after which the head is lost."""
GRACE_S = 8.0
"""Seconds that Ray has to end by itself."""
MAX_STARTS = 3
"""How often Ray is started on one node: on a busy machine it may not be up within its own limit of 30 s."""

log = logging.getLogger(__name__)


def host() -> str:
    """Returns the name that the scheduler gives this node, or else its host name."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def node_name(rank: int, of: str) -> str:
    """Makes a node's name in the cluster; `rank_of` reads the rank back.

    Args:
        rank: The node's rank; 0 is the head.
        of: The node's host name.

    Returns:
        The name, like `rank3-gpu17`.
    """
    return f"rank{rank}-{of}"


def rank_of(name: str) -> int | None:
    """Reads the rank out of a node's name in the cluster.

    >>> rank_of("rank3-gpu17"), rank_of("10.0.0.1")
    (3, None)

    Args:
        name: The name.

    Returns:
        The rank; None where the name has none.
    """
    rank, found, _ = name.removeprefix("rank").partition("-")
    return int(rank) if name.startswith("rank") and found and rank.isdigit() else None


def node_label(name: str) -> str:
    """Writes a node's name in the cluster for people.

    >>> node_label("rank3-gpu17")
    'gpu17 (rank 3)'

    Args:
        name: The name in the cluster.

    Returns:
        Its host name and rank.
    """
    return f"{name.partition('-')[2]} (rank {rank_of(name)})"


def resolve_address(head: str) -> str:
    """Looks up the head's address.

    Args:
        head: Name or address of the head.

    Returns:
        Its IPv4 address.

    Raises:
        ConfigError: The name is not known here.
    """
    try:
        return socket.gethostbyname(head)
    except OSError as error:
        raise ConfigError(f"the head's address `{head}` (MASTER_ADDR): {error}") from error


def own_address(head: str, rank: int) -> str | None:
    """Finds this node's address in the head's network.

    A machine may have several networks, and Ray on its own takes the one that leads to the internet.

    Args:
        head: IPv4 address of the head.
        rank: This node's rank; 0 is the head.

    Returns:
        The address; None where Ray may choose it.
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
    """Returns a port that no process listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def environment(token: str | None) -> dict[str, str]:
    """Makes the environment of this node's processes: this process's own, with a short TMPDIR.

    Args:
        token: Ray's token. None: it is in the environment, or none is used.

    Returns:
        The whole environment.
    """
    # Ray's sockets live there, and a socket's path may have 107 bytes.
    temporary = tempfile.gettempdir()
    own = {"TMPDIR": temporary if len(temporary) < 24 else "/tmp"}  # noqa: S108
    if token:
        own["RAY_AUTH_TOKEN"] = token
    return {**os.environ, **own}


class Ray:
    """Ray on this node. Where it does not come up it is started again, `MAX_STARTS` times in all.

    Args:
        recipe: What is to be run.
        topology: This node's rank and the head's address.
        settings: Ports and addresses of the cluster.
        own: This node's address. None: Ray chooses it.
        environ: Ray's whole environment.
    """

    def __init__(
        self, recipe: Recipe, topology: Topology, settings: LaunchSettings, own: str | None, environ: Mapping[str, str]
    ) -> None:
        self._environ = environ
        self._command = functools.partial(ray_start, recipe, topology, settings, node_name(topology.rank, host()), own)
        self._starts_left = MAX_STARTS
        self._child = self._started()

    def ended(self, up: bool) -> str | None:
        """Looks whether Ray has ended. Starts it again, a few times, where it has not come up yet.

        Args:
            up: Whether Ray has come up. Then it is not started again.

        Returns:
            The end of what Ray printed, once it has ended for good; None while it runs or is started again.
        """
        if self._child.poll() is None:
            return None
        output = self._child.output()
        if up or not self._starts_left:
            return output
        log.warning("Ray did not come up here and is started again; its last output: %s", output)
        self._child.end()
        self._child = self._started()
        return None

    def output(self) -> str:
        """Returns the end of what Ray printed."""
        return self._child.output()

    def end(self) -> None:
        """Ends Ray and everything it started."""
        self._child.end()

    def _started(self) -> GuardedProcess:
        self._starts_left -= 1
        return GuardedProcess(["sh", "-c", self._command(free_port())], self._environ, GRACE_S, quiet=True)
