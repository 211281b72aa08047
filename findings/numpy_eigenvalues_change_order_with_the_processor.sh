#!/usr/bin/env bash
# One would guess: the same NumPy wheel gives the same chart everywhere, but for the last digits of a number, which no pixel shows.
# True: the OpenBLAS in the wheel takes other kernels on other processors, and rounds otherwise. `numpy.linalg.eig` and `eigvals`
# promise no order. For one symmetric matrix of whole numbers, two eigenvalues 7% apart change places between the kernels for
# Haswell and for three other processors, with nothing random in the script.
# Why it matters here: a chart of eigenvalues or principal components has its bars in another order on another type of machine. A
# reference that was drawn on one and the same code drawn on the other differ by more than a judge forgives. Draw references on
# the machines that will train, or sort in the script; `eigvalsh` is sorted. docs/sandbox.md says so.
set -euo pipefail
if [ "$(uname -m)" != x86_64 ] || ! grep -q avx2 /proc/cpuinfo; then
    echo "needs an x86-64 processor with AVX2, which runs both kernels"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.3.5
cat > "$folder/eigenvalues.py" <<'PYTHON'
import numpy as np

whole = np.random.default_rng(82).integers(-9, 10, size=(7, 7)).astype(float)
print(np.linalg.eigvals(whole @ whole.T).round(2).tolist())
PYTHON
"$folder/venv/bin/python" -c 'import numpy; print("numpy", numpy.__version__)'
orders=""
for kernels in Haswell Nehalem; do
    order=$(OPENBLAS_CORETYPE=$kernels "$folder/venv/bin/python" "$folder/eigenvalues.py")
    echo "kernels of $kernels: $order"
    orders+="$order"$'\n'
done
if [ "$(sort -u <<<"${orders%$'\n'}" | wc -l)" = 1 ]; then
    echo "CHANGED: both kernels give one order"
    exit 1
fi
