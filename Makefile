# make quick   set up what it needs, then run the linters, the type checker, and all short tests without veRL, vLLM and Slurm
# make test    set up what it needs, then run the linters, the type checker, and all tests
# make soak    render thousands of images with attacks among them, and fail when anything is lost or grows;
#              then look at thousands of images of every kind, and fail when anything raises or takes too long;
#              then judge odd images and pages beside honest samples, and fail when these wait or get another result;
#              then let hacks play against the reward, and fail when one earns more than an honest reply with two slips;
#              then kill the bench at random moments, and fail when a result differs from that of a calm run
# make demo    set up what it needs, then train a tiny policy on tables with real veRL on this CPU (15 to 20 minutes);
#              TASK=chart and TASK=svg do it with charts and drawings, TASK=mixed with all three in one run
# make lint    only the linters and the type checker
# make setup   only prepare .venv and the system packages for the demo
# Another Python: make setup PYTHON=python3.12.  Another seed, length or folder: make demo SEED=1 STEPS=60 OUT=outputs/other.
# Arguments for pytest: make quick ARGS="tests/extract -x"

SEED ?= 0
STEPS ?= 45
TASK ?= table
ARGS ?=
REQUIREMENTS := setup.py requirements/install.sh requirements/system.txt requirements/demo.txt requirements/lock.txt

.PHONY: demo quick test soak setup lint clean

demo: setup
	.venv/bin/python -m visual_erm.demo.run --task "$(TASK)" --seed "$(SEED)" --steps "$(STEPS)" $(if $(OUT),--out "$(OUT)")

quick: .venv/.ready-test lint
	.venv/bin/python -m pytest --quick -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test: .venv/.ready-test lint
	.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: .venv/.ready-test
	.venv/bin/python benchmarks/soak.py
	.venv/bin/python benchmarks/perception.py
	.venv/bin/python benchmarks/odd_pictures.py
	.venv/bin/python benchmarks/hacks.py
	.venv/bin/python benchmarks/bench_kills.py

lint: .venv/.ready-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m mypy

setup: .venv/.ready-demo

.venv/.ready-demo: $(REQUIREMENTS)
	bash requirements/install.sh demo
	touch $@

.venv/.ready-test: $(REQUIREMENTS) requirements/test.txt requirements/system-test.txt
	bash requirements/install.sh test
	touch $@ .venv/.ready-demo

clean:
	rm -rf .venv outputs build dist *.egg-info
