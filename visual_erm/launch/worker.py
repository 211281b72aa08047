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
from visual_erm.launch.commands import Settings
from visual_erm.launch.node import (
    LOST_S,
    NOTICE_S,
    POLL_S,
    Ray,
    described,
    environment,
    host,
    node_name,
    own_address,
    resolved,
)
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology

log = logging.getLogger(__name__)


class HeadMissing(VisualERMError):
    """The head did not start within the time allowed."""


class RayDied(VisualERMError):
    """Ray did not start on this node, or its processes ended while the run went on."""


def run_worker(recipe: Recipe, topology: Topology, settings: Settings, token_file: Path | None) -> int:
    """This node's part in the run, from waiting for the head to the head's verdict, which is returned.

    Raises RunInterrupted when the head is lost, HeadMissing when it never came, RayDied.
    """
    head = resolved(str(topology.head))
    topology = dataclasses.replace(topology, head=head)
    cluster = _found(f"{head}:{settings.port}", settings.join_s, token_file)
    ray = Ray(recipe, topology, settings, own_address(head, topology.rank), environment(None))
    name = node_name(topology.rank, host())
    log.info("the head at %s is up; joining as %s", head, name)
    joined = False
    try:
        heard = time.monotonic()
        while True:
            try:
                joined = joined or any(node.name == name for node in cluster.nodes())
                verdict = cluster.verdict()
                heard = time.monotonic()
                if verdict is not None:
                    log.info("the head has ended the run with exit code %d", verdict)
                    return verdict
            except Unreachable:
                if time.monotonic() - heard > LOST_S:
                    raise RunInterrupted(f"the head at {head} is lost: no answer for {LOST_S:g} s") from None
            if (said := ray.ended(up=joined)) is not None:
                why = f"Ray ended on {described(name)}; it said last: {said}"
                with contextlib.suppress(Unreachable):
                    cluster.tell_trouble(why)
                raise RayDied(why)
            time.sleep(POLL_S)
    finally:
        ray.end()


def _found(address: str, unavailable_timeout_s: float, token_file: Path | None) -> Cluster:
    """The head's cluster, once it is there and the token is this start's."""
    began = noticed = time.monotonic()
    trouble = "it does not answer"
    while time.monotonic() - began < unavailable_timeout_s:
        try:
            if token_file:
                os.environ["RAY_AUTH_TOKEN"] = token.read(token_file) or ""
            if os.environ.get("RAY_AUTH_TOKEN") or not token_file:
                return Cluster(address)
            trouble = f"there is no {token_file}, which it writes: is that on a file system that all nodes share?"
        except Unreachable:
            trouble = "it does not answer"
        except WrongToken:
            trouble = f"its token is not the one in {token_file or 'this environment'}"
        if time.monotonic() - noticed > NOTICE_S:
            noticed = time.monotonic()
            log.info("waiting for the head at %s for %.0f s: %s", address, noticed - began, trouble)
        time.sleep(POLL_S)
    raise HeadMissing(f"no head at {address} within {unavailable_timeout_s:g} s: {trouble}")
