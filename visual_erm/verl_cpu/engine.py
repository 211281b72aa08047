"""veRL's FSDP2 training engine and the Hugging Face rollout, registered for the CPU platform.

Loaded through `actor_rollout_ref.model.external_lib`, which veRL imports wherever it reads the model's settings: in the
trainer before it picks a rollout, and in the workers before they pick an engine.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.fsdp import CPUOffloadPolicy
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead
from verl.workers.engine.fsdp import transformer_impl
from verl.workers.rollout import base, replica

ROLLOUT = "hf_cpu"
"""The rollout's name in `actor_rollout_ref.rollout.name`."""


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
class CpuEngine(FSDPEngineWithLMHead):
    """veRL's own engine, and `freeze_vision_tower`, which its FSDP engines leave unread.

    The flag arrives in `optim.override_optimizer_config`, the only free part of the actor's settings that an engine sees.
    """

    def _build_module(self) -> torch.nn.Module:
        module = super()._build_module()
        if self._freeze_vision_tower():
            for name, parameter in module.named_parameters():
                if "visual." in name:
                    parameter.requires_grad_(False)
        return module

    def _freeze_vision_tower(self) -> bool:
        settings = getattr(self.optimizer_config, "override_optimizer_config", None) or {}
        return bool(settings.pop("freeze_vision_tower", False))


def _load_replica() -> type[replica.RolloutReplica]:
    from visual_erm.verl_cpu.rollout import HFReplica

    return HFReplica


def _unpinned(**_: Any) -> CPUOffloadPolicy:
    return CPUOffloadPolicy(pin_memory=False)


replica.RolloutReplicaRegistry.register(ROLLOUT, _load_replica)
# The trainer's side of a rollout has no public way to register.
base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "visual_erm.verl_cpu.rollout.HFAdapter"

# The reference policy's weights are kept in pinned memory, and only an accelerator can pin memory.
transformer_impl.CPUOffloadPolicy = _unpinned  # type: ignore[misc,assignment]
