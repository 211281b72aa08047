"""Is the model's folder whole, is it a model that transformers knows, and can it be cut as the sizes say?"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Finding, Note, Problem

POLICY = "actor_rollout_ref.model.path"
DOWNLOAD = "download it again: hf download NAME --local-dir {folder}"
LFS_POINTER = b"version https://git-lfs"
"""Beginning of a file that git left for git-lfs to download."""
BYTES_OF_TYPE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I8": 1, "U8": 1}
"""Bytes of a number in a safetensors file."""


def check_policy(context: RunContext) -> Iterator[Finding]:
    """Checks the policy's folder.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    path = context.get(POLICY)
    if path is None:
        yield Problem(POLICY, "not set", f"give {POLICY}=FOLDER, or its name on the Hugging Face hub")
        return
    yield from check_model_folder(context, POLICY, path)


def check_reward_model(context: RunContext) -> Iterator[Finding]:
    """Checks the folder of the reward model that veRL runs.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    key = "reward.reward_model.model_path"
    path = context.get(key)
    if not context.config.reward.reward_model.enable or path is None:
        return
    yield from check_model_folder(context, key, path)


def check_model_folder(context: RunContext, key: str, path: str, writes: bool = True) -> Iterator[Finding]:
    """Checks that a model is a whole folder, or may be a name on the hub.

    Args:
        context: The run.
        key: The setting that holds the path.
        path: The path, or the name on the hub.
        writes: Whether the model reads and writes text, and so needs a tokenizer.

    Yields:
        Problems, and a note on what was looked at.
    """
    if Path(path).is_dir():
        yield from _check_folder(key, Path(path), writes)
    else:
        yield from _check_hub_name(context, key, path)


def check_shape(context: RunContext) -> Iterator[Finding]:
    """Checks that heads and layers divide by the parallel sizes, and that the context holds the longest sequence.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    folder = Path(context.config.actor_rollout_ref.model.path)
    if not folder.is_dir():
        return
    text = _text(_read(folder / "config.json"))
    heads, layers, length = (text.get(k) for k in ("num_attention_heads", "num_hidden_layers", "max_position_embeddings"))
    divided = {"actor_rollout_ref.rollout.tensor_model_parallel_size": heads}
    if context.megatron:
        divided["actor_rollout_ref.actor.megatron.tensor_model_parallel_size"] = heads
        if not any(
            "pipeline" in key for key in context.config.actor_rollout_ref.actor.megatron.override_transformer_config
        ):
            divided["actor_rollout_ref.actor.megatron.pipeline_model_parallel_size"] = layers
    for key, parts in divided.items():
        if parts and parts % int(context.get(key) or 1):
            what = "layers" if "pipeline" in key else "attention heads"
            yield Problem(
                key, f"{context.get(key)} does not divide the policy's {parts} {what}", f"give a divisor of {parts}"
            )
    longest = context.config.data.max_prompt_length + context.config.data.max_response_length
    if length and longest > length:
        yield Problem(
            "data.max_response_length", f"prompt and reply may have {longest} tokens, the policy's context has {length}",
            "shorten data.max_prompt_length or data.max_response_length",
        )  # fmt: skip
    limit = context.get("actor_rollout_ref.rollout.max_model_len")
    if length and limit and limit > length:
        yield Problem(
            "actor_rollout_ref.rollout.max_model_len", f"{limit} tokens, the policy's context has {length}",
            f"give at most {length}",
        )  # fmt: skip
    yield Note(f"{heads} heads, {layers} layers, context of {length}")


def weights(folder: Path) -> dict[str, int]:
    """Counts the numbers in a model's weights.

    Args:
        folder: The model's folder.

    Returns:
        How many numbers there are of each type, as `BYTES_OF_TYPE` names them. Only whole safetensors files count.
    """
    found: dict[str, int] = {}
    for file in folder.glob("*.safetensors"):
        # `check_policy` tells what is wrong with a file that cannot be read.
        with contextlib.suppress(OSError, SafetensorError), safe_open(file, "np") as tensors:
            for name in tensors.keys():  # noqa: SIM118  the reader is no mapping
                tensor = tensors.get_slice(name)
                kind = tensor.get_dtype()
                found[kind] = found.get(kind, 0) + math.prod(tensor.get_shape())
    return found


