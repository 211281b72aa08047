"""What Ray's head knows: which nodes are there, and how the run ended. The one place that asks it.

Through Ray's own client of that service, not through a driver: a launcher only looks on, and needs no worker of its own.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from visual_erm.training.ray_internals import gcs_client

ASK_S = 3.0
"""For one answer."""
NAMESPACE, VERDICT, TROUBLE = b"visual-erm", b"verdict", b"trouble"


class Unreachable(Exception):
    """The head does not answer."""


class WrongToken(Exception):
    """The head has another token."""


@dataclass(frozen=True)
class Node:
    """One node of the cluster, as it was when it joined."""

    name: str
    alive: bool
    gpus: float
    address: str
    port: int

    def answers(self) -> bool:
        """Whether something still listens there: a node that is lost counts as alive for some time."""
        return listens(self.address, self.port)


def listens(host: str, port: int) -> bool:
    """Whether a connection to that port is accepted."""
    try:
        with socket.create_connection((host, port), ASK_S):
            return True
    except OSError:
        return False


class Cluster:
    """A connection to the head at `address`, made with the token in this process's environment.

    Every call raises Unreachable when there is no answer; making it, WrongToken as well.
    """

    def __init__(self, address: str) -> None:
        from ray.exceptions import AuthenticationError, RpcError

        self._failures = RpcError
        host, _, port = address.rpartition(":")
        # Ray's client tries for most of a minute, and says so in the log.
        if not listens(host, int(port)):
            raise Unreachable
        try:
            self._client = gcs_client(address)
        except AuthenticationError as error:
            raise WrongToken from error
        except RpcError as error:
            raise Unreachable from error

    def nodes(self) -> list[Node]:
        """All that ever joined, in no order."""
        try:
            found = self._client.get_all_node_info(timeout=ASK_S).values()
        except self._failures as error:
            raise Unreachable from error
        return [
            Node(
                name=node.node_name,
                alive=node.state == 0,
                gpus=dict(node.resources_total).get("GPU", 0.0),
                address=node.node_manager_address,
                port=node.node_manager_port,
            )
            for node in found
        ]

    def verdict(self) -> int | None:
        """The exit code that the head ends with; None while the run goes on."""
        found = self._get(VERDICT)
        return None if found is None else int(found)

    def give_verdict(self, code: int) -> None:
        """Tells the workers how the run ended."""
        self._put(VERDICT, str(code))

    def trouble(self) -> str | None:
        """Why a worker cannot join, if one said so."""
        return self._get(TROUBLE)

    def tell_trouble(self, why: str) -> None:
        """Tells the head that this worker cannot join."""
        self._put(TROUBLE, why)

    def _get(self, key: bytes) -> str | None:
        try:
            found = self._client.internal_kv_get(key, NAMESPACE, ASK_S)
        except self._failures as error:
            raise Unreachable from error
        return None if found is None else found.decode()

    def _put(self, key: bytes, value: str) -> None:
        try:
            self._client.internal_kv_put(key, value.encode(), True, NAMESPACE, ASK_S)
        except self._failures as error:
            raise Unreachable from error
