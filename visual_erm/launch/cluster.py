"""What Ray's head knows: which nodes are there, and how the run ended. The one place that asks it.

Through Ray's own client of that service, not through a driver: a launcher only looks on, and needs no worker of its own.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from visual_erm.training.ray_internals import gcs_client

ANSWER_TIMEOUT_S = 3.0
"""Seconds that Ray's head has for one answer."""
NAMESPACE, EXIT_CODE, JOIN_FAILURE = b"visual-erm", b"exit_code", b"join_failure"


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
        """Tells whether its port still accepts connections: a lost node counts as alive for some time."""
        return listens(self.address, self.port)


def listens(host: str, port: int) -> bool:
    """Tells whether a connection to a port is accepted.

    Args:
        host: Name or address of the machine.
        port: The port.

    Returns:
        False also when there is no answer within `ANSWER_TIMEOUT_S`.
    """
    try:
        with socket.create_connection((host, port), ANSWER_TIMEOUT_S):
            return True
    except OSError:
        return False


class Cluster:
    """A connection to a cluster's head, made with the token in this process's environment.

    Args:
        address: `HOST:PORT` of the head.

    Raises:
        Unreachable: The head does not answer. Every method raises it too.
        WrongToken: The head has another token.
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
        """Lists all nodes that ever joined, in no order."""
        try:
            found = self._client.get_all_node_info(timeout=ANSWER_TIMEOUT_S).values()
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

    def exit_code(self) -> int | None:
        """Reads the exit code that the head ends with; None while the run goes on."""
        found = self._get(EXIT_CODE)
        return None if found is None else int(found)

    def set_exit_code(self, code: int) -> None:
        """Tells the workers how the run ended.

        Args:
            code: The exit code of the head.
        """
        self._put(EXIT_CODE, str(code))

    def join_failure(self) -> str | None:
        """Reads why a worker cannot join; None where none has reported that."""
        return self._get(JOIN_FAILURE)

    def report_join_failure(self, reason: str) -> None:
        """Tells the head that this worker cannot join.

        Args:
            reason: One sentence for the log of the head.
        """
        self._put(JOIN_FAILURE, reason)

    def _get(self, key: bytes) -> str | None:
        try:
            found = self._client.internal_kv_get(key, NAMESPACE, ANSWER_TIMEOUT_S)
        except self._failures as error:
            raise Unreachable from error
        return None if found is None else found.decode()

    def _put(self, key: bytes, value: str) -> None:
        try:
            self._client.internal_kv_put(key, value.encode(), True, NAMESPACE, ANSWER_TIMEOUT_S)
        except self._failures as error:
            raise Unreachable from error
