"""Tells which rows veRL would lose: loads them with veRL's own dataset class, which drops what it cannot read.

The last step of `build`, and a check before a run (`preflight`). veRL only prints how many rows it dropped; a `VerlCheck`
names each of them.

    check = VerlCheck(Path("models/Qwen3-VL-8B"), max_prompt_tokens=8192)
    problems = check(Path("data/train.parquet"))
    first_row, *others = check.rows([pq.read_table("data/train.parquet").slice(0, 8)])
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from visual_erm.errors import ConfigError

log = logging.getLogger(__name__)

UNLIMITED = 10**9
"""A limit of the prompt in tokens that no row reaches."""
TOO_LONG = "its prompt is longer than"
"""Beginning of the reason for a row that veRL could load, but whose prompt is over the limit."""

ModelWriter = Callable[[Path], object]
"""Writes a model with its processor to an empty folder."""


POSITION = "__position__"
"""Column that tells rows apart after veRL has dropped some."""


@dataclass(frozen=True)
class LoadedRow:
    """What veRL makes of a row."""

    lost: str
    """Why veRL would lose the row; empty where it keeps it."""
    images: tuple[Image.Image, ...]
    """The images as veRL hands them to the policy's processor: RGB, and resized to a whole number of image tokens. Empty
    where veRL cannot load the row."""


class VerlCheck:
    """Loads parquet files as veRL's trainer does, with the processor of a model.

    Args:
        model: Folder of a vision-language model with tokenizer and processor.
        max_prompt_tokens: Rows with a longer prompt are reported. None: no prompt is too long.
        settings: veRL's `data` settings, for a run that differs from veRL's defaults.

    Raises:
        ConfigError: veRL is not installed, or the model cannot be read or has no image processor.
    """

    def __init__(
        self, model: Path, max_prompt_tokens: int | None = None, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        hf_processor, hf_tokenizer = _verl_loaders()
        try:
            self._tokenizer, self._processor = hf_tokenizer(str(model)), hf_processor(str(model))
        except (OSError, ValueError) as error:
            raise ConfigError(f"--model {model}: no tokenizer and processor can be read there ({error})") from error
        if self._processor is None:
            raise ConfigError(f"--model {model}: it has no image processor; give a vision-language model")
        self._limit = UNLIMITED if max_prompt_tokens is None else max_prompt_tokens
        self._settings = {**settings, "max_prompt_length": self._limit}

    @classmethod
    def with_stand_in(cls, write_model: ModelWriter) -> VerlCheck:
        """Makes a check for data whose policy is not at hand. It counts no tokens: no prompt is too long.

        Args:
            write_model: Writes the stand-in for the policy to a temporary folder.

        Returns:
            The check. The folder is removed before this returns.

        Raises:
            ConfigError: veRL is not installed.
        """
        _verl_loaders()
        with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder:
            with _output_to_log():
                write_model(Path(folder))
            return cls(Path(folder))

    def __call__(self, parquet: Path) -> dict[int, str]:
        """Finds the rows of a file that veRL would lose.

        Args:
            parquet: A file of rows as `make_row` makes them.

        Returns:
            What is wrong with each row that veRL would lose, by its `extra_info.index`.
        """
        written = pq.ParquetFile(parquet).read(columns=["extra_info.index"]).to_pylist()
        positions = {row["extra_info"]["index"]: position for position, row in enumerate(written)}
        if not positions:
            return {}
        with _temporary_datasets_cache():
            loaded = self._load(parquet, filtered=True)
            lost = positions.keys() - {loaded[position]["index"] for position in range(len(loaded))}
            unfiltered = self._load(parquet, filtered=False) if lost else None
            return {index: self._reason(unfiltered, positions[index]) for index in sorted(lost)}

    def rows(self, tables: Sequence[pa.Table]) -> list[LoadedRow]:
        """Loads rows of several files together, as veRL's trainer loads the whole files.

        Args:
            tables: Rows of each file, with the file's own schema and its metadata: veRL reads them otherwise without.

        Returns:
            What veRL makes of each row, in their order.

        Raises:
            ConfigError: veRL cannot load the files, or not together.
        """
        count = sum(table.num_rows for table in tables)
        if not count:
            return []
        with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder, _temporary_datasets_cache():
            files, start = [], 0
            for number, table in enumerate(tables):
                positions = pa.array(range(start, start + table.num_rows), pa.int64())
                files.append(Path(folder) / f"{number}.parquet")
                pq.write_table(table.append_column(POSITION, positions), files[-1])
                start += table.num_rows
            try:
                unfiltered = self._load(*files, filtered=False)
                kept = set(self._load(*files, filtered=True).dataframe[POSITION])
            except (ValueError, TypeError, OSError, pa.ArrowException) as error:
                raise ConfigError(f"veRL cannot load the rows ({type(error).__name__}: {error})") from error
            return [
                LoadedRow("" if row in kept else self._reason(unfiltered, row), self._images(unfiltered, row))
                for row in range(count)
            ]

    def image_settings(self) -> dict[str, Any]:
        """Returns the settings of the policy's image processor, as its file has them."""
        return dict(self._processor.image_processor.to_dict())

    def count_tokens(self, text: str) -> int:
        """Counts the tokens of a text for the policy.

        Args:
            text: The text.

        Returns:
            The number of tokens.
        """
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def count_image_tokens(self, image: Image.Image) -> int:
        """Counts the tokens of a message that shows an image and says nothing.

        Args:
            image: The image, as veRL hands it to the policy.

        Returns:
            The number of tokens.
        """
        message = {"role": "user", "content": [{"type": "image", "image": image}]}
        prompt = self._processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        settings = dict(self._settings.get("mm_processor_kwargs") or {})
        return len(self._processor(text=[prompt], images=[image], **settings)["input_ids"][0])

    def _load(self, *files: Path, filtered: bool) -> Any:
        from omegaconf import OmegaConf
        from verl.utils.dataset.rl_dataset import RLHFDataset

        # 0: in this process. veRL forks its workers, and a fork of a process with threads can hang.
        in_process = {"filter_overlong_prompts": filtered, "filter_overlong_prompts_workers": 0}
        settings = OmegaConf.create({**self._settings, **in_process})
        with _output_to_log():
            return RLHFDataset([str(file) for file in files], self._tokenizer, settings, self._processor)

    def _reason(self, unfiltered: Any, position: int) -> str:
        try:
            messages = unfiltered[position]["raw_prompt"]
            images, videos, _ = unfiltered._process_multi_modal_info(
                messages, unfiltered.image_patch_size, unfiltered.config
            )
            prompt = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            self._processor(text=[prompt], images=images, videos=videos, **unfiltered.mm_processor_kwargs)
        except Exception as error:  # noqa: BLE001  any error of veRL is the reason why it drops the row
            return f"veRL cannot load it ({type(error).__name__}: {error})"
        return f"{TOO_LONG} {self._limit} tokens: lower --longest-side, or raise --max-prompt-tokens"

    @staticmethod
    def _images(unfiltered: Any, position: int) -> tuple[Image.Image, ...]:
        try:
            messages = unfiltered[position]["raw_prompt"]
            images, _, _ = unfiltered._process_multi_modal_info(messages, unfiltered.image_patch_size, unfiltered.config)
        except Exception:  # noqa: BLE001  the row is lost, and `_reason` says why
            return ()
        return tuple(images or ())


