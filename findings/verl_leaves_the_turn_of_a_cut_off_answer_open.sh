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
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.10.4 tokenizers==0.22.2 jinja2==3.1.6
"$work/venv/bin/pip" install -q --no-deps verl==0.9.1
"$work/venv/bin/python" - <<'PY' 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
import sys
from importlib.metadata import distribution, version

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

# verl.utils.tokenizer stands alone. `import verl` would need torch and Ray too.
sys.path.insert(0, str(distribution("verl").locate_file("verl/utils")))
from tokenizer.continuous_token_wiring import create_continuous_token_builder

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
bytewise = Tokenizer(models.BPE(letters, []))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytewise.decoder = decoders.ByteLevel()
bytewise.add_special_tokens([AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")])
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token="<|im_end|>", chat_template=TEMPLATE)
builder = create_continuous_token_builder(tokenizer, hf_model_type="qwen3")


def merged(answer, end):
    asked = [{"role": "user", "content": "Write a table."}]
    tokens = builder.merge_assistant_tokens(builder.build_initial_tokens(asked), tokenizer.encode(answer) + end).token_ids
    before = [*asked, {"role": "assistant", "content": answer}]
    after = [*before, {"role": "user", "content": "Revise it."}]
    found = tokenizer.decode(builder.merge_context_tokens(before, after, tokens).token_ids)
    wanted = tokenizer.apply_chat_template(after, tokenize=False, add_generation_prompt=True)
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
