#!/usr/bin/env bash
# Serve the reward model on this machine's GPUs: one vLLM server per replica, watched, started again when one dies.
#
#     MODEL=PATH_TO_VISUAL_ERM ENDPOINTS_FILE=outputs/endpoints.txt rl_scripts/serve_reward_model.sh [options] [-- flags of vLLM]
#
# Stays in the foreground; Ctrl-C, SIGTERM or its death end all servers. Judges read the endpoints file:
# `judge=remote judge.endpoints_file=outputs/endpoints.txt judge.api_key_file=outputs/api_key`. The launchers take
# ENDPOINTS_FILE and API_KEY_FILE for that. Other machines reach the servers, so every judge must have the key.
#
# MODEL            the model's folder
# GPUS             auto (all, the default), a number, or indices with a comma: 0,1 or 3,
# TENSOR_PARALLEL  GPUs of one server; by default the fewest whose memory the weights fill to a half at most
# REPLICAS         servers; by default as many as the GPUs make
# HOST             address to listen on (0.0.0.0: all); 127.0.0.1 for this machine alone
# API_KEY_FILE     the key, made when missing, for its owner only (api_key beside ENDPOINTS_FILE); VISUAL_ERM_API_KEY goes first
# PORT             of the first server (8000); the others count up
# ENDPOINTS_FILE   where the base URLs of the healthy servers are kept (outputs/endpoints.txt)
# LOG_DIR          one log per server (outputs/serve)
#
# `--dry-run` prints the commands; `visual-erm serve --help` has every option. PYTHON chooses the interpreter; otherwise
# it is that of .venv in the checkout.
set -euo pipefail

here=$(dirname "$0")/../.venv/bin/python
[ -x "$here" ] || here=python

endpoints=${ENDPOINTS_FILE:-outputs/endpoints.txt}
options=(--gpus "${GPUS:-auto}" --host "${HOST:-0.0.0.0}" --port "${PORT:-8000}")
options+=(--key-file "${API_KEY_FILE:-$(dirname "$endpoints")/api_key}")
options+=(--endpoints-file "$endpoints" --log-dir "${LOG_DIR:-outputs/serve}")
[ -z "${TENSOR_PARALLEL:-}" ] || options+=(--tensor-parallel "$TENSOR_PARALLEL")
[ -z "${REPLICAS:-}" ] || options+=(--replicas "$REPLICAS")

exec "${PYTHON:-$here}" -m visual_erm.cli serve "${MODEL:?the folder of the reward model}" "${options[@]}" "$@"
