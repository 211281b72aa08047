"""veRL's FSDP2 training engine and the Hugging Face rollout, registered for the CPU platform.

veRL imports it wherever it reads the model's settings, because the recipe names it in
`actor_rollout_ref.model.external_lib`: in the trainer before it chooses a rollout, and in the workers before they choose an
engine.

Internals of veRL that this module uses:

- `verl.workers.engine`: `EngineRegistry.register`, `FSDPEngineWithLMHead` with its `_build_module` and `optimizer_config`.
- `verl.workers.engine.fsdp.transformer_impl.CPUOffloadPolicy`, which is replaced.
- `verl.workers.rollout.replica`: `RolloutReplica`, `RolloutReplicaRegistry.register`.
- `verl.workers.rollout.base._ROLLOUT_REGISTRY`, a private registry.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.fsdp import CPUOffloadPolicy
from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead
from verl.workers.engine.fsdp import transformer_impl
from verl.workers.rollout import base, replica

ROLLOUT = "hf_cpu"
"""Name of the rollout in `actor_rollout_ref.rollout.name`."""


@EngineRegistry.register(model_type="language_model", backend="fsdp2", device="cpu")
class CpuEngine(FSDPEngineWithLMHead):
    """The FSDP engine of veRL, which also follows `freeze_vision_tower`; veRL's FSDP engines ignore that setting.

    The setting arrives in `optim.override_optimizer_config`, the only part of the actor's settings without a schema that an
    engine receives.
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
# veRL has no public function that registers the trainer's side of a rollout.
base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "visual_erm.verl_cpu.rollout.HFAdapter"

# veRL keeps the reference policy's weights in pinned memory, which only an accelerator provides.
transformer_impl.CPUOffloadPolicy = _unpinned  # type: ignore[misc,assignment]
