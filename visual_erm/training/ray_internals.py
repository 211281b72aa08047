"""Names inside Ray that this project uses: the only module that imports them.

Ray promises none of them. `tests/training/test_verl_contract.py` checks each. The launcher asks a cluster's head through
`gcs_client`; the checks before a run ask for free GPUs by a process of their own, because a connection of theirs would be
the run's:

    python -m visual_erm.training.ray_internals 10.0.0.1:6379
    [[8.0, 8.0], [8.0, 0]]
"""

from __future__ import annotations

import json
import sys
from typing import Any


def gcs_client(address: str) -> Any:
    """Connects to the service of a cluster's head that knows its nodes, without a worker of its own.

    Args:
        address: `HOST:PORT` of the head.

    Returns:
        Ray's client, with `get_all_node_info`, `internal_kv_get` and `internal_kv_put`.

    Raises:
        ray.exceptions.AuthenticationError: The head has another token than this process's environment.
        ray.exceptions.RpcError: The head does not answer.
    """
    from ray._raylet import AuthenticationTokenLoader, GcsClient  # type: ignore[attr-defined]

    # Ray keeps the token that it read first.
    AuthenticationTokenLoader.instance().reset_cache()
    return GcsClient(address=address)


def gpus_of_nodes(address: str) -> list[tuple[float, float]]:
    """Counts the GPUs of a cluster. Connects this process to it.

    Args:
        address: `HOST:PORT` of the head, or what else `ray.init` takes.

    Returns:
        For each live node, its GPUs and how many of them are free.
    """
    import ray
    from ray._private.state import available_resources_per_node

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    free = available_resources_per_node()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return [(node["Resources"].get("GPU", 0), free.get(node["NodeID"], {}).get("GPU", 0)) for node in nodes]


if __name__ == "__main__":
    print(json.dumps(gpus_of_nodes(sys.argv[1])))
