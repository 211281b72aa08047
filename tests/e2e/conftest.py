"""What the slow tests share: a tiny model, a tiny data set, a Ray cluster, and a training over two nodes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marked import kill_all, marked
from PIL import Image, ImageDraw
from ports import free_port

PROJECT = Path(__file__).parents[2]
TOKEN = uuid.uuid4().hex * 2
"""Of every Ray cluster that these tests start: a process reads it once and keeps it."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL with random weights, and a token for each stretch of a table."""
    from visual_erm.demo.tiny_tables import TABLE
    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    folder = tmp_path_factory.mktemp("tiny-model")
    build_tiny_qwen3vl(folder, runs=TABLE.runs)
    return folder


@pytest.fixture(scope="session")
def table_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.parquet and test.parquet: images of a small table, each row another number.

    What the rows say of their split is wrong: a run goes by what veRL does with them.
    """
    folder = tmp_path_factory.mktemp("table-data")
    for name, split, count in (("train", "test", 8), ("test", "validation", 2)):
        rows = [_row(split, index) for index in range(count)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def _row(split: str, index: int) -> dict:
    reference = {"bytes": _image(index, 3), "path": None}
    return {
        "data_source": "table",
        # Prompts of several lengths.
        "prompt": [{"role": "user", "content": "<image>html" + " please" * (index % 3)}],
        "images": [{"bytes": _image(index, 1), "path": None}],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"index": index, "split": split, "reference": reference, "renderer_version": ""},
    }


def _image(number: int, scale: int) -> bytes:
    image = Image.new("RGB", (96 * scale, 64 * scale), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle([scale, scale, 95 * scale, 63 * scale], outline="black")
    draw.line([48 * scale, 0, 48 * scale, 64 * scale], fill="black")
    draw.text((8 * scale, 20 * scale), "year", fill="black", font_size=12 * scale)
    draw.text((56 * scale, 20 * scale), str(100 + number), fill="black", font_size=12 * scale)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Run:
    """A training over two nodes that has ended on both."""

    exit_codes: list[int]
    logs: list[str]
    run_dir: Path
    left: list[str]
    """Command lines of processes that outlived it, and files in the nodes' temporary folders."""


Launch = Callable[..., Run]


@pytest.fixture
def ray_processes(request: pytest.FixtureRequest) -> Iterator[Callable[[], list[psutil.Process]]]:
    """A local Ray cluster with a temporary folder of its own, and what lists the processes that belong to it.

    A parameter holds further settings of the cluster.
    """
    with ray_cluster(**getattr(request, "param", {})) as processes:
        yield processes


@pytest.fixture(scope="module")
def shared_ray() -> Iterator[None]:
    """One such cluster for all tests of a module."""
    with ray_cluster():
        yield


@contextlib.contextmanager
def ray_cluster(**settings: Any) -> Iterator[Callable[[], list[psutil.Process]]]:
    import ray

    folder, mark = Path(tempfile.mkdtemp(prefix="t", dir="/tmp")), f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
    variables = {mark: "1", "TMPDIR": str(folder), "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    variables |= {"RAY_enable_open_telemetry": "0", "RAY_enable_metrics_collection": "0"}
    variables |= {"RAY_worker_niceness": "0", "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    for another in (True, True, False):
        try:
            ray.init(
                num_cpus=4,
                include_dashboard=False,
                object_store_memory=100_000_000,
                log_to_driver=False,
                _temp_dir=str(folder / "ray"),
                **settings,
            )
            break
        except Exception:
            # Its node gets 30 s to start, which a busy machine may not have.
            if not another:
                raise
            ray.shutdown()
    yield lambda: marked(mark)
    ray.shutdown()
    kill_all(marked(mark))
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    shutil.rmtree(folder)


@pytest.fixture
def launch(tmp_path: Path, tiny_model: Path, table_data: Path) -> Iterator[Launch]:
    """Starts a recipe on two nodes of this machine, as whoever has a cluster does, and waits for both.

    Once `when`, asked about the run's folder again and again, says true, `then` is done with the processes of node 1.
    """
    mark = f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
    temporary = [Path(tempfile.mkdtemp(prefix="t", dir="/tmp")) for _ in range(2)]
    words = [
        "cluster=cpu", "policy=tiny", "engine=fsdp", f"actor_rollout_ref.model.path={tiny_model}",
        f"data.train_files={table_data / 'train.parquet'}", f"data.val_files={table_data / 'test.parquet'}",
        "data.train_batch_size=4", "reward.num_workers=2",
        # Looked at by others.
        "preflight=false",
    ]  # fmt: skip
    run_dir = tmp_path / "run"

    def run(
        *overrides: str,
        when: Callable[[Path], bool],
        then: Callable[[list[psutil.Process]], None],
        timeout: float = 700,
    ) -> Run:
        shared = {"PYTHON": sys.executable, "NNODES": "2", "MASTER_ADDR": "127.0.0.1", "RAY_PORT": str(free_port())}
        shared |= {"RUN_DIR": str(run_dir), "RAY_worker_niceness": "0", mark: "1"}
        logs, nodes = [tmp_path / f"log{rank}" for rank in range(2)], []
        for rank, log in enumerate(logs):
            own = {"NODE_RANK": str(rank), "TMPDIR": str(temporary[rank])}
            command = ["bash", PROJECT / "rl_scripts" / "run_qwen3vl_table_40k_rm_32gpus.sh", *words, *overrides]
            with log.open("wb") as out:
                nodes.append(
                    subprocess.Popen(command, env={**os.environ, **shared, **own}, stdout=out, stderr=out, cwd=tmp_path)
                )
        deadline, done = time.monotonic() + timeout, False
        while None in [node.poll() for node in nodes]:
            if time.monotonic() > deadline:
                pytest.fail(f"no end after {timeout} s: {[log.read_text()[-2000:] for log in logs]}")
            if not done and when(run_dir):
                then([psutil.Process(nodes[1].pid), *psutil.Process(nodes[1].pid).children(recursive=True)])
                done = True
            time.sleep(0.1)
        left = [" ".join(process.cmdline()) for process in marked(mark)]
        left += [str(path) for folder in temporary for path in folder.rglob("*")]
        output = [log.read_text(errors="replace") for log in logs]
        return Run([node.returncode for node in nodes], output, run_dir, left)

    yield run
    kill_all(marked(mark))
    for folder in temporary:
        shutil.rmtree(folder)
