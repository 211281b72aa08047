"""`visual-erm serve`: plans for many machines, and the supervisor when servers die or go silent, or when it is killed."""

from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pynvml
import pytest
from marked import marked
from ports import free_port

from visual_erm.errors import ConfigError
from visual_erm.judge.endpoint_pool import read_endpoints
from visual_erm.serve.plan import (
    Gpu,
    Machine,
    Model,
    ServeOptions,
    ServerPlan,
    check_ports,
    gpus_here,
    look_at_machine,
    look_at_model,
    plan,
    visible,
)
from visual_erm.serve.supervisor import Supervisor

HERE = Path(__file__).parent
GIB = 2**30
EIGHT_BILLION = Model(Path("/models/judge"), 17 * GIB, 262144)
TINY = Model(Path("/models/tiny"), 2_400_000, 4096)


def machine(count: int, memory: int = 80) -> Machine:
    return Machine(tuple(Gpu(index, f"GPU-{index}", memory * GIB) for index in range(count)), cores=16)


def planned(machine: Machine, model: Model = EIGHT_BILLION, **options) -> list[ServerPlan]:
    return plan(ServeOptions(**options), model, machine, {})


def devices(servers: list[ServerPlan]) -> list[str]:
    return [server.environment["CUDA_VISIBLE_DEVICES"] for server in servers]


def flag(server: ServerPlan, name: str) -> str:
    return server.command[server.command.index(name) + 1]


# --- plans


@pytest.mark.parametrize(
    ("count", "memory", "options", "groups"),
    [
        (1, 80, {}, ["0"]),
        (4, 80, {}, ["0", "1", "2", "3"]),
        (8, 80, {"tensor_parallel": 4}, ["0,1,2,3", "4,5,6,7"]),
        (8, 40, {"gpus": "4"}, ["0", "1", "2", "3"]),
        (8, 24, {}, ["0,1", "2,3", "4,5", "6,7"]),
        (4, 16, {}, ["0,1,2,3"]),
        (8, 80, {"gpus": "6,7"}, ["6", "7"]),
        (8, 80, {"gpus": "3,"}, ["3"]),
        (8, 80, {"gpus": "5,2", "tensor_parallel": 2}, ["5,2"]),
        (8, 80, {"replicas": 3}, ["0", "1", "2"]),
        (3, 80, {"tensor_parallel": 2, "replicas": 1}, ["0,1"]),
    ],
)
def test_each_replica_has_gpus_and_a_port_of_its_own(count, memory, options, groups) -> None:
    servers = planned(machine(count, memory), **options)
    assert devices(servers) == groups
    assert [server.port for server in servers] == list(range(8000, 8000 + len(groups)))
    for server in servers:
        assert flag(server, "--port") == str(server.port)
        assert flag(server, "--tensor-parallel-size") == str(server.environment["CUDA_VISIBLE_DEVICES"].count(",") + 1)


@pytest.mark.parametrize(
    ("count", "memory", "options", "complaint"),
    [
        (3, 80, {"tensor_parallel": 2}, "2 does not divide 3 GPUs"),
        (4, 80, {"gpus": "5"}, "there are 4"),
        (4, 80, {"gpus": "0"}, "there are 4"),
        (4, 80, {"gpus": "2,4"}, "indices among 0, 1, 2, 3"),
        (4, 80, {"gpus": "1,1"}, "each once"),
        (4, 80, {"gpus": "all"}, "give auto, a number"),
        (4, 80, {"gpus": ""}, "give auto, a number"),
        (4, 80, {"tensor_parallel": 2, "replicas": 3}, "take 6 GPUs; there are 4"),
        (1, 24, {}, "17 GiB leave too little room on 1 GPUs of 24 GiB"),
        (0, 0, {"gpus": "1"}, "no GPU here"),
        (0, 0, {"tensor_parallel": 2}, "no GPU here"),
        (1, 80, {"extra": ("--port", "1")}, "use --port"),
        (1, 80, {"extra": ("--tensor_parallel_size=2",)}, "use --tensor-parallel"),
        (1, 80, {"extra": ("--api-key", "x")}, "VISUAL_ERM_API_KEY"),
        (1, 80, {"extra": ("another-model",)}, "one model folder"),
    ],
)
def test_options_that_cannot_be_met_are_reported_with_the_fix(count, memory, options, complaint) -> None:
    with pytest.raises(ConfigError, match=complaint):
        planned(machine(count, memory), **options)


