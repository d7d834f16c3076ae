# Everything that a fresh machine with python3 and make needs.
#   make atlas   the environment, then the default atlas and its report
#   make test    the environment, then the tests
#   make slow    the environment, then the tests that take long, with XLA as users have it
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= out/atlas
WORKERS ?= 2

.PHONY: env atlas test slow check bench lock clean

env: $(STAMP)

# The stamp is written last: an interrupted installation is done again, a finished one needs no network.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

atlas: $(STAMP)
	$(BIN)/python -m pliant atlas run default --out $(OUT)
	$(BIN)/python -m pliant atlas report $(OUT)
	@echo "The report: $(OUT)/report.html"

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

slow: $(STAMP)
	XLA_FLAGS= $(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

# Needs uv; the lock names no registry, so it serves any mirror.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	    pyproject.toml --all-extras --group dev -o requirements.lock

clean:
	rm -rf $(VENV) out
