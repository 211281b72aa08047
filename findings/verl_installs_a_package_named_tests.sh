#!/usr/bin/env bash
# verl's wheel installs a top-level package named `tests`, which hides a project's own folder of that name.
#
# One would guess:  `python -m tests.mine`, run in a project with a folder tests/, runs that project's file. The current
#                   folder is first on sys.path, and installed packages come after it.
# What is true:     verl 0.9.1 ships its own tests as an importable package with an __init__.py. Python prefers a regular
#                   package anywhere on sys.path to a folder without __init__.py in front of it. So the project's file is
#                   not found, while verl's are.
# Why it matters:   users of this project keep a folder tests/ beside their reward function. Our golden set is started by
#                   its path (`python tests/golden/run.py`) and test helpers are found by pytest's `pythonpath`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-deps verl==0.9.1
mkdir -p "$work/project/tests"
echo 'print("mine")' > "$work/project/tests/mine.py"
cd "$work/project"

before=$(python3 -m tests.mine)
after=$("$work/venv/bin/python" -m tests.mine 2>&1 || true)
owner=$("$work/venv/bin/python" -c 'import importlib.util; print(importlib.util.find_spec("tests").origin)')
echo "verl $("$work/venv/bin/pip" show verl | sed -n 's/^Version: //p')"
echo "without verl: python -m tests.mine  ->  $before"
echo "with verl:    python -m tests.mine  ->  ${after##*$'\n'}"
echo "with verl:    tests is ${owner#"$work"/}"
[[ $before == mine ]] && [[ $after == *"No module named tests.mine"* ]] && [[ $owner == *site-packages/tests/__init__.py ]]
