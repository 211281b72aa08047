"""The head: starts Ray, waits until every node is there, trains, and tells the others how it ended.

    Ray here --all nodes, with GPUs--> training --its exit code, a lost node, a signal--> exit code --all have left--> end

veRL waits for ever for a node that is gone; here it is missed, and named.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType

from visual_erm.errors import ConfigError, RunInterrupted, VisualERMError
from visual_erm.launch.cluster import Cluster, Node, Unreachable
from visual_erm.launch.commands import LaunchSettings, training
from visual_erm.launch.node import (
    LOG_INTERVAL_S,
    LOST_TIMEOUT_S,
    POLL_S,
    Ray,
    environment,
    node_label,
    node_name,
    own_address,
    rank_of,
    resolve_address,
)
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology
from visual_erm.runtime.guarded_process import GuardedProcess
from visual_erm.training.stop_callback import request_stop

log = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0
"""Seconds that Ray has to start on this node."""
TRAINING_GRACE_S = 25.0
"""Seconds that the training has to end by itself. It gives its own processes 20 s."""
LEAVE_TIMEOUT_S = 20.0
"""Seconds that the workers have to leave after they got the exit code."""


class NodesMissing(VisualERMError):
    """Not every node joined within the time allowed."""


class RayFailed(VisualERMError):
    """Ray did not start on the head, or ended while the run went on."""


def run_head(recipe: Recipe, topology: Topology, settings: LaunchSettings, token: str | None) -> int:
    """Runs the head, from the start of Ray to the end of the last node. The workers end with the same exit code.

    Args:
        recipe: What is to be run.
        topology: This node's place, with rank 0.
        settings: Ports, addresses and time limits.
        token: Ray's token. None: the environment has it.

    Returns:
        The exit code of the training.

    Raises:
        ConfigError: A node is not what the recipe needs, or the port is taken.
        NodesMissing: Not every node joined in time.
        RayFailed: Ray did not start on the head, or ended.
        RunInterrupted: A node was lost, or the run was asked to stop before the training began.
        SystemExit: A signal ended this process.
    """
    ip = resolve_address(topology.head or "127.0.0.1")
    _check_port(settings.port)
    environ = environment(token)
    # For this process's own connection.
    os.environ.update({name: environ[name] for name in environ if name.startswith("RAY_AUTH")})
    own = own_address(ip, 0)
    address = f"{own or '127.0.0.1'}:{settings.port}"
    stop = _StopSignal(recipe)
    ray = Ray(recipe, topology, settings, own, environ)
    try:
        cluster = _start_cluster(address, ray)
        code = 1
        try:
            _wait_for_nodes(cluster, ray, recipe, topology, settings.join_s)
            stop.check()
            code = _train(cluster, ray, training(recipe, settings, address), environ)
        except RunInterrupted:
            code = 3
            raise
        except ConfigError:
            code = 2
            raise
        except SystemExit as signalled:
            code = int(str(signalled.code))
            raise
        finally:
            with contextlib.suppress(Unreachable):
                cluster.set_exit_code(code)
                _wait_for_workers_to_leave(cluster, topology)
        return code
    finally:
        ray.end()


class _StopSignal:
    """Handles SIGUSR1, by which a scheduler says that time is nearly up: the step under way is saved, and the run ends."""

    def __init__(self, recipe: Recipe) -> None:
        self._run_dir = recipe.run_dir
        self._received = False
        signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        request_stop(self._run_dir)
        log.warning("asked to stop: the step under way is finished and saved first")

    def check(self) -> None:
        """Raises RunInterrupted when the signal came before there was anything to save."""
        if self._received:
            raise RunInterrupted("asked to stop before the training began")


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ConfigError(f"port {port}: {error.strerror}; give another RAY_PORT=…, the same on every node") from error


def _start_cluster(address: str, ray: Ray) -> Cluster:
    """Connects to the cluster, once Ray is up on this node."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        _check_ray(ray, up=False)
        with contextlib.suppress(Unreachable):
            return Cluster(address)
        time.sleep(POLL_S)
    raise RayFailed(f"Ray did not start within {START_TIMEOUT_S:g} s; its last output:\n{ray.output()}")


