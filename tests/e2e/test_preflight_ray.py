"""What preflight says of a real Ray cluster: whether it is there, large enough, free, and open to this process."""

from __future__ import annotations

import pytest

from visual_erm.preflight.checks import CHECKS, run_check
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Outcome
from visual_erm.preflight.overrides import compose_recipe

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def gpus(address: str, *words: str) -> Outcome:
    """The check of GPUs for a run on the cluster at this address."""
    config = compose_recipe(["cluster=8gpu", f"+ray_kwargs.ray_init.address='{address}'", *words])
    (check,) = (check for check in CHECKS if check.title == "GPUs")
    return run_check(RunContext(config), check)


@pytest.mark.parametrize("ray_processes", [{"num_gpus": 4}], indirect=True)
def test_nodes_and_gpus_are_counted_where_they_are(ray_processes, monkeypatch):
    import ray

    address = ray.get_runtime_context().gcs_address
    few = gpus(address)
    (problem,) = few.problems
    assert few.notes == (f"1 nodes, 4 GPUs at {address}",)
    assert problem.key == "trainer.nnodes"
    assert f"the run takes 8 GPUs, 1 x 8 of them for training; Ray at {address} has 4 on 1 nodes" in problem.what
    assert "ray status" in problem.fix
    assert gpus(address, "trainer.n_gpus_per_node=4").ok
    assert gpus(address, "trainer.nnodes=2", "trainer.n_gpus_per_node=2").ok
    assert not gpus(address, "trainer.nnodes=2", "trainer.n_gpus_per_node=3").ok

    @ray.remote(num_gpus=1)
    class Other:
        def there(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.there.remote())
    (taken,) = gpus(address, "trainer.n_gpus_per_node=4").problems
    assert "3 of the 4 GPUs" in taken.what
    assert taken.key == "ray_kwargs.ray_init.address"

    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    (locked,) = gpus(address, "trainer.n_gpus_per_node=4").problems
    assert locked.key == "ray_kwargs.ray_init.address"
    assert "RAY_AUTH_TOKEN" in locked.fix, locked
