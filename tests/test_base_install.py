"""What the distribution requires is enough for the reward path: no module of it imports what only an extra installs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
REFUSE = """
import json, os, sys

class Absent:
    names = frozenset(json.loads(os.environ["ABSENT"]))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Absent())
"""
"""Python runs a `sitecustomize` at its start. With this one, packages that a base install lacks cannot be imported."""


def base_requirements() -> list[str]:
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(ROOT / "setup.py"))
    return setup.call_args.kwargs["install_requires"]


def with_what_they_require(requirements: list[str]) -> set[str]:
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(requirement) for requirement in requirements]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in found:
            continue
        found.add(key)
        for needed in map(Requirement, importlib.metadata.requires(requirement.name) or []):
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name, _ in found}


def run_on_base_install(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    there = with_what_they_require(base_requirements())
    owners = importlib.metadata.packages_distributions()
    there.add("visual-erm")
    absent = [module for module, names in owners.items() if not there & {canonicalize_name(name) for name in names}]
    assert {"torch", "verl", "ray", "pyarrow"} & set(absent)
    (folder / "sitecustomize.py").write_text(REFUSE, encoding="utf-8")
    path = os.pathsep.join((str(folder), str(ROOT)))
    environment = {**os.environ, "ABSENT": json.dumps(absent), "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.long
def test_a_reply_is_scored(tmp_path: Path) -> None:
    for kind in ("table", "chart", "svg"):
        example = ROOT / "examples" / kind
        words = ["score", kind, "--reference", example / "reference.png", "--response", example / "reply.txt", "--json"]
        done = run_on_base_install(["-m", "visual_erm.cli", *map(str, words)], tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["score"] == 2.0


def test_every_command_is_there(tmp_path: Path) -> None:
    help_ = run_on_base_install(["-m", "visual_erm.cli", "--help"], tmp_path)
    assert help_.returncode == 0, help_.stderr
    assert "preflight" in help_.stdout


def test_every_module_of_the_reward_path_is_imported(tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, visual_erm\n"
        "for room in ('adapter', 'extract', 'guard', 'judge', 'kinds', 'render', 'reward', 'runtime', 'sandbox', 'serve',"
        " 'spec', 'vision'):\n"
        "    package = importlib.import_module(f'visual_erm.{room}')\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):\n"
        "        importlib.import_module(module.name)\n"
    )
    done = run_on_base_install(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_locked_version_is_for_the_first_python_3_11_too() -> None:
    """Debian 12 has 3.11.2, and a version that asks for a later one cannot be installed there."""
    lines = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines()
    locked = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    asks = {
        dist.metadata["Name"]: dist.metadata["Requires-Python"]
        for dist in importlib.metadata.distributions()
        if canonicalize_name(dist.metadata["Name"]) in locked
    }
    assert len(asks) > 100
    assert [name for name, python in asks.items() if "3.11.0" not in SpecifierSet(python or "")] == []
