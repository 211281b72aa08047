"""What one row of the data set holds: a prompt with an image for the policy, and the reference for the reward.

`build` calls `make_row` for every item that has an image.

    row = make_row(RowContent(0, "a.png", Path("a.png")), "train", RowFormat("table", "<image>Write the HTML."), out)

veRL 0.9.1 opens an entry of `images` by its `bytes` whenever that key is there, even if it is null, and then drops the row;
and it takes paths as they are, relative to the working directory. Hence two forms: `{"bytes", "path"}` with the bytes
filled in, or `{"image"}` with an absolute path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from visual_erm.data.images import encode, read_image, scale_down, store_by_hash
from visual_erm.errors import ConfigError
from visual_erm.vision.images import digest_of

_EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class RowContent:
    """One table, chart or drawing that has an image and can become a row."""

    index: int
    """Number of the item in the whole data set, over both splits, from 0."""
    where: str
    """File and line that the item came from."""
    reference: Path
    """The image that the reward compares with."""
    renderer_version: str = ""
    """Name and version of the renderer of the reference; empty where it is not known."""
    ground_truth: str = ""
    """Code of the reference; empty where it is not known. Only rewards that compare code read it."""


@dataclass(frozen=True)
class RowFormat:
    """How items become rows.

    Raises:
        ConfigError: The prompt does not hold `<image>` exactly once, or asks for a video or audio clip.
    """

    task: str
    """Name of the task; veRL calls it `data_source`."""
    prompt: str
    """What the policy is asked; holds `<image>` exactly once."""
    longest_side: int = 1280
    """Longest side of the policy's image in pixels; larger images are scaled down. The reference keeps its size."""
    embed: bool = True
    """True: images are inside the parquet. False: they are beside it, in `images/`."""

    def __post_init__(self) -> None:
        found = self.prompt.count("<image>")
        if found != 1:
            raise ConfigError(f"the prompt holds <image> {found} times; write it once, where the image belongs")
        for word in ("<video>", "<audio>"):
            if word in self.prompt:
                raise ConfigError(f"the prompt holds {word}, which veRL would replace by a clip that no row has")


def schema(embed: bool) -> pa.Schema:
    """Defines the columns of the parquet, under veRL's own names.

    Args:
        embed: Whether images are inside the parquet (`RowFormat.embed`).

    Returns:
        The schema that every row of `make_row` fits.
    """
    image = _EMBEDDED if embed else pa.struct([("image", pa.string())])
    extra = [("index", pa.int64()), ("split", pa.string()), ("reference", _EMBEDDED), ("renderer_version", pa.string())]
    return pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("images", pa.list_(image)),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            ("extra_info", pa.struct(extra)),
        ]
    )


def make_row(
    content: RowContent, split: str, form: RowFormat, folder: Path, seen: dict[bytes, str] | None = None
) -> dict[str, Any]:
    """Makes the row of one item.

    Args:
        content: The item.
        split: `train` or `test`.
        form: How items become rows.
        folder: Folder of the parquet. A row that embeds no images stores them in `images/` of it.
        seen: Digests of the references of earlier rows, of both splits, and where they came from. This one is added: an
            image that is in both splits would not be held out.

    Returns:
        A row that fits `schema(form.embed)`.

    Raises:
        ConfigError: The reference is not an image, not one that vision models accept, all white, or in `seen`.
    """
    original, decoded = read_image(content.reference)
    if decoded.getcolors(1) == [(decoded.width * decoded.height, (255, 255, 255))]:
        raise ConfigError(f"{content.where}: the image is empty, all of it is white; remove it")
    if seen is not None and (known := seen.setdefault(digest_of(decoded), content.where)) != content.where:
        raise ConfigError(f"{content.where}: the same image as {known}; one of them is kept")
    shown = encode(scale_down(decoded, form.longest_side)) if max(decoded.size) > form.longest_side else original
    if form.embed:
        image: dict[str, Any] = {"bytes": shown, "path": None}
        reference: dict[str, Any] = {"bytes": original, "path": None}
    else:
        images = folder / "images"
        stored = content.reference if content.reference.parent == images else store_by_hash(images, original)
        image = {"image": str((stored if shown is original else store_by_hash(images, shown)).resolve())}
        reference = {"bytes": None, "path": stored.relative_to(folder).as_posix()}
    return {
        "data_source": form.task,
        "prompt": [{"role": "user", "content": form.prompt}],
        "images": [image],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": content.ground_truth},
        "extra_info": {
            "index": content.index,
            "split": split,
            "reference": reference,
            "renderer_version": content.renderer_version,
        },
    }
