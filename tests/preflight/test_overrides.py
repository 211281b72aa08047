"""Words of the command line that do not compose, or are read as something else: each fix can be pasted into a shell."""

from __future__ import annotations

import io
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from rich.console import Console
from runs import read

from visual_erm.preflight.findings import Outcome, Problem
from visual_erm.preflight.overrides import composed
from visual_erm.preflight.quoting import meant, override, pasted
from visual_erm.preflight.report import print_report
from visual_erm.preflight.settings import misread


@pytest.mark.parametrize(
    ("words", "key", "what", "fix"),
    [
        (["policy=tinny"], "policy", "Could not find 'policy/tinny'", "give one of qwen3vl_8b, tiny, vincicoder_8b"),
        (["trainer.totl_epochs=2"], "trainer.totl_epochs", "no such key", "did you mean `trainer.total_epochs`?"),
        (["rollout.n=2"], "rollout.n", "no such key", "did you mean `actor_rollout_ref.rollout.n`?"),
        (["trainer.colour=red"], "trainer.colour", "no such key", "valid keys of `trainer`: "),
        (["nonsense"], "nonsense", "missing EQUAL", "write key=value"),
        (["data.train_files=a=b"], "data.train_files", "=", """give 'data.train_files="a=b"'"""),
        (["data.train_files=a=b,c#d"], "data.train_files", "=", """give 'data.train_files=["a=b","c#d"]'"""),
        (["data.val_files=a,b"], "data.val_files", "comma", "give 'data.val_files=[a,b]'"),
        (["run_dir=runs/a,b"], "run_dir", "comma", """give 'run_dir="runs/a,b"'"""),
        (["run_dir=runs/a(1)"], "run_dir", "(", """give 'run_dir="runs/a(1)"'"""),
        (
            ["judge=remote", "judge.endpoints=http://[::1]:8000/v1"],
            "judge.endpoints",
            "[",
            """give 'judge.endpoints=["http://[::1]:8000/v1"]'""",
        ),
        (
            ["judge=remote", "judge.endpoints=[http://[::1]:8000/v1, 'http://a:1/v1']"],
            "judge.endpoints",
            "[",
            """give 'judge.endpoints=["http://[::1]:8000/v1",http://a:1/v1]'""",
        ),
        (["+trainer.note=~it's"], "trainer.note", "~", "give '+trainer.note="),
    ],
)
def test_words_that_do_not_compose(words, key, what, fix):
    config, (problem,) = composed(["cluster=cpu", *words])
    assert problem.key == key
    assert what in problem.what and fix in problem.fix
    assert (config is None) == (key == "policy")
    if fix.startswith("give '"):
        (word,) = shlex.split(problem.fix.removeprefix("give "))
        again, problems = composed(["cluster=cpu", *(["judge=remote"] if "judge=remote" in words else []), word])
        assert not problems
        # The checks go on as if it had been given so: the key is not reported as missing as well.
        assert OmegaConf.select(again, key) == OmegaConf.select(config, key) not in (None, [])


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
    | st.text(alphabet="ab=(){}[]~#,:;'\"\\$%&*|<>?! \n./0e1", min_size=1, max_size=12)
    | st.sampled_from(
        ["null", "true", "12e4567", "1_000", "[::1]", "a\\", '\\"', "nan", "0x1f", " a ", "${x}", "$HOME", "!!"]
    )
)
def test_what_a_fix_prints_is_the_same_value_after_the_shell_and_hydra(value: str) -> None:
    parse = OverridesParser.create().parse_override
    (word,) = shlex.split(pasted(override("+a.b", value)))
    assert parse(word).value() == value and isinstance(parse(word).value(), str)
    (word,) = shlex.split(pasted(override("a.b", [value, "x"])))
    assert parse(word).value() == [value, "x"]
    (word,) = shlex.split(pasted(meant(f"a.b={value}", is_list=False)))
    if not (value.startswith("[") and value.endswith("]")):
        assert parse(word).value() == value
    report = io.StringIO()
    print_report(
        [Outcome("a", (Problem("k", "w", f"give {pasted(override('k', value))}"),))], Console(file=report, width=80)
    )
    assert f"fix: give {pasted(override('k', value))}\n" in report.getvalue()


MISREAD = [
    ("trainer.experiment_name=12e4567", "`12e4567` is read as the number inf"),
    ("trainer.experiment_name=1_000", "`1_000` is read as the number 1000"),
    ("trainer.project_name=1e5", "`1e5` is read as the number 100000.0"),
    ("trainer.project_name=1.10", "`1.10` is read as the number 1.1"),
    ("trainer.experiment_name=true", "`true` is read as the truth value True"),
    ("run_dir=2026_11_28", "`2026_11_28` is read as the number 20261128"),
    ("data.val_files=42", "`42` is read as the number 42"),
    ("+env.WANDB_RUN_ID=7e10", "`7e10` is read as the number 70000000000.0"),
    ("+env.TAG=False", ""),
]


@pytest.mark.parametrize(("word", "what"), MISREAD)
def test_text_that_is_read_as_a_number_is_named_and_in_quotes_it_is_text(word: str, what: str):
    words = ["cluster=cpu", "policy=tiny", "+env.SIZE=3", "+env.SHARE=0.5", "trainer.total_epochs=1_0"]
    key, _, text = word.lstrip("+").partition("=")
    found = list(misread(read(*words, word), [*words, word]))
    if not what:
        assert found == []
        return
    (problem,) = found
    assert (problem.key, problem.what) == (key, what)
    assert problem.fix == f"give '{key}=\"{text}\"'"
    quoted = word.partition("=")[0] + f'="{text}"'
    config = read(*words, quoted)
    assert not list(misread(config, [*words, quoted]))
    assert OmegaConf.select(config, key) == text


@pytest.mark.parametrize("word", ["0x1F", "on", "off", "no", "2026-11-28", "010", "12:30", "v1e5", "12e4567-a"])
def test_what_the_command_line_reads_as_text_is_none_of_these(word: str):
    words = ["cluster=cpu", "policy=tiny", f"trainer.experiment_name={word}"]
    config = read(*words)
    assert not list(misread(config, words))
    assert config.trainer.experiment_name == word


def test_misspelt_keys_are_all_reported_and_the_rest_is_checked_as_if_they_were_not():
    config, problems = composed(["cluster=cpu", "policy=tiny", "trainer.totl_epochs=7", "data.trian_batch_size=5"])
    assert [problem.key for problem in problems] == ["trainer.totl_epochs", "data.trian_batch_size"]
    assert config is not None
    assert (config.trainer.total_epochs, config.data.train_batch_size) == (7, 5)
