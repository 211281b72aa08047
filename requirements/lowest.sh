#!/usr/bin/env bash
# usage: lowest.sh   test the lower bounds of setup.py, in a new environment outside the checkout
#
# Run it when a lower bound of setup.py changes, or when the code uses something new of a library. It needs a package index and
# some minutes. PYTHON chooses the interpreter (python3). It checks, in this order:
#
# 1. Python 3.10, 3.11 and 3.12 have a wheel of each lowest version.
# 2. With the lowest versions of the base package, all of its modules can be imported, all commands have their help, and the
#    shipped examples are scored.
# 3. With the lowest versions of the extras too, the tests of extraction, reports, scoring, settings and SVG pass.
#
# At the end requirements/lowest.txt has the versions that were tested. A test compares it with setup.py.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
stop() { printf 'lowest: %s\n' "$*" >&2; exit 1; }

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install -q uv 2>/dev/null || stop "uv cannot be installed"
uv() { "$work/tools/bin/uv" "$@"; }
# uv does not read pip's settings.
setting() { "$work/tools/bin/python" -m pip config get "global.$1" 2>/dev/null || true; }
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(setting find-links)}}
export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(setting index-url)}}
export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-$(setting cert)}}
for name in UV_FIND_LINKS UV_DEFAULT_INDEX SSL_CERT_FILE; do [ -n "${!name}" ] || unset "$name"; done

# A copy, so that no build leaves anything in the checkout.
mkdir "$work/source"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/source" --
bounds=$work/bounds.txt
grep -oE '"[A-Za-z][A-Za-z0-9._-]*(\[[a-z]+\])?>=[^"]+"' setup.py | tr -d '"' | sort -u >"$bounds"

lowest() { sed -E 's/^([A-Za-z0-9._-]+)(\[[a-z]+\])?>=([0-9.]+).*/\1==\3/' "$bounds"; }

for version in 3.10 3.11 3.12; do
    say "wheels for Python $version"
    lowest | grep -v "^pyvips==" | uv pip install -q --dry-run --no-deps --only-binary :all: --target "$work/none" --python-version "$version" \
        --python-platform x86_64-manylinux_2_28 -r - || stop "a lowest version has no wheel for Python $version"
done

say "the base package with the lowest versions"
uv venv -q --python "$python" "$work/venv"
bin=$work/venv/bin
uv pip install -q --python "$bin/python" --resolution lowest-direct "$work/source"
"$bin/python" requirements/import_all.py
for command in "" score judge render serve doctor preflight prompts "prompts import" "prompts show" "prompts forget"; do
    # shellcheck disable=SC2086  # the words of a command
    "$bin/visual-erm" $command --help >/dev/null || stop "visual-erm $command --help fails"
done
# Another matplotlib draws another picture: the reference is drawn here.
for reference in examples/table/reference.html examples/chart/reference.py examples/svg/reference.svg; do
    task=$(basename "$(dirname "$reference")")
    "$bin/visual-erm" render "$task" "$reference" --out "$work/$task" >/dev/null
    "$bin/visual-erm" score "$task" --reference "$work/$task/reference.png" --response "examples/$task/reply.txt" --json |
        "$bin/python" -c 'import json, sys; sys.exit(json.load(sys.stdin)["score"] != 2)' ||
        stop "the example examples/$task does not earn 2"
done

say "the extras with the lowest versions"
uv pip freeze -q --python "$bin/python" --exclude-editable | grep -v '^visual-erm' >"$work/base.txt"
uv pip install -q --python "$bin/python" --resolution lowest-direct -c "$work/base.txt" -r "$bounds"
uv pip freeze -q --python "$bin/python" | grep -v '^visual-erm' >"$work/all.txt"
uv pip install -q --python "$bin/python" -c "$work/all.txt" \
    beautifulsoup4 hypothesis jsonschema "pyarrow<20" pytest pytest-asyncio pytest-timeout scikit-learn statsmodels
# The tests of the copy take its modules, which are those that were installed.
(cd "$work/source" && "$bin/python" -m pytest -q -p no:cacheprovider tests/extract tests/reward tests/spec tests/render/test_svg.py)

{ echo "# What requirements/lowest.sh tested: the lower bounds of setup.py."; lowest; } >requirements/lowest.txt
say "all of them work: requirements/lowest.txt"
