"""veRL's device layer for a machine without a GPU.

Loaded by veRL in each of its processes through VERL_USE_EXTERNAL_MODULES=visual_erm.verl_cpu.platform. veRL 0.9.1 knows
CUDA and NPU; a third platform is a plug-in with three parts: a stand-in for `torch.cuda`, a PlatformBase, and the name of
the collective backend. `engine.py` and `rollout.py` bring the two workers that run on it.
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

# A run starts a dozen processes, and all the time until its first step goes into what each imports. What comes after this
# module takes half as long when Python does not keep looking for garbage in it, and when transformers leaves out
# scikit-learn and scipy, which it takes along for one function that nothing here calls.
gc.freeze()
gc.set_threshold(10_000, 20, 20)
transformers.utils.is_sklearn_available = lambda: False

MEMORY = 16 << 30
"""Bytes of memory the stand-in reports; veRL only divides by it, for its logs."""


class CpuDevice(types.ModuleType):
    """`torch.cpu`, and the calls of `torch.cuda` that veRL makes on whatever its device module is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    @staticmethod
    def is_available() -> bool:
        return False

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> str:
        return "cpu"

    @staticmethod
    def get_device_name(*_: Any) -> str:
        return "CPU"

    @staticmethod
    def _nothing(*_: Any, **__: Any) -> None:
        return None

    set_device = synchronize = empty_cache = ipc_collect = reset_peak_memory_stats = _nothing

    @staticmethod
    def _no_bytes(*_: Any) -> int:
        return 0

    memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _no_bytes

    @staticmethod
    def mem_get_info(*_: Any) -> tuple[int, int]:
        return MEMORY, MEMORY

    @staticmethod
    def get_rng_state(*_: Any) -> torch.Tensor:
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: torch.Tensor, *_: Any) -> None:
        torch.set_rng_state(state)

    @staticmethod
    def manual_seed(seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One CPU device. Ray still counts it as a GPU, because veRL places its workers by that resource."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = CpuDevice("visual_erm_cpu_device")

    def is_available(self) -> bool:
        return False

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return True

    def current_device(self) -> Any:
        """A name: it goes into `.to()` and `torch.device()`, where an index would mean a GPU."""
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def get_collective_module(self) -> None:
        return None

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def cudart(self) -> None:
        return None


set_platform(CpuPlatform())

# veRL asks for "cpu:gloo,<device>:<backend>", and torch refuses a device type that is named twice.
_initialize = verl.utils.distributed.initialize_global_process_group_ray


def _initialize_with_gloo(timeout_second: int | None = None, backend: str | None = None) -> None:
    _initialize(timeout_second, backend or "gloo")


verl.utils.distributed.initialize_global_process_group_ray = _initialize_with_gloo
