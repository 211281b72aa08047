"""The rollout server by itself: batches, seeds, probabilities, weights."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("verl")

import torch
from PIL import Image
from verl.workers.rollout.replica import TokenOutput

from visual_erm.demo.tiny_policy import TinyPolicy
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl
from visual_erm.verl_cpu.rollout import HFServer

LENGTH = 12
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}
IMAGES = [Image.new("RGB", (96, 128), color) for color in ("white", "black", "red", "blue")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build_tiny_qwen3vl(folder)
    return folder


def server(model: Path, seed: int = 0, batch: int = 8) -> HFServer:
    return HFServer(str(model), seed=seed, threads=1, batch=batch, response_length=LENGTH)


async def ask(on: HFServer, prompt: list[int], images: list[Image.Image], **changes: object) -> list[TokenOutput]:
    sampling = {**SAMPLING, **changes}
    return await asyncio.gather(*(on.generate(str(i), prompt, sampling, [p]) for i, p in enumerate(images)))


@pytest.fixture(scope="module")
def policy(model: Path) -> TinyPolicy:
    return TinyPolicy.load(model)


async def test_the_same_seed_writes_the_same_whatever_order_the_requests_come_in(model, policy):
    first = await ask(server(model), policy.prompt("html"), IMAGES)
    again = await ask(server(model), policy.prompt("html"), IMAGES[::-1])
    other = await ask(server(model, seed=1), policy.prompt("html"), IMAGES)
    tokens = [output.token_ids for output in first]
    assert [output.token_ids for output in again[::-1]] == tokens
    assert [output.token_ids for output in other] != tokens


async def test_more_requests_than_fit_are_all_answered(model, policy):
    outputs = await ask(server(model, batch=3), policy.prompt("html"), IMAGES * 2)
    assert len(outputs) == 8
    assert all(1 <= len(output.token_ids) <= LENGTH for output in outputs)


async def test_requests_of_another_sampling_are_not_mixed_in(model, policy):
    on = server(model)
    greedy, sampled = await asyncio.gather(
        ask(on, policy.prompt("html"), IMAGES[:1] * 4, temperature=0), ask(on, policy.prompt("html"), IMAGES[:1] * 4)
    )
    assert len({tuple(output.token_ids) for output in greedy}) == 1
    assert len({tuple(output.token_ids) for output in sampled}) == 4


async def test_log_probabilities_are_those_of_a_forward_pass_over_the_reply(model, policy):
    prompts = [policy.prompt("html"), policy.prompt("html")[:-3]]
    on = server(model)
    outputs = await asyncio.gather(*(on.generate(str(i), p, SAMPLING, IMAGES[:1]) for i, p in enumerate(prompts)))
    for prompt, output in zip(prompts, outputs, strict=True):
        ids = torch.tensor([prompt + output.token_ids])
        pixels = policy.processor.image_processor(images=IMAGES[:1], return_tensors="pt")
        with torch.no_grad():
            logits = on.model(
                input_ids=ids,
                mm_token_type_ids=(ids == policy.model.config.image_token_id).long(),
                pixel_values=pixels["pixel_values"],
                image_grid_thw=pixels["image_grid_thw"],
            ).logits[0]
        scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        expected = scores.gather(1, torch.tensor(output.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(output.log_probs), expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_pixels": 32 * 32, "max_pixels": 64 * 64},
        {"images_kwargs": {"min_pixels": 32 * 32, "max_pixels": 64 * 64}},
        {"min_pixels": 160 * 160, "max_pixels": 256 * 256},
    ],
)
async def test_images_are_prepared_as_for_the_update(model, policy, settings):
    prepared = policy.processor(text=["<|image_pad|>"], images=IMAGES[:1], **settings)
    plain = policy.processor(text=["<|image_pad|>"], images=IMAGES[:1])
    count = prepared["input_ids"][0].count(policy.model.config.image_token_id)
    assert count != plain["input_ids"][0].count(policy.model.config.image_token_id)
    prompt, image = policy.prompt("html"), policy.model.config.image_token_id
    first = prompt.index(image)
    resized = [*prompt[:first], *[image] * count, *(token for token in prompt[first:] if token != image)]
    on = server(model)
    outputs = await asyncio.gather(
        on.generate("0", resized, SAMPLING, IMAGES[:1], mm_processor_kwargs=settings),
        on.generate("1", prompt, SAMPLING, IMAGES[:1], mm_processor_kwargs={}),
    )
    assert all(output.token_ids for output in outputs)
    with pytest.raises((RuntimeError, ValueError)):
        await on.generate("2", resized, SAMPLING, IMAGES[:1])


async def test_a_reply_holds_no_image_tokens_and_ends_at_the_stop_token(model, policy):
    on = server(model)
    outputs = await ask(on, policy.prompt("html"), IMAGES * 16, temperature=2.0)
    written = {token for output in outputs for token in output.token_ids}
    assert not written & set(on.suppressed)
    assert all(not on.stop & set(output.token_ids[:-1]) for output in outputs)


async def test_new_weights_change_the_replies_and_carry_their_step(model, policy):
    on = server(model)
    before = await ask(on, policy.prompt("html"), IMAGES, temperature=0)
    weights = {name: -value for name, value in on.model.state_dict().items()}
    await on.load_weights(weights, 7)
    after = await ask(on, policy.prompt("html"), IMAGES, temperature=0)
    assert [output.token_ids for output in after] != [output.token_ids for output in before]
    assert {output.extra_fields["global_steps"] for output in after} == {7}


async def test_weights_of_another_model_are_refused(model):
    on = server(model)
    with pytest.raises(ValueError, match="weights of another model: 1 names differ"):
        await on.load_weights({**on.model.state_dict(), "more": torch.zeros(1)}, 1)


async def test_an_error_reaches_everyone_who_waits_and_the_server_goes_on(model, policy):
    on = server(model)
    broken = [len(policy.processor.tokenizer) + 10_000]
    failed = await asyncio.gather(*(on.generate(str(i), broken, SAMPLING) for i in range(2)), return_exceptions=True)
    assert all(isinstance(error, Exception) for error in failed)
    assert len(await ask(on, policy.prompt("html"), IMAGES)) == len(IMAGES)