def type_mismatch(first: pa.Schema, other: pa.Schema) -> tuple[str, str, str] | None:
    """Finds out whether veRL can join two files, by the rules of `datasets`, through which it reads them.

    Args:
        first: Schema of a file, with its metadata.
        other: Schema of another file.

    Returns:
        The first column that cannot be joined, and its type in both; None where all can.
    """
    import datasets

    mine, others = datasets.Features.from_arrow_schema(first), datasets.Features.from_arrow_schema(other)
    for column in mine:
        if column not in others:
            continue
        # A row of nulls: `datasets` leaves out tables without rows.
        parts = [
            datasets.Dataset.from_dict({column: [None]}, features=datasets.Features({column: features[column]}))
            for features in (mine, others)
        ]
        try:
            datasets.concatenate_datasets(parts)
        except (ValueError, TypeError, pa.ArrowException):
            return column, str(mine[column]), str(others[column])
    return None


def _verl_loaders() -> tuple[Any, Any]:
    """Imports veRL's loaders of processors and tokenizers. Raises ConfigError when veRL is not installed."""
    try:
        from verl.utils import hf_processor, hf_tokenizer
    except ImportError as error:
        raise ConfigError(
            f"veRL checks the rows, but it cannot be imported ({error}): pip install visual-erm[train], or give --no-check"
        ) from error
    return hf_processor, hf_tokenizer


@contextlib.contextmanager
def _output_to_log() -> Iterator[None]:
    """Sends what is printed to the log."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        yield
    log.debug("%s", output.getvalue())


@contextlib.contextmanager
def _temporary_datasets_cache() -> Iterator[None]:
    """Keeps `datasets` from copying every row into the user's cache, where the copies would stay."""
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    with tempfile.TemporaryDirectory(prefix="visual-erm-") as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder)
        try:
            yield
        finally:
            datasets.config.HF_DATASETS_CACHE = before
