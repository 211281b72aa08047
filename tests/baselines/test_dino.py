"""Features of a tiny random DINOv2: the same alone and in company, and made beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from visual_erm.errors import ComparisonFailed, ConfigError

# torch itself is imported by the tests that use it: this module is collected in every process of a run.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (find_spec("torch") and find_spec("transformers")), reason="needs torch and transformers"),
]


@pytest.fixture(scope="module")
def dino():
    """The module, imported by the tests that use it."""
    from visual_erm.baselines import dino

    return dino


def picture(damage: int = 0, size: tuple[int, int] = (240, 120)) -> Image.Image:
    """A table of black words, some of them painted over."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for number in range(12):
        place = (10 + 60 * (number % 4), 10 + 40 * (number // 4))
        draw.rectangle((place, (place[0] + 50, place[1] + 30)), outline="black")
        draw.text((place[0] + 8, place[1] + 8), f"{number * 37}", fill="black")
        if number < damage:
            draw.rectangle((place, (place[0] + 50, place[1] + 30)), fill=(200, 30, 30))
    return image


async def test_equal_images_are_one_and_likeness_falls_with_damage(dino, tiny_dino):
    measure = dino.Dino(str(tiny_dino), "cpu", 8)
    found = [await measure.compare(picture(damage), picture()) for damage in (0, 2, 6, 12)]
    await measure.close()
    assert found[0] == pytest.approx(1, abs=1e-6)
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] - 0.01


async def test_images_in_flight_share_passes_and_get_what_they_get_alone(dino, tiny_dino, monkeypatch):
    passes = []
    embed = dino.Embedder.__call__
    monkeypatch.setattr(
        dino.Embedder, "__call__", lambda self, images: (passes.append(len(images)), embed(self, images))[1]
    )
    images = [picture(damage, (200 + 20 * damage, 120)) for damage in range(12)]
    alone = dino.Dino(str(tiny_dino), "cpu", 1)
    one_by_one = [await alone.compare(shown, images[0]) for shown in images]
    await alone.close()
    assert passes == [1] * 12, "features of a picture are made once"
    passes.clear()
    together = dino.Dino(str(tiny_dino), "cpu", 8)
    at_once = await asyncio.gather(*(together.compare(shown, images[0]) for shown in images for _ in range(8)))
    await together.close()
    assert at_once[::8] == pytest.approx(one_by_one, abs=1e-5)
    assert sum(passes) == 12 and len(passes) <= 4 and max(passes) <= 8


async def test_the_loop_goes_on_while_features_are_made(dino, tiny_dino, monkeypatch):
    going_on = threading.Event()
    embed = dino.Embedder.__call__

    def held(self, images):
        assert going_on.wait(30), "the pass waits for the loop, and the loop for the pass"
        return embed(self, images)

    monkeypatch.setattr(dino.Embedder, "__call__", held)
    measure = dino.Dino(str(tiny_dino), "cpu", 16)
    work = asyncio.gather(*(measure.compare(picture(n % 12, (600 + n, 400)), picture()) for n in range(20)))
    await asyncio.sleep(0.2)
    going_on.set()
    assert len(await work) == 20
    await measure.close()


async def test_nothing_of_a_wide_image_is_cropped_away(dino, tiny_dino):
    measure = dino.Dino(str(tiny_dino), "cpu", 8)
    wide = picture(0, (1600, 120))
    changed = wide.copy()
    ImageDraw.Draw(changed).rectangle((1400, 0, 1600, 120), fill="black")
    assert await measure.compare(changed, wide) < 0.9999, "of the middle alone, they are the same"
    await measure.close()


async def test_a_checkpoint_that_is_not_there_or_a_device_stops_the_run_and_torchs_own_trouble_costs_nothing(
    dino, tiny_dino, tmp_path: Path, monkeypatch
):
    import torch

    with pytest.raises(ConfigError, match=r"reward_kwargs\.model: .*nowhere cannot be loaded"):
        await dino.Dino(str(tmp_path / "nowhere"), "cpu", 8).compare(picture(), picture())
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"reward_kwargs\.device: cuda cannot be used here"):
            await dino.Dino(str(tiny_dino), "cuda", 8).compare(picture(), picture())

    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(dino.Embedder, "__call__", out_of_memory)
    with pytest.raises(ComparisonFailed, match="out of memory"):
        await dino.Dino(str(tiny_dino), "cpu", 8).compare(picture(), picture())


async def test_whoever_waits_when_the_reward_is_closed_is_told(dino, tiny_dino, monkeypatch):
    going_on = threading.Event()
    embed = dino.Embedder.__call__
    monkeypatch.setattr(dino.Embedder, "__call__", lambda self, images: (going_on.wait(30), embed(self, images))[1])
    measure = dino.Dino(str(tiny_dino), "cpu", 1)
    waiting = [asyncio.ensure_future(measure.compare(picture(damage), picture())) for damage in range(3)]
    await asyncio.sleep(0.3)
    closing = asyncio.ensure_future(measure.close())
    await asyncio.sleep(0.1)
    going_on.set()
    await closing
    async with asyncio.timeout(10):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, ComparisonFailed) for result in results)


async def test_closing_leaves_nobody_waiting(dino, tiny_dino, monkeypatch):
    begun, going_on = threading.Event(), threading.Event()
    embed = dino.Embedder.__call__

    def held(self, images):
        begun.set()
        assert going_on.wait(30)
        return embed(self, images)

    monkeypatch.setattr(dino.Embedder, "__call__", held)
    measure = dino.Dino(str(tiny_dino), "cpu", 1)
    asked = [asyncio.create_task(measure.compare(picture(damage), picture())) for damage in (2, 4, 6)]
    await asyncio.to_thread(begun.wait, 30)
    closing = asyncio.create_task(measure.close())
    await asyncio.sleep(0.1)
    going_on.set()
    await closing
    found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert all(isinstance(one, ComparisonFailed) for one in found)
