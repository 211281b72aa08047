# make demo    set up what it needs, then train a tiny policy on tables with real veRL on this CPU (15 to 20 minutes);
#              TASK=chart and TASK=svg do it with charts and drawings, TASK=mixed with all three in one run
# make test    set up what it needs, then run the linters and all tests
# make setup   only prepare .venv and the system packages for the demo
# Another Python: make setup PYTHON=python3.12.  Another seed, length or folder: make demo SEED=1 STEPS=60 OUT=outputs/other.

SEED ?= 0
STEPS ?= 45
TASK ?= table
NEEDS := setup.py requirements/install.sh requirements/system.txt requirements/demo.txt requirements/lock.txt

.PHONY: demo test setup lint clean

demo: setup
	.venv/bin/python -m visual_erm.demo.run --task $(TASK) --seed $(SEED) --steps $(STEPS) $(if $(OUT),--out $(OUT))

test: .venv/.ready-test lint
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: .venv/.ready-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

setup: .venv/.ready-demo

.venv/.ready-demo: $(NEEDS)
	bash requirements/install.sh demo
	touch $@

.venv/.ready-test: $(NEEDS) requirements/test.txt requirements/system-test.txt
	bash requirements/install.sh test
	touch $@ .venv/.ready-demo

clean:
	rm -rf .venv outputs build dist *.egg-info
