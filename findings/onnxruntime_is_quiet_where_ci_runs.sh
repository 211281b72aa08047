#!/usr/bin/env bash
# One would guess: a test in CI that watches for files and names shows whether onnxruntime's Linux wheel reports usage to its maker.
# True: the library looks for the variables of CI services (GITHUB_ACTIONS, GITLAB_CI, TF_BUILD, JENKINS_URL and others) and reports
# nothing where one is set. Elsewhere one session on the processor leaves a device id and a data base of events in the home folder.
# Why it matters here: every trainer opens such a session for OCR. A test of quietness passes in CI and proves nothing about the
# users' machines, unless it takes these variables away. tests/e2e/quiet_run.py does; the package sets ORT_DISABLE_TELEMETRY=1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnxruntime==1.31.1 onnx==1.22.0
cat > "$folder/session.py" <<'PYTHON'
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one_node", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("onnxruntime", onnxruntime.__version__, session.run(None, {"x": np.array([-1, 2], np.float32)}))
time.sleep(2)
PYTHON
for service in "" GITHUB_ACTIONS GITLAB_CI; do
    home="$folder/home_${service:-none}"
    mkdir "$home"
    env -i PATH="$PATH" HOME="$home" TMPDIR="$home" ${service:+$service=true} "$folder/venv/bin/python" "$folder/session.py"
    files=$(find "$home" -type f -printf '%P\n' | sort)
    echo "set: ${service:-nothing}; files in the home folder:" $files
    if [ -z "$service" ] && [ -z "$files" ]; then
        echo "CHANGED: it leaves no file outside of CI either"
        exit 1
    fi
    if [ -n "$service" ] && [ -n "$files" ]; then
        echo "CHANGED: it reports where $service is set"
        exit 1
    fi
done
