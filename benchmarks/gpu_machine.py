"""What this project finds of a machine's GPUs, against what the driver's own command and torch say.

    python benchmarks/gpu_machine.py

Number, UUID and memory come from `visual_erm.serve.plan`, which `visual-erm serve` and preflight use. Each is compared with
nvidia-smi; the number also with torch. Preflight is asked twice: for as many GPUs as there are, and for one more.
"""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace
from typing import Any

import torch
import typer
from gpu_model import conditions
from rich.console import Console

from visual_erm.errors import ConfigError
from visual_erm.preflight.machine import check_gpus
from visual_erm.serve.plan import gpus_here, visible

MIB = 2**20
ASKED = "--query-gpu=index,uuid,memory.total,name"


def listed() -> list[list[str]]:
    """Index, UUID, MiB and name of each GPU, from nvidia-smi."""
    done = subprocess.run(
        ["nvidia-smi", ASKED, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
    )
    return [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]


def preflight(gpus: int) -> list[str]:
    """What preflight finds for a run on so many GPUs of this machine."""
    trainer = SimpleNamespace(nnodes=1, n_gpus_per_node=gpus, device="cuda")
    config = SimpleNamespace(trainer=trainer, reward=SimpleNamespace(reward_model=SimpleNamespace(enable=False)))
    context: Any = SimpleNamespace(config=config, gpus=gpus, get=lambda key: None)
    return [str(finding) for finding in check_gpus(context)]


def main() -> None:
    """Compare the GPUs that this project finds with those that the driver lists."""
    console = Console(width=160)
    found = gpus_here({})
    if not found:
        console.print("no GPU: NVIDIA's driver is not installed")
        raise typer.Exit(1)
    console.print(", ".join(f"{name} {value}" for name, value in conditions(torch.device("cuda")).items()))
    console.print(f"found here  {found}")
    console.print(f"nvidia-smi  {listed()}")
    assert [[str(gpu.index), gpu.uuid, str(gpu.memory // MIB)] for gpu in found] == [one[:3] for one in listed()]
    assert len(gpus_here(os.environ)) == torch.cuda.device_count()
    assert visible(found, found[0].uuid) == visible(found, "0") == found[:1]
    assert visible(found, "") == []
    try:
        visible(found, str(len(found)))
    except ConfigError as error:
        console.print(f"one too far {error}")
    for count in (len(found), len(found) + 1):
        console.print(f"preflight, {count} asked: {preflight(count)}")


if __name__ == "__main__":
    typer.run(main)