def test_without_gpus_vllm_is_set_up_for_the_cpu() -> None:
    first, second = planned(machine(0), TINY, replicas=2)
    assert "CUDA_VISIBLE_DEVICES" not in first.environment
    assert first.environment["OMP_NUM_THREADS"] == "8"
    assert flag(first, "--dtype") == "float32"
    assert (first.port, second.port) == (8000, 8001)
    (kept,) = plan(ServeOptions(), TINY, machine(0), {"OMP_NUM_THREADS": "3"})
    assert "OMP_NUM_THREADS" not in kept.environment, "the caller's own setting holds"


def test_a_request_may_be_as_long_as_a_judgement_needs_and_the_model_can() -> None:
    for model, options, tokens in ((EIGHT_BILLION, {}, 16384), (TINY, {}, 4096), (TINY, {"max_model_len": 2048}, 2048)):
        assert flag(planned(machine(1), model, **options)[0], "--max-model-len") == str(tokens)


def test_further_flags_stand_last_where_they_win() -> None:
    (server,) = planned(machine(1), extra=("--max-num-seqs", "128"))
    assert server.command[-2:] == ("--max-num-seqs", "128")


@pytest.mark.parametrize(
    ("options", "local", "url"),
    [
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8000", f"http://{socket.gethostname()}:8000/v1"),
        ({}, "http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ({"host": "::"}, "http://[::1]:8000", f"http://{socket.gethostname()}:8000/v1"),
        ({"host": "0.0.0.0", "advertise": "node7.ib"}, "http://127.0.0.1:8000", "http://node7.ib:8000/v1"),
        ({"advertise": "fd00::7", "port": 9}, "http://127.0.0.1:9", "http://[fd00::7]:9/v1"),
    ],
)
def test_judges_get_a_url_that_other_machines_reach(options, local, url) -> None:
    (server,) = planned(machine(1), **options)
    assert (server.local, server.url) == (local, url)


def test_a_printed_plan_can_be_typed() -> None:
    (server,) = planned(machine(2), tensor_parallel=2)
    words = shlex.split(str(server))
    assert "CUDA_VISIBLE_DEVICES=0,1" in words
    assert words[-len(server.command) :] == list(server.command)


# --- looking


@pytest.mark.parametrize(("named", "indices"), [(None, [0, 1, 2]), ("2,0", [2, 0]), ("GPU-1", [1]), ("", []), (" 1 ", [1])])
def test_cuda_visible_devices_is_respected(named, indices) -> None:
    assert [gpu.index for gpu in visible(machine(3).gpus, named)] == indices


def test_a_visible_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no GPU `7`"):
        visible(machine(3).gpus, "0,7")


class FakeDriver:
    """NVIDIA's driver of a machine, in the place of the functions of pynvml, with their signatures."""

    def __init__(self, monkeypatch, uuids=(), start=None, listing=None) -> None:
        self.uuids, self.start, self.listing, self.open = uuids, start, listing, 0
        for name in (
            "Init",
            "Shutdown",
            "DeviceGetCount",
            "DeviceGetHandleByIndex",
            "DeviceGetUUID",
            "DeviceGetMemoryInfo",
        ):
            fake = getattr(self, name)
            real = inspect.signature(getattr(pynvml, f"nvml{name}"))
            assert list(inspect.signature(fake).parameters) == list(real.parameters), name
            monkeypatch.setattr(pynvml, f"nvml{name}", fake)

    def Init(self) -> None:
        if self.start:
            raise pynvml.NVMLError(self.start)
        self.open += 1

    def Shutdown(self) -> None:
        self.open -= 1

    def DeviceGetCount(self) -> int:
        if self.listing:
            raise pynvml.NVMLError(self.listing)
        return len(self.uuids)

    def DeviceGetHandleByIndex(self, index):
        return ("handle", index)

    def DeviceGetUUID(self, handle) -> str:
        return self.uuids[handle[1]]

    def DeviceGetMemoryInfo(self, handle, version=None):
        return types.SimpleNamespace(total=81559 * 2**20, free=0, used=0)


def test_gpus_are_those_that_the_driver_lists(monkeypatch) -> None:
    monkeypatch.setattr("visual_erm.serve.plan.metadata.version", lambda _: "0.24.0")
    driver = FakeDriver(monkeypatch, ["GPU-aa", "GPU-bb"])
    assert look_at_machine({}).gpus == (Gpu(0, "GPU-aa", 81559 * 2**20), Gpu(1, "GPU-bb", 81559 * 2**20))
    assert [gpu.index for gpu in look_at_machine({"CUDA_VISIBLE_DEVICES": "1"}).gpus] == [1]
    with pytest.raises(ConfigError, match="no NVIDIA GPU here"):
        look_at_machine({"CUDA_VISIBLE_DEVICES": ""})
    assert look_at_machine({"VLLM_TARGET_DEVICE": "cpu"}).gpus == ()
    assert driver.open == 0, "the driver is let go each time"


def test_without_a_driver_there_is_no_gpu(monkeypatch) -> None:
    FakeDriver(monkeypatch, start=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert gpus_here({}) == []


@pytest.mark.parametrize(
    "broken", [{"start": pynvml.NVML_ERROR_DRIVER_NOT_LOADED}, {"listing": pynvml.NVML_ERROR_GPU_IS_LOST}]
)
def test_a_driver_that_fails_is_an_error_and_not_a_machine_without_gpus(monkeypatch, broken) -> None:
    driver = FakeDriver(monkeypatch, ["GPU-aa"], **broken)
    with pytest.raises(ConfigError, match=r"NVIDIA's driver does not .*check it with nvidia-smi"):
        gpus_here({})
    assert driver.open == 0


def test_a_models_size_and_context_are_read_from_its_folder(tmp_path) -> None:
    for content, complaint in ((None, "no model folder"), ("{", "config.json"), ('{"text_config": {}}', "no weights")):
        folder = tmp_path / "model"
        if content:
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(content)
        with pytest.raises(ConfigError, match=complaint):
            look_at_model(folder)
    (folder / "config.json").write_text('{"text_config": {"max_position_embeddings": 1024}}')
    (folder / "model.safetensors").write_bytes(bytes(100))
    assert look_at_model(folder) == Model(folder, 100, 1024)


def test_a_port_that_is_taken_is_found_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match=r"in use.*--port"):
            check_ports("127.0.0.1", [other.getsockname()[1]])
    check_ports("127.0.0.1", [free_port()])


# --- the supervisor, over servers that answer as vLLM does


class Running:
    """A supervisor as a process, its folder, and all processes that came of it."""

    def __init__(self, folder: Path, count: int, **environ: str) -> None:
        self.folder, self.ports = folder, [free_port() for _ in range(count)]
        self._mark = f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
        # Short enough for the servers to keep their sockets in it.
        self.temporary = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
        command = [sys.executable, HERE / "serve_standin.py", "supervise", folder, *self.ports]
        environ = {**os.environ, "TMPDIR": str(self.temporary), self._mark: "1", **environ}
        with (folder / "output").open("wb") as out:
            self.process = subprocess.Popen([*map(str, command)], env=environ, stdout=out, stderr=out, cwd=folder)

    def behave(self, port: int, how: str) -> Path:
        (self.folder / f"{port}.{how}").touch()
        return self.folder / f"{port}.{how}"

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def listed(self) -> list[int]:
        """Ports in the endpoints file."""
        file = self.folder / "endpoints"
        urls = file.read_text().splitlines() if file.exists() else []
        return [int(url.removeprefix("http://judge:").removesuffix("/v1")) for url in urls]

    def processes(self, port: int | None = None) -> list[psutil.Process]:
        """All of them, or those of one server: its guard, itself, and what it started."""
        found = marked(self._mark) if port is None else marked(self._mark, OF=str(port))
        return sorted(found, key=lambda process: process.create_time())

    def server(self, port: int) -> psutil.Process:
        guard, server, _ = self.processes(port)
        assert "visual_erm.runtime.process_guard" in guard.cmdline()
        return server

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.listed} {self.output}"
            time.sleep(0.05)

    def end(self, sign: int) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(count: int, **environ: str) -> Running:
        started.append(Running(tmp_path, count, **environ))
        return started[-1]

    yield start
    for running in started:
        for process in running.processes():
            # A guard that ends takes its server with it.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        running.process.wait(30)
        shutil.rmtree(running.temporary)


