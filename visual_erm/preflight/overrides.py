"""From the words of a command line to a configuration: what does not compose is found word by word, with the nearest key.

Hydra stops at the first word that it cannot take. Here it is put aside and Hydra asked again; in the end the rest is
checked as if every misspelt key had been spelt right, so that nothing is reported twice.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from visual_erm.errors import ConfigError
from visual_erm.preflight.findings import Problem
from visual_erm.preflight.quoting import meant, override, pasted
from visual_erm.spec.base import removed, renamed, shipped

SEARCH = "hydra.searchpath="
SWEEP = "Ambiguous value"
"""How Hydra's message begins about a value with commas: it would be one run for each."""
FILE_LISTS = ("data.train_files", "data.val_files")
"""Keys that take one file or a list of them: a comma separates files."""
NAME_SIMILARITY, KEY_SIMILARITY = 0.7, 0.9
"""Least similarity to a valid key, 0 to 1, at which that key was meant: of the last name, and of the whole key."""


def verl_configs() -> Path:
    """Returns the folder that holds veRL's `config/`.

    It is found without an import of veRL, which picks its platform while it is imported: the configuration says which. It
    is not `config/` itself, whose groups `engine` and `reward` are not this project's.

    Raises:
        ConfigError: veRL is not installed.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("veRL is not installed; fix: pip install 'visual-erm[train]'")
    return Path(spec.submodule_search_locations[0]) / "trainer"


def arguments(given: Sequence[str], folder: Path) -> list[str]:
    """Writes a command line as Hydra takes it, with veRL's configuration.

    The task may be a file of the user's own: `task=own/form.yaml`.

    Args:
        given: The words of the command line.
        folder: An empty folder. Hydra finds files of tasks through links in it.

    Returns:
        The words, with a search path before them.

    Raises:
        ConfigError: A task's file does not exist, or has the name of a shipped task, which Hydra would take instead.
    """
    places, words = [verl_configs()], []
    shipped_tasks = {file.stem for file in (shipped("configs") / "task").glob("*.yaml")}
    for number, word in enumerate(given):
        key, _, value = word.partition("=")
        if key == "task" and value.endswith((".yaml", ".yml")):
            file = Path(value).expanduser().resolve()
            if not file.is_file():
                raise ConfigError(f"task: {file} does not exist")
            if file.stem in shipped_tasks:
                raise ConfigError(f"task: {file} has the name of a task of this project; rename it")
            places.append(folder / str(number))
            places[-1].mkdir()
            (places[-1] / "task").symlink_to(file.parent)
            word = f"task={file.stem}"
        words.append(word)
    return [override("hydra.searchpath", [f"file://{place}" for place in places]), *words]


def compose_recipe(words: Sequence[str]) -> DictConfig:
    """Composes `configs/grpo.yaml`, veRL's configuration and overrides.

    Args:
        words: Overrides.

    Returns:
        The configuration.

    Raises:
        HydraException: Hydra does not take a word.
        OmegaConfBaseException: OmegaConf does not take a word.
    """
    search = [] if search_path_folders(words) else [override("hydra.searchpath", [f"file://{verl_configs()}"])]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(shipped("configs")), version_base="1.3"):
        return compose("grpo", [*search, *words])


def composed(words: Sequence[str]) -> tuple[DictConfig | None, list[Problem]]:
    """Composes the configuration even when words are wrong: misspelt keys are put right.

    Args:
        words: Overrides.

    Returns:
        The configuration, and what is wrong with the words. There is no configuration where the choice of a group is
        wrong, because its keys are then missing everywhere.
    """
    kept = list(words)
    wrong: list[tuple[str, Exception]] = []
    while True:
        try:
            config = compose_recipe(kept)
            break
        except (HydraException, OmegaConfBaseException) as error:
            word = _word_at_fault(kept, error)
            if word is None:
                return None, [_explained(*one, None) for one in (*wrong, ("", error))]
            wrong.append((word, error))
            kept.remove(word)
    if not wrong:
        return config, []
    known = list(keys(config))
    problems = [_explained(word, error, config) for word, error in wrong]
    if any(isinstance(error, MissingConfigException) for _, error in wrong):
        return None, problems
    mended = [
        word.replace(_key(word), near, 1)
        for word, _ in wrong
        if (near := nearest(_key(word), known)) and near != _key(word)
    ]
    mended += [_readable(word, config) for word, error in wrong if _is_unreadable(word, error)]
    try:
        return compose_recipe([*kept, *mended]), problems
    except (HydraException, OmegaConfBaseException):
        return config, problems


def keys(config: DictConfig, above: str = "") -> Iterator[str]:
    """Lists every key, as the command line writes it.

    Args:
        config: The configuration, or a part of it.
        above: Beginning of each key, with its last dot.

    Yields:
        The keys.
    """
    for name in map(str, config):
        yield f"{above}{name}"
        below = config._get_node(name)
        if isinstance(below, DictConfig) and not (below._is_none() or below._is_missing() or below._is_interpolation()):
            yield from keys(below, f"{above}{name}.")


def nearest(key: str, known: Sequence[str]) -> str:
    """Finds the valid key that was meant.

    Args:
        key: A whole key that is not valid.
        known: All valid keys.

    Returns:
        The key's new name, a key beside it that is spelt alike, one of this name elsewhere, or one that is spelt alike as a
        whole; empty for none.
    """
    if (new := renamed(key)) in known:
        return new
    above, _, name = key.rpartition(".")
    beside = {full.rpartition(".")[2]: full for full in known if full.rpartition(".")[0] == above}
    if near := difflib.get_close_matches(name, beside, 1, NAME_SIMILARITY):
        return beside[near[0]]
    if elsewhere := [full for full in known if full.endswith(f".{key}")]:
        return min(elsewhere, key=len)
    return next(iter(difflib.get_close_matches(key, known, 1, KEY_SIMILARITY)), "")


def one_line(error: Exception) -> str:
    """Writes Hydra's message as one line, without search paths and addresses.

    Args:
        error: The error.

    Returns:
        The line.
    """
    return " ".join(re.split(r"\nConfig search path:|\nSee http", str(error))[0].split())


def search_path_folders(words: Sequence[str]) -> list[Path]:
    """Lists the folders that Hydra's search path adds.

    Args:
        words: Overrides.

    Returns:
        The folders.
    """
    parser = OverridesParser.create()
    places = [
        str(place) for word in words if word.startswith(SEARCH) for place in _items(parser.parse_override(word).value())
    ]
    return [Path(place.removeprefix("file://")) for place in places]


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _word_at_fault(words: Sequence[str], error: Exception) -> str | None:
    """Finds the word that Hydra's message names; None for none."""
    if (word := getattr(error, "override", None)) in words:
        return str(word)
    quoted = re.findall(r"'([^']*)'", str(error))
    for word in words:
        choice = f"{_key(word).partition('@')[0]}/{word.partition('=')[2]}"
        if word in quoted or _key(word) in quoted or choice in quoted:
            return word
    return None


