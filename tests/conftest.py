"""What all tests share. Properties are about results, never about time, and the user's configuration is never read."""

import asyncio
import copy
import functools
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Sets an empty configuration directory before any test module loads a task, so that no imported prompt is found."""
    # Where a shell runs the tests in the background, all processes that they start would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = tempfile.TemporaryDirectory(prefix="verm-config-", ignore_cleanup_errors=True)
    os.environ["XDG_CONFIG_HOME"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the slow files first. A worker that is done with one continues with short ones, and none is idle in the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="module")
def hydra_reads_files_once() -> Iterator[None]:
    """Caches what Hydra reads: some 40 files for every composition, which take most of a second."""
    omegaconf = pytest.importorskip("omegaconf")
    read = functools.cache(omegaconf.OmegaConf.load)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omegaconf.OmegaConf, "load", lambda file: copy.deepcopy(read(getattr(file, "name", file))))
        yield


@pytest.fixture(scope="session")
def tiny_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes a DINOv2 of a few hundred thousand random parameters."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino")
    shape = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**shape)).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}
    transformers.BitImageProcessor(**sizes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def draw() -> Iterator[Callable[[str], Image.Image]]:
    """Renders markup, with one warm browser for the tests of a module."""
    from visual_erm.extract import Code
    from visual_erm.render.base import make_renderer
    from visual_erm.spec.task import load_task

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    renderer = make_renderer(load_task("table").render)

    def draw_one(markup: str) -> Image.Image:
        return asyncio.run_coroutine_threadsafe(renderer.render(Code("html", markup)), loop).result()

    yield draw_one
    asyncio.run_coroutine_threadsafe(renderer.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
