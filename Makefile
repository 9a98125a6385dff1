# make serve       everything set up; https://localhost:8443, data in ./data  (ARGS="--listen …" for more)
# make test        all checks and tests
# make test-fast   the tests that need no server of their own
# make check       formatting, lint, types, layers
# make openapi     the API's description, checked, into openapi.json
# make bench       signatures a second over TLS  (ARGS="--seconds 10")

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROCESSES ?= 2

.PHONY: serve test test-fast check openapi bench

serve: $(READY)
	exec $(BIN)/python -m keystead serve $(ARGS)

test: check
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal tests

test-fast: $(READY)
	$(BIN)/python -m pytest -n $(PROCESSES) --ignore=tests/processes --ignore=tests/conformance tests

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

openapi: $(READY)
	$(BIN)/python scripts/openapi.py > openapi.json
	$(BIN)/python -m openapi_spec_validator openapi.json

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

$(READY): requirements-dev.lock pyproject.toml
	scripts/make-venv $(PYTHON) $(VENV)
	touch $@