def _check_ray(ray: Ray, up: bool = True) -> None:
    if (output := ray.ended(up)) is not None:
        raise RayFailed(f"Ray ended on the head; its last output:\n{output}")


def _wait_for_nodes(cluster: Cluster, ray: Ray, recipe: Recipe, topology: Topology, unavailable_timeout_s: float) -> None:
    """Returns once every node is there with its GPUs."""
    began = logged_at = time.monotonic()
    before = 0
    while True:
        _check_ray(ray)
        with contextlib.suppress(Unreachable):
            if reason := cluster.join_failure():
                raise NodesMissing(reason)
            nodes = [node for node in cluster.nodes() if node.alive]
            missing = check_nodes(nodes, recipe, topology)
            now = time.monotonic()
            if len(nodes) != before or now - logged_at > LOG_INTERVAL_S:
                before, logged_at = len(nodes), now
                waiting = f"; waiting for {', '.join(missing)}" if missing else ""
                log.info("%d of %d nodes are there after %.0f s%s", len(nodes), recipe.nodes, now - began, waiting)
            if not missing:
                return
            if now - began > unavailable_timeout_s:
                raise NodesMissing(
                    f"not there within {unavailable_timeout_s:g} s: {', '.join(missing)}; look at their logs"
                )
        time.sleep(POLL_S)


def check_nodes(nodes: Sequence[Node], recipe: Recipe, topology: Topology) -> list[str]:
    """Checks the nodes that have joined.

    Args:
        nodes: The nodes that are alive.
        recipe: The number of nodes, and the GPUs that each must have.
        topology: Names of the nodes by rank, where the scheduler knows them.

    Returns:
        Names of the nodes that are missing.

    Raises:
        ConfigError: A node has too few GPUs, the rank of another one, or does not belong to the run.
    """
    by_rank: dict[int, Node] = {}
    for node in nodes:
        rank = rank_of(node.name)
        if rank is None or rank >= recipe.nodes:
            raise ConfigError(
                f"{node.name} joined, which is none of the run's {recipe.nodes} nodes; give another RAY_PORT=…"
            )
        if rank in by_rank:
            raise ConfigError(f"rank {rank} joined twice: {by_rank[rank].name} and {node.name}; check NODE_RANK")
        if node.gpus < recipe.gpus:
            raise ConfigError(
                f"{node_label(node.name)} has {node.gpus:g} GPUs, and the recipe needs {recipe.gpus} of each node; "
                "give trainer.n_gpus_per_node=… or look at that node"
            )
        by_rank[rank] = node
    names = dict(enumerate(topology.hosts))
    return [
        node_label(node_name(rank, names[rank])) if rank in names else f"rank {rank}"
        for rank in range(recipe.nodes)
        if rank not in by_rank
    ]


def _train(cluster: Cluster, ray: Ray, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs the training while every node stays."""
    child = GuardedProcess(command, {**environ, "PYTHONUNBUFFERED": "1"}, TRAINING_GRACE_S)
    try:
        last_answer_at = time.monotonic()
        while (code := child.poll()) is None:
            _check_ray(ray)
            try:
                _check_lost(node for node in cluster.nodes() if not node.alive)
                last_answer_at = time.monotonic()
            except Unreachable:
                if time.monotonic() - last_answer_at > LOST_TIMEOUT_S:
                    raise RayFailed(f"Ray's head does not answer any more, for {LOST_TIMEOUT_S:g} s") from None
            time.sleep(POLL_S)
        if code == 1:
            # It may have failed because a node did.
            with contextlib.suppress(Unreachable):
                _check_lost(node for node in cluster.nodes() if not (node.alive and node.answers()))
        return code
    finally:
        child.end()


def _check_lost(lost: Iterable[Node]) -> None:
    if names := sorted(node_label(node.name) for node in lost):
        raise RunInterrupted(f"lost {', '.join(names)}; the same command goes on from the last checkpoint")


def _wait_for_workers_to_leave(cluster: Cluster, topology: Topology) -> None:
    """Waits until no worker is left, for `LEAVE_TIMEOUT_S` at most."""
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while time.monotonic() < deadline:
        if not [node for node in cluster.nodes() if node.alive and rank_of(node.name)]:
            return
        time.sleep(POLL_S / 4)