def _check_hub_name(context: RunContext, key: str, path: str) -> Iterator[Finding]:
    """Checks a path that is no folder: it may be a name on the hub."""
    online = str(context.get("env.HF_HUB_OFFLINE") or "") in ("", "0")
    if online and path.count("/") == 1 and path[0] not in "./~":
        yield Note(f"{path}, from the Hugging Face hub")
        return
    yield Problem(
        key, f"no folder {Path(path).expanduser().absolute()}", "give the model's folder (for policy=tiny: make demo)"
    )


def _check_folder(key: str, folder: Path, writes: bool) -> Iterator[Finding]:
    fetch = DOWNLOAD.format(folder=folder)
    try:
        config = _read(folder / "config.json")
    except (OSError, ValueError) as error:
        yield Problem(key, f"{folder / 'config.json'} cannot be read: {error}", fetch)
        return
    yield from _check_architecture(key, folder, config)
    yield from _check_weights(key, folder, fetch)
    for names, what, wanted in (
        (("tokenizer.json", "tokenizer.model", "vocab.json"), "tokenizer", writes),
        (("preprocessor_config.json", "processor_config.json"), "image processor", True),
    ):
        if wanted and not any((folder / name).is_file() for name in names):
            yield Problem(key, f"{folder} has no {what} ({' or '.join(names)})", fetch)
    yield Note(f"{config.get('model_type')} in {folder}")


def _check_architecture(key: str, folder: Path, config: dict[str, Any]) -> Iterator[Problem]:
    from transformers import CONFIG_MAPPING, __version__

    kind, built = config.get("model_type"), config.get("architectures") or []
    if kind not in CONFIG_MAPPING and "auto_map" not in config:
        yield Problem(
            key, f"{folder / 'config.json'}: transformers {__version__} knows no model_type {kind!r}",
            "give a model that it knows, or install a transformers that knows this one",
        )  # fmt: skip
    if len(built) != 1:
        yield Problem(
            key,
            f"{folder / 'config.json'}: `architectures` is {built!r}, veRL wants one",
            "take config.json from the model's page",
        )


def _check_weights(key: str, folder: Path, fetch: str) -> Iterator[Problem]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(_read(index)["weight_map"].values()))
        except (OSError, ValueError, KeyError) as error:
            yield Problem(key, f"{index} cannot be read: {error}", fetch)
            return
    else:
        names = ["model.safetensors"]
        if not (folder / names[0]).is_file() and any(folder.glob("pytorch_model*.bin")):
            return
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        yield Problem(
            key, f"{folder} lacks {', '.join(absent[:3])}" + (f" and {len(absent) - 3} more" if absent[3:] else ""), fetch
        )
    for name in names:
        if name not in absent and (reason := _damage(folder / name)):
            yield Problem(key, f"{folder / name} {reason}", fetch)


def _damage(file: Path) -> str:
    """Describes what is wrong with a safetensors file; empty for nothing."""
    with file.open("rb") as content:
        if content.read(len(LFS_POINTER)) == LFS_POINTER:
            return "is a pointer of git-lfs, not the weights (git lfs pull)"
    try:
        with safe_open(file, "np"):
            return ""
    except (OSError, SafetensorError) as error:
        size, whole = file.stat().st_size, _whole_size(file)
        if whole is None:
            return f"is no safetensors file ({error})"
        return f"is cut off: {size} of {whole} bytes" if size < whole else f"is damaged ({error})"


def _whole_size(file: Path) -> int | None:
    """Reads the full size in bytes of a damaged file from its header; None where the header cannot be read."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(min(length, 1 << 28)))
        header.pop("__metadata__", None)
        return 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return None


def _read(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _text(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a model's config that describes its language model."""
    return dict(config.get("text_config") or config)