def test_healthy_servers_are_listed_and_a_signal_leaves_nothing(supervise) -> None:
    running = supervise(3)
    running.until(lambda: running.listed)
    assert [*running.temporary.rglob("left-behind")]
    assert running.listed == running.ports, "from the first list on all are there"
    assert len(running.processes()) == 1 + 3 * 3
    assert (running.folder / "logs" / f"{running.ports[0]}.log").read_text().startswith("a stand-in")
    assert running.end(signal.SIGTERM) == 0, running.output
    assert running.listed == []
    assert running.processes() == []
    assert [*running.temporary.iterdir()] == []


def test_ctrl_c_ends_it_in_order(supervise) -> None:
    running = supervise(1)
    running.until(lambda: running.listed)
    assert running.end(signal.SIGINT) == 0
    assert (running.listed, running.processes()) == ([], [])


def test_a_signal_while_servers_start_leaves_nothing(supervise) -> None:
    running = supervise(2)
    running.until(lambda: len(running.processes()) >= 3)
    assert running.end(signal.SIGTERM) == 0
    assert (running.listed, running.processes()) == ([], [])


def test_a_killed_server_leaves_the_list_and_comes_back(supervise) -> None:
    running = supervise(2)
    running.until(lambda: running.listed == running.ports)
    first, second = running.ports
    before, neighbour = running.processes(first), running.server(second)
    running.server(first).kill()
    running.until(lambda: running.listed == [second])
    running.until(lambda: running.listed == running.ports)
    assert not any(map(lives, before)), "neither its guard nor what it started"
    assert lives(neighbour)
    assert f"server {first} died (exit code 137)" in running.output


