"""Text of the policy, of a judge or of a library cannot control the terminal that shows it to an operator."""

import asyncio
import logging
import pickle
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from visual_erm import errors
from visual_erm.errors import RenderFailed, StageFailed, Tampering, VisualERMError, boundary, printable
from visual_erm.reward.report import parse_report
from visual_erm.sandbox.host import Limits, Sandbox
from visual_erm.spec.sandbox import SandboxSettings
from visual_erm.spec.task import load_task

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TEXTS = {
    "colors": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "screen": "\x1b[2J\x1b[H",
    "eight bits": "\x9b2J",
    "overwritten": "failed\rpassed",
    "erased": "failed\b\b\b\b\b\bpassed",
    "deleted": "failed\x7f",
    "reversed": "\u202egnp.exe",
    "isolated": "\u2066txt\u2069",
    "asks for an answer": "\x1b[6n\x1bP$q\x1b\\",
}
EVERY_ERROR = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, VisualERMError)]
BACKEND = Path(__file__).parent / "sandbox" / "script_backend.py"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_codes_are_written_out(text):
    assert OBEYED.search(text)
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert shown == ascii(text)[1:-1].replace("\\\\", "\\")
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["", "two\nlines\tand a tab", "表 é ß — “quoted” 👍🏽", "नमस्ते שלום عربى", "a\\x1b"])
def test_other_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.__name__)
def test_no_message_of_this_project_has_them(error):
    raised = pickle.loads(pickle.dumps(error("a\x1b[31mb\x9bc")))
    assert type(raised) is error
    assert str(raised) == r"a\x1b[31mb\x9bc"


@pytest.mark.parametrize("raised", [ValueError("\x1b[2J"), KeyError("\x9b"), OSError(2, "no \x07 such", "\x1b]0;a\x07")])
def test_an_exception_that_nobody_expected_is_logged_without_them(raised, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(StageFailed) as failed, boundary("render"):
        raise raised
    shown = logging.Formatter().format(caplog.records[0])
    assert "Traceback" in shown and type(raised).__name__ in shown
    assert not OBEYED.search(shown + str(failed.value))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_report_of_a_judge_has_none(text):
    reply = (
        f'{{"errors": [{{"type": "text_error", "severity": 2, "location": {_json(text)}, "description": {_json(text)}}}]}}'
    )
    (found,) = parse_report(reply, load_task("table").report).discrepancies
    assert not OBEYED.search(found.description + found.location)
    assert found.description


SPEAKS_FOR_ITSELF = r"""
import os, struct
reason = b"drawn\n\x1b[1A\x1b[2KRenderFailed: of another\r\nline"
os.write(3, struct.pack("<8sBIIQdI", b"\x89drawing", 1, 0, 0, len(reason), 0.0, 0))
key = os.read(3, 32)
from hashlib import blake2b
head = struct.pack("<8sBIIQdI", b"\x89drawing", 1, 0, 0, len(reason), 0.0, 0)
seal = blake2b(struct.pack("<QQ", JOB, len(reason)) + head, key=key, digest_size=32)
seal.update(reason)
os.write(3, reason + seal.digest())
os._exit(0)
"""
RAISES = {
    "reason": "raise RenderingFailed('RenderFailed', 'line 3: \\x1b[31mred\\x07')",
    "tampering": "raise RenderingFailed('Tampering', 'tried to open /a\\x1b]0;b\\x07')",
    "limit": "raise OSError(28, 'No space \\x9b2J left')",
    "protocol": SPEAKS_FOR_ITSELF.replace("JOB", "5"),
}


def test_what_a_worker_says_is_one_line_without_them(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def reasons() -> list[str]:
        sandbox = Sandbox(BACKEND, {}, SandboxSettings(require=()), Limits(20, 10**6), workers=1)
        found = []
        try:
            await sandbox.render("answer = 0")
            for script in RAISES.values():
                with pytest.raises((RenderFailed, Tampering, errors.RenderLimit)) as raised:
                    await sandbox.render(script)
                found.append(str(raised.value))
        finally:
            await sandbox.close()
        return found

    said = asyncio.run(reasons())
    assert said[0] == r"line 3: \x1b[31mred\x07"
    assert said[-1] == r"drawn \x1b[1A\x1b[2KRenderFailed: of another line"
    assert not any(OBEYED.search(reason) or "\n" in reason for reason in said)


PRINTS = """
import sys, os
print("\\x1b[2J printed")
print("\\x1b[2J to the other", file=sys.stderr)
os.write(1, b"\\x1b[2J written")
os.write(2, b"\\x1b[2J written")
raise ValueError("\\x1b]0;raised\\x07 \\x9b2J")
"""


def test_what_a_script_prints_and_raises_reaches_an_operator_as_text(tmp_path):
    """Scripts' output is read by nobody; the reason is shown."""
    Image.new("RGB", (60, 40), "red").save(tmp_path / "reference.png")
    (tmp_path / "reply.py").write_text(PRINTS)
    words = ["score", "chart", "--reference", tmp_path / "reference.png", "--response", tmp_path / "reply.py"]
    command = [sys.executable, "-m", "visual_erm.cli", "--verbose", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    shown = done.stdout + done.stderr
    assert r"\x1b]0;raised\x07 \x9b2J" in shown
    assert "printed" not in shown and "written" not in shown
    assert not OBEYED.search(shown)


def _json(text: str) -> str:
    return '"' + "".join(f"\\u{ord(one):04x}" for one in text) + '"'
