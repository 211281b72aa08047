"""Does veRL load every row? Asked of veRL's own dataset class, which drops what it cannot read with only a print."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visual_erm.errors import ConfigError

log = logging.getLogger(__name__)

UNLIMITED = 10**9
"""Prompt length in tokens that no row reaches."""
TOO_LONG = "its prompt is longer than"
"""How the reason of a row begins that veRL could load."""


class VerlCheck:
    """Loads parquet files as veRL's trainer does, with the processor of a model."""

    def __init__(
        self, model: Path | None, max_prompt_tokens: int, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Without a `model`, that of a tiny Qwen3-VL made on the spot, whose tokens are not worth counting.

        `settings`: veRL's `data`, for a run that differs from its defaults.
        Raises ConfigError when veRL is not installed or the model cannot be read.
        """
        try:
            from verl.utils import hf_processor, hf_tokenizer
        except ImportError as error:
            raise ConfigError(
                f"rows are checked by veRL, which is not here ({error}): pip install visual-erm[train], or give --no-check"
            ) from error
        with contextlib.ExitStack() as made:
            folder = model or _tiny_model(Path(made.enter_context(tempfile.TemporaryDirectory(prefix="visual-erm-"))))
            try:
                self._tokenizer, self._processor = hf_tokenizer(str(folder)), hf_processor(str(folder))
            except (OSError, ValueError) as error:
                raise ConfigError(f"--model {folder}: no tokenizer and processor can be read there ({error})") from error
        if self._processor is None:
            raise ConfigError(f"--model {folder}: it has no image processor; give a vision-language model")
        self._limit = max_prompt_tokens if model else UNLIMITED
        self._settings = {**settings, "max_prompt_length": self._limit}

    def __call__(self, parquet: Path) -> dict[int, str]:
        """What is wrong with the rows that veRL would lose, by `extra_info.index`."""
        written = pq.ParquetFile(parquet).read(columns=["extra_info.index"]).to_pylist()
        positions = {row["extra_info"]["index"]: position for position, row in enumerate(written)}
        if not positions:
            return {}
        with _hugging_face_cache_elsewhere():
            loaded = self._load(parquet, filtered=True)
            lost = positions.keys() - {loaded[position]["index"] for position in range(len(loaded))}
            whole = self._load(parquet, filtered=False) if lost else None
            return {index: self._reason(whole, positions[index]) for index in sorted(lost)}

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """What is wrong with the rows that veRL would lose, by their place among `rows`."""
        numbered = [
            {**row, "extra_info": {**(row.get("extra_info") or {}), "index": place}} for place, row in enumerate(rows)
        ]
        with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder:
            file = Path(folder) / "rows.parquet"
            pq.write_table(pa.Table.from_pylist(numbered), file)
            return self(file)

    def _load(self, parquet: Path, filtered: bool) -> Any:
        from omegaconf import OmegaConf
        from verl.utils.dataset.rl_dataset import RLHFDataset

        # 0: in this process. veRL's workers are forks, and one of a process with threads may wait for ever.
        here = {"filter_overlong_prompts": filtered, "filter_overlong_prompts_workers": 0}
        settings = OmegaConf.create({**self._settings, **here})
        with _logged():
            return RLHFDataset(str(parquet), self._tokenizer, settings, self._processor)

    def _reason(self, whole: Any, position: int) -> str:
        try:
            messages = whole[position]["raw_prompt"]
            whole._process_multi_modal_info(messages, whole.image_patch_size, whole.config)
        except Exception as error:  # noqa: BLE001  whatever veRL trips over is what this row has to be reported with
            return f"veRL cannot load it ({type(error).__name__}: {error})"
        return f"{TOO_LONG} {self._limit} tokens: lower --longest-side, or raise --max-prompt-tokens"


def _tiny_model(folder: Path) -> Path:
    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    with _logged():
        build_tiny_qwen3vl(folder)
    return folder


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """What is printed goes to the log."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield
    log.debug("%s", said.getvalue())


@contextlib.contextmanager
def _hugging_face_cache_elsewhere() -> Iterator[None]:
    """`datasets` copies every row into the user's cache for good; not for a check."""
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder)
        try:
            yield
        finally:
            datasets.config.HF_DATASETS_CACHE = before
