"""Names inside veRL and TransferQueue that this project uses: the only module that says where they are.

veRL promises none of them, and a new version may move or change any. `PLACES` lists them. A name is imported when it is
asked for, because an import of veRL takes seconds and picks veRL's platform. `tests/training/test_verl_contract.py` checks
every name: that it exists, takes the arguments used here, and does what is relied on.

Three other places use names of veRL, and the same test checks them: `verl_cpu/`, a plug-in of veRL; `data/check.py`, which
must not import `training/`; and `training/stop_callback.py`, which veRL calls.

    from visual_erm.training.verl_internals import ReplayBuffer, get_tensordict
"""

from __future__ import annotations

import importlib
from typing import Any

PLACES = {
    # The trainer's entry point; its `main` takes a composed configuration.
    "main_ppo": "verl.trainer.main_ppo",
    # What the trainer samples a step's rollouts from, and the queue that holds them.
    "ReplayBuffer": "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer",
    "KVBatchMeta": "transfer_queue:KVBatchMeta",
    "kv_batch_get": "transfer_queue:kv_batch_get",
    "kv_batch_put": "transfer_queue:kv_batch_put",
    "get_tensordict": "verl.utils.tensordict_utils:get_tensordict",
    # What starts the rollouts of a batch of prompts, and what reads and writes such a batch.
    "AgentLoopManagerTQ": "verl.trainer.ppo.v1:AgentLoopManagerTQ",
    "assign_non_tensor_stack": "verl.utils.tensordict_utils:assign_non_tensor_stack",
    "get_value": "verl.utils.tensordict_utils:get",
    # What writes one rollout, and what it returns.
    "AgentLoopBase": "verl.experimental.agent_loop.agent_loop:AgentLoopBase",
    "AgentLoopMetrics": "verl.experimental.agent_loop.agent_loop:AgentLoopMetrics",
    "AgentLoopOutput": "verl.experimental.agent_loop.agent_loop:AgentLoopOutput",
    # What scores rollouts.
    "DataProto": "verl:DataProto",
    "NaiveRewardManager": "verl.experimental.reward_loop.reward_manager.naive:NaiveRewardManager",
    "resolve_reward_manager_cls": "verl.trainer.ppo.reward:resolve_reward_manager_cls",
    # What checks a configuration before a run.
    "omega_conf_to_dataclass": "verl.utils.config:omega_conf_to_dataclass",
    "validate_config": "verl.utils.config:validate_config",
    "need_critic": "verl.trainer.ppo.utils:need_critic",
}
"""Names that this module offers, and where each is: a module, or a module and a name in it."""


def __getattr__(name: str) -> Any:
    """Imports a name of `PLACES`."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = PLACES[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
