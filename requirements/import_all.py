"""Imports every module of the installed package. Fails where something is missing that no extra brings."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import visual_erm

OPTIONAL = {"apted", "bs4", "hydra", "omegaconf", "pyarrow", "ray", "tokenizers", "torch", "transformers", "verl", "vllm"}
"""What extras and the trial run on a CPU bring."""

failed = []
for module in pkgutil.walk_packages(visual_erm.__path__, "visual_erm."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            failed.append(f"{module.name}: {error}")
    except Exception as error:  # noqa: BLE001  whatever a module raises is what this script reports
        failed.append(f"{module.name}: {type(error).__name__}: {error}")
print(*failed, sep="\n")
sys.exit(bool(failed))
