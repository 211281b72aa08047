"""The tiny Qwen3-VL: built from a script, usable like the published one."""

import pytest
from PIL import Image

from visual_erm.demo.tiny_tables import HEADERS, TABLE, to_html
from visual_erm.errors import ConfigError

# torch and transformers are imported by the tests that need them, because every process of a run collects this file.


def build_tiny_qwen3vl(*args, **settings):
    from visual_erm.testing import tiny_qwen3vl

    return tiny_qwen3vl.build_tiny_qwen3vl(*args, **settings)


@pytest.mark.parametrize("preset", ["policy", "judge"])
def test_a_model_loads_and_answers_a_prompt_with_two_images(tmp_path, preset):
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    build_tiny_qwen3vl(tmp_path, preset=preset)
    processor = AutoProcessor.from_pretrained(tmp_path)
    model = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path)
    image = Image.new("RGB", (96, 128), "white")
    message = {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "What differs?"}]}
    text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[image, image], return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 2 * 3 * 4
    ids = model.generate(**inputs, max_new_tokens=4, min_new_tokens=4)
    assert ids.shape[1] == inputs["input_ids"].shape[1] + 4


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    import torch

    weights = [build_tiny_qwen3vl(tmp_path / str(i), seed=seed).state_dict() for i, seed in enumerate((3, 3, 4))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_the_policy_writes_runs_and_words_as_single_tokens(tmp_path):
    from transformers import AutoTokenizer

    build_tiny_qwen3vl(tmp_path, words=HEADERS, runs=TABLE.runs)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    html = to_html([["alc", "puls"], ["13.2", "2"]])
    ids = tokenizer(html)["input_ids"]
    pieces = ["<table><tr><th>", "alc", "</th><th>", "puls", "</th></tr><tr><td>"]
    pieces += ["1", "3", ".", "2", "</td><td>", "2", "</td></tr></table>"]
    assert tokenizer.convert_ids_to_tokens(ids) == pieces
    assert tokenizer.decode(ids, skip_special_tokens=True) == html


def test_an_unknown_preset_is_named(tmp_path):
    with pytest.raises(ConfigError, match="teacher"):
        build_tiny_qwen3vl(tmp_path, preset="teacher")
