# make demo    digitize and diagnose the shipped example pages, pictures under out/demo (needs no PyTorch)
# make test    lint, types, Dockerfile, all tests but the slow ones: what every change must pass (THREADS, WORKERS)
# make test-fast  lint and the quick tests, below a minute
# make test-slow  the slow tests: trainings that learn, before a release or when training was touched
# make score   score the pages under DATA by kind, for docs/results.md
# make leaderboard  draw the Challenge's kinds of page, answer and score them (RECORDS pages), beside the published results
# make format  put the code in its standard form
# make clean   remove results and caches (not .venv)

PYTHON ?= python3
DATA ?= ../shared/data
RECORDS ?= 100
JOBS ?= 1
WORKERS ?= 2
THREADS ?= 1
VENV := .venv
BIN := $(VENV)/bin

# Idle OpenMP threads sleep instead of spinning: on busy cores that is ten times faster.
export OMP_WAIT_POLICY ?= PASSIVE

# Each file of tests in one of WORKERS processes, with THREADS threads of torch and BLAS.
PYTEST = OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-fast test-slow score leaderboard format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-light
	@$(BIN)/python -m bench.demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(PYTEST) -m "not slow"

test-fast: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -m "not medium and not slow and not release"

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m slow

score: $(VENV)/.installed
	@$(BIN)/python -m bench.score --data $(DATA)

leaderboard: $(VENV)/.installed
	@$(BIN)/python -m bench.leaderboard --data $(DATA) --records $(RECORDS) --jobs $(JOBS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The stamps are younger than the requirements they installed, so nothing is asked of pip until a file changes.
$(VENV)/.installed-light: requirements-light.txt | $(BIN)/pip
	@echo "Installing what reads pages (once; 0.5 GB, half a minute)" >&2
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement $<
	@touch $@

$(VENV)/.installed: requirements.txt | $(BIN)/pip
	@echo "Installing PyTorch and what the Challenge needs (once; about 6 GB and a few minutes)" >&2
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement $<
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements.txt requirements-light.txt | $(BIN)/pip
	@echo "Installing PyTorch and the tools (once; about 6 GB and a few minutes)" >&2
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement $<
	@touch $@ $(VENV)/.installed-light

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; '$(PYTHON)' is missing or older. Way out: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing. Way out on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
