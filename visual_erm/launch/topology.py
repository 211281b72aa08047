"""Where this process is among the nodes of a run: its rank, how many there are, and which is the head.

A pure function of the environment, whoever wrote it: a person (NODE_RANK, NNODES, MASTER_ADDR), torchrun, PAI and
PyTorchJob (RANK and WORLD_SIZE count nodes there), or Slurm.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from visual_erm.errors import ConfigError

Scontrol = Callable[..., str]
"""Runs Slurm's `scontrol` with these arguments and returns its output."""


@dataclass(frozen=True)
class Topology:
    """One node of a run."""

    rank: int = 0
    """Rank of this node; 0 is the head."""
    nodes: int | None = None
    """Number of nodes. None: the recipe sets it."""
    head: str | None = None
    """Name or address that all nodes reach the head by; None where there is one node."""
    hosts: tuple[str, ...] = ()
    """Names of all nodes by rank, where the scheduler knows them."""


def scontrol(*arguments: str) -> str:
    """Runs Slurm's `scontrol`.

    Args:
        *arguments: Its arguments.

    Returns:
        Its output.

    Raises:
        ConfigError: It is not installed, fails, or does not answer within 60 s.
    """
    try:
        done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603, S607
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"scontrol {' '.join(arguments)}: {error}; or set MASTER_ADDR to the head's address") from error
    return done.stdout


def find_topology(environ: Mapping[str, str], ask: Scontrol = scontrol) -> Topology:
    """Reads this node's place from the environment.

    Args:
        environ: The environment.
        ask: Runs `scontrol`; only a step of Slurm needs it.

    Returns:
        The topology; one node alone when the environment says nothing.

    Raises:
        ConfigError: Variables contradict each other or say too little. The message has their names and the fix.
    """
    variables = {name: value for name, value in environ.items() if value}
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        if variables.get(name, "0") != "0":
            raise ConfigError(
                f"{name}={variables[name]}: one process per node is wanted (--nproc-per-node=1, srun --ntasks-per-node=1)"
            )
    ranks, sizes = _declared(variables)
    in_a_step = "SLURM_STEP_ID" in variables
    if in_a_step:
        ranks["SLURM_NODEID"] = _number(variables, "SLURM_NODEID")
        sizes["SLURM_STEP_NUM_NODES"] = _number(variables, "SLURM_STEP_NUM_NODES")
    rank, nodes = _consistent(ranks, "this node's rank"), _consistent(sizes, "the number of nodes")
    if rank is None:
        if nodes is None and not in_a_step and variables.get("SLURM_JOB_NUM_NODES", "1") != "1":
            raise ConfigError(
                f"SLURM_JOB_NUM_NODES={variables['SLURM_JOB_NUM_NODES']}, but this is not a step on all of them: start it "
                "with `srun --ntasks-per-node=1`, or use slurm/train.sbatch"
            )
        if (nodes or 1) > 1:
            raise ConfigError(f"{next(iter(sizes))}={nodes}, and nothing says which of them this is; set NODE_RANK")
        return Topology(nodes=nodes)
    if rank < 0 or (nodes is not None and rank >= nodes):
        raise ConfigError(f"{next(iter(ranks))}={rank} is none of {nodes} nodes, which count from 0")
    if nodes == 1:
        return Topology(nodes=1)
    hosts: tuple[str, ...] = ()
    head = variables.get("MASTER_ADDR")
    if in_a_step:
        hosts = tuple(ask("show", "hostnames", variables.get("SLURM_STEP_NODELIST", "")).split())
        head = head or _slurm_address(hosts[0], ask)
    if head is None:
        raise ConfigError(f"{next(iter(ranks))}={rank}, and nothing says where the head is; set MASTER_ADDR on every node")
    return Topology(rank, nodes, head, hosts)


def _declared(variables: Mapping[str, str]) -> tuple[dict[str, int], dict[str, int]]:
    """Reads the rank and the number of nodes from each variable that is set."""
    ranks = {name: _number(variables, name) for name in ("NODE_RANK", "GROUP_RANK") if name in variables}
    sizes = {name: _number(variables, name) for name in ("NNODES", "GROUP_WORLD_SIZE") if name in variables}
    if "RANK" in variables and "WORLD_SIZE" in variables:
        # torchrun counts processes, and says how many there are on a node; without that, both count nodes.
        local = max(1, _number(variables, "LOCAL_WORLD_SIZE")) if "LOCAL_WORLD_SIZE" in variables else 1
        ranks["RANK"] = _number(variables, "RANK") // local
        sizes["WORLD_SIZE"] = _number(variables, "WORLD_SIZE") // local
    return ranks, sizes


def _number(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except KeyError:
        raise ConfigError(f"{name} is not set, where others of its kind are") from None
    except ValueError:
        raise ConfigError(f"{name}={variables[name]}: must be a whole number") from None


def _consistent(values: Mapping[str, int], what: str) -> int | None:
    if len(set(values.values())) > 1:
        each = ", ".join(f"{name} says {number}" for name, number in values.items())
        raise ConfigError(f"{what}: {each}; unset those that are not meant")
    return next(iter(values.values()), None)


def _slurm_address(host: str, ask: Scontrol) -> str:
    """Asks Slurm for the address of a node: a name of a node need not be a name of a host."""
    words = ask("--oneliner", "show", "node", host).split()
    return next((word.partition("=")[2] for word in words if word.startswith("NodeAddr=")), host)
