#!/usr/bin/env bash
# Tries both adapters against the released lmms-eval and VLMEvalKit, each in an environment of its own.
#   bash contrib/try_adapters.sh [PYTHON]
# PYTHON: one that has visual-erm's packages and torch; by default that of .venv. What else the two need is installed into a
# temporary folder, which is removed in the end: a package index, some minutes and 2 GB of disk are needed.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$here/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

environment() {
    "$python" -m venv "$work/$1"
    local packages='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$python" -c "$packages" > "$("$work/$1/bin/python" -c "$packages")/base.pth"
}

# VLMEvalKit is called ms-vlmeval on the index. Of what it requires, this is what an import of it needs here.
environment vlmevalkit
"$work/vlmevalkit/bin/pip" install --quiet --no-deps ms-vlmeval==0.0.20 antlr4-python3-runtime==4.11.1 anls bert_score \
    colormath decord distance editdistance google-genai ipdb jieba latex2sympy2-extended Levenshtein lpips nest_asyncio \
    num2words openai-clip openpyxl pdf2image portalocker python-dotenv rouge sty tabulate termcolor timeout-decorator \
    torchmetrics validators xlsxwriter nltk pycocoevalcap math-verify pylatexenc==2.10 qwen_vl_utils sentence_transformers \
    timm imageio zss loguru
PYTHONPATH=$here "$work/vlmevalkit/bin/python" "$here/contrib/try_adapters.py" vlmevalkit "$work"

# lmms-eval 0.7.3 does not work with filelock 4.3.
environment lmms_eval
"$work/lmms_eval/bin/pip" install --quiet lmms-eval==0.7.3 'filelock<4.3' pytz
PYTHONPATH=$here "$work/lmms_eval/bin/python" "$here/contrib/try_adapters.py" lmms_eval "$work"