def _is_unreadable(word: str, error: Exception) -> bool:
    """Whether Hydra's grammar does not take the value, as with `=`, `(`, `#` or a comma in it."""
    is_sweep = str(error).startswith(SWEEP)
    return "=" in word and (is_sweep or (isinstance(error, HydraException) and getattr(error, "override", None) == word))


def _readable(word: str, config: DictConfig | None) -> str:
    """The word with its value as a text, or as a list of texts where the key takes a list."""
    key = _key(word)
    default = OmegaConf.select(config, key, default=None) if config is not None else None
    is_list = isinstance(default, ListConfig) or (key in FILE_LISTS and "," in word)
    return meant(word, is_list)


def _explained(word: str, error: Exception, config: DictConfig | None) -> Problem:
    key, message = _key(word) or "the configuration", one_line(error)
    known = list(keys(config)) if config is not None else []
    if isinstance(error, MissingConfigException):
        what, _, choices = message.partition(" Available options in ")
        names = choices.partition(": ")[2].split()
        return Problem(key, what, f"give one of {', '.join(names)}" if names else "give one of configs/")
    if message.startswith("Could not override"):
        if advice := removed(key):
            return Problem(key, "no such key", advice)
        if (new := renamed(key)) in known:
            return Problem(key, "no such key", f"it is called `{new}` now")
        if near := nearest(key, known):
            return Problem(key, "no such key", f"did you mean `{near}`?")
        above = key.rpartition(".")[0]
        beside = [full.rpartition(".")[2] for full in known if full.rpartition(".")[0] == above]
        valid = f"valid keys of `{above}`: {', '.join(beside)}" if above and beside else "see configs/grpo.yaml"
        return Problem(key, "no such key", f"{valid}; a new one is written {pasted(f'+{word}')}")
    if _is_unreadable(word, error):
        message = "a comma has a meaning of its own here" if message.startswith(SWEEP) else message
        return Problem(key, message, f"give {pasted(_readable(word, config))}")
    return Problem(key, message, "write key=value, and lists in quotes: 'key=[a,b]'")
