"""The commands of one node: Ray's, and on the head the training's. Pure functions; `DRY_RUN=1` prints what they return."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.launch.recipe import Recipe
from visual_erm.launch.topology import Topology

RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    # Nodes that start at the same time on a busy machine take longer than Ray's own 30 s.
    "RAY_raylet_start_wait_time_s": "120",
    # Telemetry costs start-up time, and its OpenTelemetry exporter crashes now and then.
    "RAY_enable_open_telemetry": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment variables of every process of the cluster; the user's own values go first."""


@dataclass(frozen=True)
class LaunchSettings:
    """Settings of the launcher itself, from environment variables."""

    port: int = 6379
    """RAY_PORT: the port of Ray's head."""
    dashboard: str = "127.0.0.1"
    """DASHBOARD_HOST: where Ray's dashboard listens on the head."""
    join_s: float = 900.0
    """JOIN_TIMEOUT_S: seconds that the nodes wait for each other."""
    token_file: Path | None = None
    """TOKEN_FILE: on a file system that all nodes share; None: in the run's folder."""
    exit_code_file: Path | None = None
    """EXIT_CODE_FILE: the head writes its exit code there, for the script that started the nodes."""
    trainer: str = "visual_erm.train"
    """VISUAL_ERM_TRAINER: the module that is run on the head; tests put one of their own there."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> LaunchSettings:
        """Reads the settings from environment variables.

        Args:
            environ: The environment. A variable that is missing or empty leaves the default.

        Returns:
            The settings.

        Raises:
            ConfigError: A value that must be a number is none.
        """

        def number(name: str, default: float) -> float:
            try:
                return float(environ.get(name) or default)
            except ValueError:
                raise ConfigError(f"{name}={environ[name]}: must be a number") from None

        def file(name: str) -> Path | None:
            return Path(environ[name]).expanduser().resolve() if environ.get(name) else None

        return cls(
            port=int(number("RAY_PORT", cls.port)),
            dashboard=environ.get("DASHBOARD_HOST") or cls.dashboard,
            join_s=number("JOIN_TIMEOUT_S", cls.join_s),
            token_file=file("TOKEN_FILE"),
            exit_code_file=file("EXIT_CODE_FILE"),
            trainer=environ.get("VISUAL_ERM_TRAINER") or cls.trainer,
        )


def ray_start(
    recipe: Recipe, topology: Topology, settings: LaunchSettings, name: str, own: str | None, client_port: int
) -> str:
    """Writes the command that makes this node a node of the cluster, for as long as the command runs.

    Args:
        recipe: What is to be run.
        topology: This node's rank and the head's address.
        settings: Ports and addresses of the cluster.
        name: The node's name in the cluster.
        own: This node's address. None: Ray chooses it.
        client_port: Port of the head's server for Ray's remote client, which cannot be switched off.

    Returns:
        A command for a shell. It refers to the variable TMPDIR.
    """
    command = ["-m", "ray.scripts.scripts", "start", "--block", "--node-name", name]
    if topology.rank:
        command += ["--address", f"{topology.head}:{settings.port}"]
    else:
        command += ["--head", "--port", str(settings.port), "--ray-client-server-port", str(client_port)]
        command += ["--dashboard-host", settings.dashboard]
        if recipe.ray_init.get("include_dashboard") is not None:
            command += ["--include-dashboard", str(recipe.ray_init["include_dashboard"]).lower()]
    if own:
        command += ["--node-ip-address", own]
    for key in ("num_cpus", "num_gpus", "object_store_memory"):
        if recipe.ray_init.get(key) is not None:
            command += [f"--{key.replace('_', '-')}", str(recipe.ray_init[key])]
    # The process guard's folder. Left to itself a worker takes the head's: one that it may lack, or share.
    return f'{_python(sys.executable)} {shlex.join(command)} --temp-dir "$TMPDIR/ray"'


def _python(executable: str) -> str:
    """The words of a shell that run Python for Ray.

    Ray puts the path of Python into a shell's command as it stands: a path with blanks is reached through a link.
    """
    if shlex.quote(executable) == executable:
        return executable
    path = Path(executable)
    return f'ln -sfn {shlex.quote(str(path.parents[1]))} "$TMPDIR/python" && "$TMPDIR/python/bin/{path.name}"'


def training(recipe: Recipe, settings: LaunchSettings, address: str) -> list[str]:
    """Builds the command that trains. It runs on the head.

    Args:
        recipe: What is to be run.
        settings: The module that trains.
        address: `HOST:PORT` of the cluster's head.

    Returns:
        The words of the command.
    """
    return [sys.executable, "-m", settings.trainer, *recipe.overrides, f"++ray_kwargs.ray_init.address={address}"]