def test_nothing_of_a_server_is_left_when_its_guard_is_killed(supervise) -> None:
    running = supervise(1)
    running.until(lambda: running.listed)
    before = guard, *_ = running.processes(running.ports[0])
    guard.kill()
    running.until(lambda: not any(map(lives, before)))
    running.until(lambda: running.listed)


def test_nothing_is_left_when_the_supervisor_itself_is_killed(supervise) -> None:
    running = supervise(2)
    running.until(lambda: running.listed)
    running.end(signal.SIGKILL)
    running.until(lambda: not running.processes(), 10)
    running.until(lambda: not [*running.temporary.iterdir()], 10)


@pytest.mark.long
def test_a_server_that_goes_silent_leaves_the_list_and_is_started_again(supervise) -> None:
    running = supervise(2)
    running.until(lambda: running.listed == running.ports)
    first, second = running.ports
    before = running.server(first)
    silence = running.behave(first, "silent")
    running.until(lambda: running.listed == [second])
    running.until(lambda: not lives(before))
    silence.unlink()
    running.until(lambda: running.listed == running.ports)
    assert f"server {first} has not answered for" in running.output


def test_a_server_that_is_silent_for_a_moment_is_left_alone(supervise) -> None:
    running = supervise(1)
    running.until(lambda: running.listed)
    server = running.server(running.ports[0])
    server.suspend()
    running.until(lambda: running.listed == [])
    server.resume()
    running.until(lambda: running.listed)
    assert running.server(running.ports[0]) == server


