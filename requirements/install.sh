#!/usr/bin/env bash
# usage: install.sh [demo|test]   prepare .venv in the checkout and the system packages, for the CPU trial run or for the tests
# Safe to run again: what is there stays. Configured package indexes, links and certificates of pip are used.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-demo}
python=${PYTHON:-python3}
venv=.venv/bin
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' ||
    stop "Python 3.10, 3.11 or 3.12 is needed; $python is $("$python" --version 2>&1). Point PYTHON at one: make setup PYTHON=python3.11"

# --- system packages
lists=(requirements/system.txt)
[ "$what" = demo ] || lists+=(requirements/system-test.txt)
missing=()
if command -v dpkg-query >/dev/null; then
    while read -r package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done < <(grep -hv '^#' "${lists[@]}")
fi
if [ ${#missing[@]} -gt 0 ]; then
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root='sudo -n'
        $as_root true 2>/dev/null || stop "ask an administrator to run:  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    say "system packages: ${missing[*]}"
    $as_root apt-get update -qq
    available=()
    for package in "${missing[@]}"; do
        if apt-cache show "$package" >/dev/null 2>&1; then available+=("$package"); fi
    done
    if [ ${#available[@]} -gt 0 ]; then
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${available[@]}" >/dev/null
    fi
fi

# --- Python packages
[ -x $venv/python ] || "$python" -m venv .venv || stop "python3-venv is missing: apt-get install python3-venv"
unset PYTHONDONTWRITEBYTECODE
pip_setting() { $venv/python -m pip config get "global.$1" 2>/dev/null || true; }
[ -x $venv/uv ] || $venv/python -m pip install -q uv
export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(pip_setting find-links)}}
export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(pip_setting index-url)}}
export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
for name in UV_FIND_LINKS UV_DEFAULT_INDEX SSL_CERT_FILE; do [ -n "${!name}" ] || unset "$name"; done
install() { $venv/uv pip install -q --python $venv/python -c requirements/lock.txt "$@"; }

if ! $venv/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    say "torch for the CPU"
    install torch==2.13.0+cpu 2>/dev/null || install --torch-backend cpu torch==2.13.0
fi
say "Python packages for the $what"
extra=
[ "$what" = demo ] || extra='[dev]'
install -r "requirements/$what.txt" -e ".$extra"
# They only weigh on, or break, an environment without CUDA.
$venv/uv pip uninstall -q --python $venv/python torchaudio torchcodec triton 2>/dev/null || true
$venv/python requirements/patch_cpu.py
# A run has dozens of Python processes, and where nobody may write bytecode each would compile half of torch.
$venv/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true

# --- a browser, where the distribution had none
if ! $venv/python -c 'from visual_erm.render.browser import find_chromium; find_chromium()' 2>/dev/null; then
    say "Chromium, Playwright's own build"
    $venv/playwright install chromium-headless-shell ||
        stop "no Chromium: install Debian's chromium-headless-shell, or set VISUAL_ERM_CHROMIUM to a Chromium of yours"
    if [ "$(id -u)" = 0 ]; then $venv/playwright install-deps chromium-headless-shell; fi
fi
