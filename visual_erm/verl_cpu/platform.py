"""veRL's device layer for a machine without a GPU.

veRL loads it in each of its processes, because of VERL_USE_EXTERNAL_MODULES=visual_erm.verl_cpu.platform. veRL 0.9.1
supports CUDA and NPU. A third platform is a plug-in of three parts: a stand-in for `torch.cuda`, a `PlatformBase`, and the
name of the collective backend. `engine` and `rollout` are the two workers that run on it.

Internals of veRL and its libraries that this module uses:

- `verl.plugin.platform`: `PlatformBase` and all its methods, `PlatformRegistry.register`, `set_platform`.
- `verl.utils.distributed.initialize_global_process_group_ray`, which is replaced.
- `transformers.utils.is_sklearn_available`, which is replaced.
"""

from __future__ import annotations

import contextlib
import gc
import types
from collections.abc import Iterator
from typing import Any

import torch
import transformers.utils
import verl.utils.distributed
from verl.plugin.platform import PlatformBase, PlatformRegistry, set_platform

# A run starts a dozen processes, and imports take most of the time until its first step. Later imports take half as long
# when the garbage collector runs rarely, and when transformers does not import scikit-learn and scipy, which it needs for
# one function that is not used here.
gc.freeze()
gc.set_threshold(10_000, 20, 20)
transformers.utils.is_sklearn_available = lambda: False

MEMORY = 16 << 30
"""Memory in bytes that the stand-in reports. veRL only divides by it, for its logs."""


class CpuDevice(types.ModuleType):
    """`torch.cpu`, with the functions of `torch.cuda` that veRL calls on every device module."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    @staticmethod
    def is_available() -> bool:
        """Returns False: there is no GPU."""
        return False

    @staticmethod
    def device_count() -> int:
        """Returns 1, the CPU."""
        return 1

    @staticmethod
    def current_device() -> str:
        """Returns the name of the only device."""
        return "cpu"

    @staticmethod
    def get_device_name(*_: Any) -> str:
        """Returns a name for veRL's logs."""
        return "CPU"

    @staticmethod
    def _no_op(*_: Any, **__: Any) -> None:
        return None

    set_device = synchronize = empty_cache = ipc_collect = reset_peak_memory_stats = _no_op

    @staticmethod
    def _no_bytes(*_: Any) -> int:
        return 0

    memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _no_bytes

    @staticmethod
    def mem_get_info(*_: Any) -> tuple[int, int]:
        """Returns free and total memory in bytes, both `MEMORY`."""
        return MEMORY, MEMORY

    @staticmethod
    def get_rng_state(*_: Any) -> torch.Tensor:
        """Returns the state of the CPU's random numbers."""
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: torch.Tensor, *_: Any) -> None:
        """Restores a state of `get_rng_state`."""
        torch.set_rng_state(state)

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Seeds the CPU's random numbers."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One CPU device. Ray counts it as a GPU, because veRL places its workers by that resource."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = CpuDevice("visual_erm_cpu_device")

    def is_available(self) -> bool:
        """Returns False: there is no accelerator."""
        return False

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Returns True: every machine has a CPU."""
        return True

    def current_device(self) -> Any:
        """Returns a name. veRL passes it to `.to()` and `torch.device()`, where an index would mean a GPU."""
        return "cpu"

    def device_count(self) -> int:
        """Returns 1."""
        return 1

    def set_device(self, device_index: int) -> None:
        """Does nothing: there is one device."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Does nothing: a CPU works synchronously."""

    def manual_seed(self, seed: int) -> None:
        """Seeds the CPU's random numbers."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seeds the CPU's random numbers."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Does nothing: the allocator of a CPU has no settings."""

    def empty_cache(self) -> None:
        """Does nothing: a CPU keeps no cache of memory."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        """Returns no capability: a CPU has none."""
        return None, None

    def communication_backend_name(self) -> str:
        """Returns the collective backend of CPUs."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Returns the variable that Ray sets for its GPU resource."""
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        """Returns the resource by which veRL places its workers."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """Returns no variables: Ray may set visible devices."""
        return []

    def is_ipc_supported(self) -> bool:
        """Returns False: weights do not move through GPU memory."""
        return False

    def get_collective_module(self) -> None:
        """Returns None: there is no library such as NCCL."""
        return None

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """Marks nothing: there is no profiler."""
        yield

    def profiler_start(self) -> None:
        """Does nothing: there is no profiler."""

    def profiler_stop(self) -> None:
        """Does nothing: there is no profiler."""

    def cudart(self) -> None:
        """Returns None: there is no CUDA runtime."""
        return None


set_platform(CpuPlatform())

# veRL asks for "cpu:gloo,<device>:<backend>", and torch rejects a device type that is named twice.
_initialize = verl.utils.distributed.initialize_global_process_group_ray


def _initialize_with_gloo(timeout_second: int | None = None, backend: str | None = None) -> None:
    _initialize(timeout_second, backend or "gloo")


verl.utils.distributed.initialize_global_process_group_ray = _initialize_with_gloo