@pytest.mark.long
def test_a_server_that_keeps_dying_is_given_up_with_the_end_of_its_log(supervise) -> None:
    running = supervise(2)
    running.behave(running.ports[0], "die")
    running.until(lambda: running.listed == [running.ports[1]])
    running.until(lambda: "is given up" in running.output)
    assert "died 5 times in a row" in running.output
    assert running.output.count("out of memory, says the stand-in") == 1, "of its last life"
    assert running.listed == [running.ports[1]], "the other one goes on"

    running.behave(running.ports[1], "die")
    running.server(running.ports[1]).kill()
    assert running.process.wait(30) == 1
    assert "JudgeUnavailable: no server is left" in running.output
    assert (running.listed, running.processes()) == ([], [])


def test_a_server_of_another_model_is_never_listed(supervise) -> None:
    running = supervise(1)
    running.behave(running.ports[0], "other")
    running.until(lambda: "has not answered for" in running.output)
    assert running.listed == []


@pytest.mark.parametrize("variable", ["VISUAL_ERM_API_KEY", "VLLM_API_KEY"])
def test_the_key_reaches_the_servers_and_is_seen_nowhere(supervise, variable) -> None:
    running = supervise(1, **{variable: "not-for-others"})
    running.until(lambda: running.listed)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{running.ports[0]}/v1/models", timeout=30)
    assert not any("not-for-others" in word for process in running.processes() for word in process.cmdline())
    running.end(signal.SIGTERM)
    for file in running.folder.rglob("*"):
        assert file.is_dir() or "not-for-others" not in file.read_text()


# --- the command


def serve(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visual_erm.cli", "serve", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environ})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"max_position_embeddings": 4096}')
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(100))
    return tmp_path / "model"


def test_wrong_input_is_one_message_before_anything_starts(model, tmp_path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = ["--host", "127.0.0.1", "--port", other.getsockname()[1]]
        for words, complaint in (
            ([tmp_path / "nothing"], "no model folder"),
            ([model, *taken], "in use"),
            ([model, "--", "--api-key", "x"], "VISUAL_ERM_API_KEY"),
            ([model, "--endpoints-file", "/dev/null/x", "--port", free_port()], "cannot be written"),
        ):
            done = serve(*words, "--log-dir", tmp_path / "logs")
            assert done.returncode == 2, done.stderr
            assert complaint in done.stderr
            assert "Traceback" not in done.stderr


def test_a_dry_run_prints_one_command_a_line(model, tmp_path) -> None:
    logs = tmp_path / "logs"
    done = serve(model, "--replicas", 2, "--log-dir", logs, "--dry-run", "--", "--seed", 3, VISUAL_ERM_API_KEY="hush")
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all(f"serve {model} " in line and line.endswith("--seed 3") for line in lines)
    assert "hush" not in done.stdout + done.stderr
    assert not logs.exists()


def test_the_launcher_hands_its_variables_to_the_command(model) -> None:
    script = HERE.parents[1] / "rl_scripts" / "serve_reward_model.sh"
    environ = {"MODEL": str(model), "PORT": "9100", "REPLICAS": "2", "PYTHON": sys.executable}
    words = ["bash", script, "--name", "mine", "--dry-run", "--", "--seed", "3"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **environ})
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "--port 9100" in first and "--port 9101" in second
    assert "--served-model-name mine" in first and first.endswith("--seed 3")


@pytest.mark.parametrize("umask", [0o002, 0o000, 0o077])
@pytest.mark.parametrize("place", ["endpoints.txt", "new/endpoints.txt", "new/folder/endpoints.txt"])
def test_judges_take_the_endpoints_file_whatever_the_umask(tmp_path: Path, umask: int, place: str) -> None:
    before = os.umask(umask)
    try:
        Supervisor([], "visual-erm", tmp_path / "logs", tmp_path / place, {})
    finally:
        os.umask(before)
    assert read_endpoints(tmp_path / place) == ()
    assert (tmp_path / place).exists()
