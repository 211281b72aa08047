"""The command that a launcher's script runs on every node.

    python -m visual_erm.launch [THE SCRIPT'S key=value … --] key=value …

Exit codes, the same on every node: 0 the run is complete; 1 it failed; 2 the configuration is wrong; 3 it was stopped or
lost a node, and the same command goes on from the last checkpoint; 128 and the signal that ended it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError, RunInterrupted, VisualERMError
from visual_erm.launch import token
from visual_erm.launch.commands import RAY_ENVIRONMENT, LaunchSettings, ray_start, training
from visual_erm.launch.head import run_head
from visual_erm.launch.node import host, node_name
from visual_erm.launch.recipe import Recipe, read_recipe
from visual_erm.launch.topology import Topology, find_topology
from visual_erm.launch.worker import run_worker
from visual_erm.preflight.overrides import one_line
from visual_erm.runtime.process_tree import adopt_orphans, end_descendants


def main() -> NoReturn:
    """Ends with the exit code, and after an error with one line about it."""
    settings = topology = None
    code = 1
    try:
        settings = LaunchSettings.read(os.environ)
        token.clean(os.environ)
        topology = find_topology(os.environ)
        recipe = read_recipe(*_split_words(sys.argv[1:]), os.environ, topology)
        run = _run if os.environ.get("DRY_RUN", "0") in ("", "0") else _dry_run
        code = run(recipe, topology, settings)
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        code = _print_error(2, error)
    except RunInterrupted as error:
        code = _print_error(3, error)
    except VisualERMError as error:
        code = _print_error(1, error)
    except SystemExit as signalled:
        code = int(str(signalled.code))
    finally:
        if settings and settings.exit_code_file and not (topology and topology.rank):
            settings.exit_code_file.write_text(f"{code}\n")
    sys.exit(code)


def _split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the words into those of the script and those that the script was given."""
    if "--" not in words:
        return [], list(words)
    middle = words.index("--")
    return list(words[:middle]), list(words[middle + 1 :])


def _run(recipe: Recipe, topology: Topology, settings: LaunchSettings) -> int:
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s visual_erm.launch {host()}: %(message)s", stream=sys.stderr
    )
    # Whatever gets away from its own process guard.
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _exit_once)
    # Meant for the head; a scheduler sends it to all.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    file = None if token.is_given(os.environ) else settings.token_file or recipe.run_dir / token.FILE
    os.environ.update({name: value for name, value in RAY_ENVIRONMENT.items() if name not in os.environ})
    try:
        if topology.rank:
            return run_worker(recipe, topology, settings, file)
        with contextlib.ExitStack() as stack:
            secret = stack.enter_context(token.create(file if recipe.nodes > 1 else None)) if file else None
            return run_head(recipe, topology, settings, secret)
    finally:
        end_descendants()


def _exit_once(number: int, frame: FrameType | None) -> NoReturn:
    """Ends this process in order. Later signals are ignored, so that nothing interrupts that."""
    for later in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(later, signal.SIG_IGN)
    sys.exit(128 + number)


def _dry_run(recipe: Recipe, topology: Topology, settings: LaunchSettings) -> int:
    variables = " ".join(f"{name}={value}" for name, value in RAY_ENVIRONMENT.items())
    print(variables, ray_start(recipe, topology, settings, node_name(topology.rank, host()), None, 10001))
    if topology.rank == 0:
        print(shlex.join(training(recipe, settings, f"{topology.head or '127.0.0.1'}:{settings.port}")))
        # Comments for a shell: the output can be run as it is.
        print("# The numbers of the recipe, with all that was given:")
        for line in recipe.numbers:
            print("#", " ".join(line.splitlines()))
    return 0


def _print_error(code: int, error: Exception) -> int:
    print(f"visual_erm.launch: {one_line(error)}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    main()
