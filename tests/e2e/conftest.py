"""What the slow tests share: a tiny model, a tiny data set, and a training run that is watched from outside."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from vllm_server import served, vllm

PROJECT = Path(__file__).parents[2]
TOKEN = uuid.uuid4().hex * 2
"""Of every Ray cluster that these tests start: a process reads it once and keeps it."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL with random weights."""
    from visual_erm.verl_cpu.tiny_model import build_tiny_qwen3vl

    folder = tmp_path_factory.mktemp("tiny-model")
    build_tiny_qwen3vl(folder)
    return folder


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a real vLLM server whose judge is a tiny Qwen3-VL with random weights; gone with the module's tests."""
    from visual_erm.verl_cpu.tiny_model import build_tiny_qwen3vl

    if vllm() is None:
        pytest.skip("vLLM is not installed beside this Python; `make test` installs it")
    folder = tmp_path_factory.mktemp("tiny-judge")
    build_tiny_qwen3vl(folder, preset="judge")
    with served(folder) as url:
        yield url


@pytest.fixture(scope="session")
def table_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.parquet and test.parquet: pictures of a small table, each row another number."""
    folder = tmp_path_factory.mktemp("table-data")
    for split, count in (("train", 8), ("test", 2)):
        rows = [_row(split, index) for index in range(count)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return folder


def _row(split: str, index: int) -> dict:
    reference = {"bytes": _picture(index, 3), "path": None}
    return {
        "data_source": "table",
        # Prompts of several lengths.
        "prompt": [{"role": "user", "content": "<image>html" + " please" * (index % 3)}],
        "images": [{"bytes": _picture(index, 1), "path": None}],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"index": index, "split": split, "reference": reference, "engine": ""},
    }


def _picture(number: int, scale: int) -> bytes:
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
class Finished:
    """A training run that has ended."""

    exit_code: int
    log: str
    run_dir: Path
    left: list[str]
    """Command lines of processes that outlived it, and temporary files."""


Train = Callable[..., Finished]


@pytest.fixture
def ray_processes() -> Iterator[Callable[[], list[psutil.Process]]]:
    """A local Ray cluster with a temporary folder of its own, and what lists the processes that belong to it."""
    import ray

    folder, mark = Path(tempfile.mkdtemp(prefix="t", dir="/tmp")), f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
    ours = {mark: "1", "TMPDIR": str(folder), "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    ours |= {"RAY_enable_open_telemetry": "0", "RAY_enable_metrics_collection": "0", "HF_HUB_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        _temp_dir=str(folder / "ray"),
    )
    yield lambda: marked(mark)
    ray.shutdown()
    for process in marked(mark):
        process.send_signal(signal.SIGKILL)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    shutil.rmtree(folder)


@pytest.fixture
def train(tmp_path: Path, tiny_model: Path, table_data: Path) -> Iterator[Train]:
    """Runs the real launcher with overrides, never longer than `timeout` seconds, and says what it left behind."""
    temporary = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    mark = f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
    environment = {**os.environ, mark: "1", "TMPDIR": str(temporary), "PYTHON": sys.executable, "STEPS": "3"}

    def run(*overrides: str, timeout: float = 420) -> Finished:
        run_dir, log = tmp_path / "run", tmp_path / "log"
        command = [
            "bash",
            str(PROJECT / "rl_scripts" / "run_tiny_cpu.sh"),
            f"run_dir={run_dir}",
            f"actor_rollout_ref.model.path={tiny_model}",
            f"data.train_files={table_data / 'train.parquet'}",
            f"data.val_files={table_data / 'test.parquet'}",
            "data.train_batch_size=4",
            "actor_rollout_ref.rollout.n=4",
            *overrides,
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=tmp_path)
            try:
                exit_code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                pytest.fail(f"no end after {timeout} s; the log ends with {log.read_text()[-2000:]}")
        left = [" ".join(found.cmdline()) for found in marked(mark)] + [str(path) for path in temporary.rglob("*")]
        return Finished(exit_code, log.read_text(), run_dir, left)

    yield run
    for process in marked(mark):
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(temporary)


def marked(name: str) -> list[psutil.Process]:
    """Processes that inherited the environment variable `name`."""
    found = []
    for process in psutil.process_iter():
        try:
            if name in process.environ():
                found.append(process)
        except psutil.Error:
            continue
    return found
