"""What one row of the data set holds: a prompt with a image for the policy, and the reference for the reward.

veRL 0.9.1 opens an entry of `images` by its `bytes` whenever that key is there, even if it is null, and then drops the row;
and it takes paths as they are, relative to the working directory. Hence two forms: `{"bytes", "path"}` with the bytes
filled in, or `{"image"}` with an absolute path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from visual_erm.data.images import encode, keep, read_image, scale_down
from visual_erm.errors import ConfigError

_EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class Sample:
    """One table, chart or drawing, ready to become a row."""

    index: int
    """Its number in the whole data set, over both splits."""
    where: str
    """File and line that it came from."""
    reference: Path
    """The image that the reward compares with."""
    engine: str = ""
    """What drew the reference, where that is known."""
    ground_truth: str = ""
    """Its code where that is known; only rewards that compare code look at it."""


@dataclass(frozen=True)
class RowFormat:
    """How samples are written down."""

    task: str
    """Name of the task, veRL's `data_source`."""
    prompt: str
    """Holds `<image>` once."""
    longest_side: int = 1280
    """Longest side in pixels of the image that the policy sees; larger ones are scaled down."""
    embed: bool = True
    """Images inside of the parquet, or beside it in `images/`."""

    def __post_init__(self) -> None:
        found = self.prompt.count("<image>")
        if found != 1:
            raise ConfigError(f"the prompt holds <image> {found} times; write it once, where the picture goes")
        for word in ("<video>", "<audio>"):
            if word in self.prompt:
                raise ConfigError(f"the prompt holds {word}, which veRL would replace by a clip that no row has")


def schema(embed: bool) -> pa.Schema:
    """Columns of the parquet: veRL's own names."""
    image = _EMBEDDED if embed else pa.struct([("image", pa.string())])
    extra = [("index", pa.int64()), ("split", pa.string()), ("reference", _EMBEDDED), ("engine", pa.string())]
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


def make_row(sample: Sample, split: str, form: RowFormat, folder: Path) -> dict[str, Any]:
    """The row of a sample in the parquet of `split` (`train` or `test`) that lies in `folder`.

    Rows that embed no images keep them in `images/` of that folder.
    Raises ConfigError when the reference is not a image, or not one that vision models take.
    """
    content, picture = read_image(sample.reference)
    seen = encode(scale_down(picture, form.longest_side)) if max(picture.size) > form.longest_side else content
    if form.embed:
        image: dict[str, Any] = {"bytes": seen, "path": None}
        reference: dict[str, Any] = {"bytes": content, "path": None}
    else:
        kept = sample.reference if sample.reference.parent == folder / "images" else keep(folder / "images", content)
        image = {"image": str((kept if seen is content else keep(folder / "images", seen)).resolve())}
        reference = {"bytes": None, "path": kept.relative_to(folder).as_posix()}
    return {
        "data_source": form.task,
        "prompt": [{"role": "user", "content": form.prompt}],
        "images": [image],
        "ability": "vision2code",
        "reward_model": {"style": "model", "ground_truth": sample.ground_truth},
        "extra_info": {"index": sample.index, "split": split, "reference": reference, "engine": sample.engine},
    }
