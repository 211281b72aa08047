#!/usr/bin/env bash
# In verl's multi-turn rollouts, an answer that was cut off at its length has no end of its turn.
#
# One would guess:  verl's "continuous token" builder adds the next message as the model's chat template writes it. The
#                   template ends every turn with <|im_end|>.
# What is true:     verl 0.9.1 adds what follows an answer to the tokens that the rollout server returned. A server that
#                   stopped at `max_tokens` returned no <|im_end|>, and the builder inserts only the line break after one
#                   that is there. The next turn starts inside of the answer: `…<td><|im_start|>user`.
# Why it matters:   a policy in training is then shown, and answers to, conversations that its template never makes. An
#                   agent loop of one's own has to add the end, with mask 0: the policy did not write it.
#                   visual_erm/training/refine_loop.py does.
# Run it in a checkout:  PYTHON=.venv/bin/python bash findings/verl_leaves_the_turn_of_a_cut_off_answer_open.sh
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" - "$work" <<'PY' 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
import sys
from importlib.metadata import version
from pathlib import Path

from transformers import AutoProcessor
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

build_tiny_qwen3vl(Path(sys.argv[1]))
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

processor = AutoProcessor.from_pretrained(sys.argv[1])
tokenizer = processor.tokenizer
builder = create_continuous_token_builder(tokenizer, hf_model_type="qwen3_vl", processor=processor)


def user(text):
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def merged(answer, end):
    asked = [user("Write a table.")]
    tokens = builder.merge_assistant_tokens(builder.build_initial_tokens(asked), tokenizer.encode(answer) + end).token_ids
    before = [*asked, {"role": "assistant", "content": answer}]
    after = [*before, user("Revise it.")]
    found = tokenizer.decode(builder.merge_context_tokens(before, after, tokens).token_ids)
    wanted = processor.apply_chat_template(after, tokenize=False, add_generation_prompt=True)
    return found, wanted


ended, wanted = merged("<table><td>", [tokenizer.eos_token_id])
cut, _ = merged("<table><td>", [])
print("verl", version("verl"))
print("the template's:        ", repr(wanted[wanted.index("<table>") :]))
print("an answer that ended:  ", repr(ended[ended.index("<table>") :]))
print("an answer cut off:     ", repr(cut[cut.index("<table>") :]))
assert ended == wanted
assert "<td><|im_start|>user" in cut and cut != wanted
PY
