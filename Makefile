# `make demo` and `make test` do their own set-up. `make help` lists the rest.

BIN := .venv/bin
PYTHON_FILES := src tests scripts
ON_ALL_CORES := OMP_NUM_THREADS=1 $(BIN)/pytest -m "not long and not real_host" -n auto --dist worksteal
ON_THE_KERNEL := $(BIN)/pytest -m "real_host and not long" $(shell grep -rl --include='test_*.py' real_host tests)

# Compiled modules are kept, whatever the caller's environment says: thousands of tests start hundreds of programs.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test coverage test-long test-faults fuzz test-llm check lint types contracts docs bench studies clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## virtual environment and benchmark tools (quick when nothing changed)
	@scripts/setup.sh

demo: setup ## tune this machine for PostgreSQL, for real, and leave it as it was (under 8 minutes)
	@scripts/demo.sh

test: setup check ## everything that must hold before a change goes in
	$(ON_ALL_CORES)
	$(ON_THE_KERNEL)

coverage: setup ## which lines the tests reach, in this process (80 percent at least)
	$(ON_ALL_CORES) --cov --cov-report=
	$(ON_THE_KERNEL) --cov --cov-append

test-long: setup ## the tests that take minutes each (KNOBCTL_SETUP_BROWSER=yes: with a Chromium for those of the report)
	$(BIN)/pytest -m long

test-faults: setup ## 500 runs on this kernel, each struck by a random fault; writes docs/faults.md (about half an hour)
	$(BIN)/python scripts/fault_campaign.py

fuzz: setup ## hostile input for every reader and for the agent, for about ten minutes
	HYPOTHESIS_PROFILE=campaign $(BIN)/pytest tests/fuzz tests/agent/test_machine.py -q -p no:cacheprovider

test-llm: setup ## the strategist against the model server in KNOBCTL_LLM_BASE_URL
	$(BIN)/python scripts/try_strategist.py

check: lint types contracts docs ## all of the checks that run no test

lint: $(BIN)/ruff ## style and layout
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)

types: $(BIN)/mypy ## mypy, strict
	$(BIN)/mypy --num-workers 2

contracts: $(BIN)/lint-imports ## who may import whom; the agent's oldest Python
	$(BIN)/lint-imports --no-logo
	$(BIN)/vermin --quiet --no-tips --eval-annotations --violations -t=3.9- $(AGENT_FILES)

docs: $(BIN)/knobctl ## the generated pages are up to date (to write them: scripts/generate_docs.py)
	$(BIN)/python scripts/generate_docs.py --check

bench: setup ## the tuner's own time per trial, beside the benchmark's
	$(BIN)/python scripts/bench.py

studies: setup ## thousands of sessions on machines whose truth is known; writes docs/honesty.md (about half an hour)
	OMP_NUM_THREADS=1 $(BIN)/knobctl lab study all --jobs $$(nproc) -o docs/honesty.json --page docs/honesty.md

clean: ## remove caches and build results; .venv stays
	rm -rf .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs on a bare python3: three rooms, without the file that stays with the main program.
AGENT_FILES = $(filter-out %/files.py,$(wildcard src/knobctl/agent/*.py src/knobctl/permanent/*.py src/knobctl/knobs/*.py))

$(BIN)/ruff $(BIN)/mypy $(BIN)/lint-imports $(BIN)/knobctl:
	@scripts/setup.sh
