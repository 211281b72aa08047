"""A node that is not the head: waits for the head, belongs to its cluster, and leaves when the head says how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from pathlib import Path

from visual_erm.errors import RunInterrupted, VisualERMError
from visual_erm.launch import token
from visual_erm.launch.cluster import Cluster, Unreachable, WrongToken
from visual_erm.launch.commands import LaunchSettings
from visual_erm.launch.node import (
    LOG_INTERVAL_S,
    LOST_TIMEOUT_S,
    POLL_S,
    Ray,
    environment,
    host,
    node_label,
    node_name,
    own_address,
    resolve_address,
)
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology

log = logging.getLogger(__name__)


class HeadMissing(VisualERMError):
    """The head did not start within the time allowed."""


class RayDied(VisualERMError):
    """Ray did not start on this node, or its processes ended while the run went on."""


def run_worker(recipe: Recipe, topology: Topology, settings: LaunchSettings, token_file: Path | None) -> int:
    """Runs a node that is not the head: waits for the head, joins its cluster, and leaves when the run ends.

    Args:
        recipe: What is to be run.
        topology: This node's rank and the head's address.
        settings: Ports and time limits.
        token_file: File that the head writes the token to. None: the environment has the token.

    Returns:
        The exit code of the head.

    Raises:
        HeadMissing: The head did not start in time.
        RayDied: Ray did not start on this node, or ended.
        RunInterrupted: The head is lost.
    """
    head = resolve_address(str(topology.head))
    topology = dataclasses.replace(topology, head=head)
    cluster = _wait_for_head(f"{head}:{settings.port}", settings.join_s, token_file)
    ray = Ray(recipe, topology, settings, own_address(head, topology.rank), environment(None))
    name = node_name(topology.rank, host())
    log.info("the head at %s is up; joining as %s", head, name)
    joined = False
    try:
        last_answer_at = time.monotonic()
        while True:
            try:
                joined = joined or any(node.name == name for node in cluster.nodes())
                exit_code = cluster.exit_code()
                last_answer_at = time.monotonic()
                if exit_code is not None:
                    log.info("the head has ended the run with exit code %d", exit_code)
                    return exit_code
            except Unreachable:
                if time.monotonic() - last_answer_at > LOST_TIMEOUT_S:
                    raise RunInterrupted(f"the head at {head} is lost: no answer for {LOST_TIMEOUT_S:g} s") from None
            if (output := ray.ended(up=joined)) is not None:
                reason = f"Ray ended on {node_label(name)}; its last output: {output}"
                with contextlib.suppress(Unreachable):
                    cluster.report_join_failure(reason)
                raise RayDied(reason)
            time.sleep(POLL_S)
    finally:
        ray.end()


def _wait_for_head(address: str, unavailable_timeout_s: float, token_file: Path | None) -> Cluster:
    """Connects to the head, once it is up and its token is the one of this start."""
    began = logged_at = time.monotonic()
    problem = "it does not answer"
    while time.monotonic() - began < unavailable_timeout_s:
        try:
            if token_file:
                os.environ["RAY_AUTH_TOKEN"] = token.read(token_file) or ""
            if os.environ.get("RAY_AUTH_TOKEN") or not token_file:
                return Cluster(address)
            problem = f"there is no {token_file}, which it writes: is that on a file system that all nodes share?"
        except Unreachable:
            problem = "it does not answer"
        except WrongToken:
            problem = f"its token is not the one in {token_file or 'this environment'}"
        if time.monotonic() - logged_at > LOG_INTERVAL_S:
            logged_at = time.monotonic()
            log.info("waiting for the head at %s for %.0f s: %s", address, logged_at - began, problem)
        time.sleep(POLL_S)
    raise HeadMissing(f"no head at {address} within {unavailable_timeout_s:g} s: {problem}")
