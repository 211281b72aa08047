"""Settings of a policy behind servers: where it is served, and how it writes.

    settings = load_policy_settings("http://10.0.0.1:8000/v1")

`visual_erm.policy.client.PolicyClient` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import model_validator

from visual_erm.errors import ConfigError
from visual_erm.spec.base import Count, read_yaml, validate
from visual_erm.spec.servers import BY_HAND_S, Sampling, ServerSettings


class PolicySettings(ServerSettings):
    """A policy behind OpenAI-compatible servers."""

    role: ClassVar[str] = "policy"

    api_key_env: str = "VISUAL_ERM_POLICY_API_KEY"
    """Environment variable that holds the key. It is not the judge's: the servers are seldom the same."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=8192)
    """How the policy writes. Temperature 0 repeats itself; raise it where several replies to one prompt are asked for.
    `max_tokens` is that of the paper's training; a reply that reaches it is cut off."""
    longest_side: Count = 1280
    """Longest side in pixels of the images that are shown; larger images are scaled down, as data_prep does."""

    @model_validator(mode="after")
    def _has_endpoints(self) -> PolicySettings:
        if not self.endpoints and not self.endpoints_file:
            raise ValueError("needs `endpoints`, like [http://127.0.0.1:8000/v1], or `endpoints_file`")
        return self


def load_policy_settings(policy: str | Path | Mapping[str, Any]) -> PolicySettings:
    """Loads the settings of a policy.

    Args:
        policy: The URL of one endpoint, the path of a YAML file, or the settings as a mapping.

    Returns:
        The settings.

    Raises:
        ConfigError: It is neither, the file cannot be read, or one of the settings is wrong.
    """
    if isinstance(policy, Mapping):
        return validate(PolicySettings, policy, "policy")
    if str(policy).startswith(("http://", "https://")):
        return validate(PolicySettings, {"endpoints": [str(policy)], "unavailable_timeout_s": BY_HAND_S}, "policy")
    if Path(policy).suffix not in (".yaml", ".yml"):
        raise ConfigError(f"policy `{policy}`: give the URL of a server, like http://10.0.0.1:8000/v1, or a YAML file")
    return validate(PolicySettings, read_yaml(Path(policy)), str(policy))
