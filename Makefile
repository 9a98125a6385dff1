# make serve       everything set up; https://localhost:8443, data in ./data  (ARGS="--listen …" for more)
# make test        all checks and tests
# make tpm2        adds what the device key provider tpm2 needs
# make test-fast   the tests that need no server of their own
# make timing      whether times tell secrets: t-values, with 20 times the samples  (SAMPLES=20)
# make crash       kill everything under writes, again and again  (ROUNDS=100)
# make flood       10,000 idle connections, storms of handshakes and logins against a server
# make check       formatting, lint, types, layers
# make openapi     the API's description, checked, into openapi.json
# make release     wheel, sdist, bill of materials and SHA256SUMS of the commit, into dist
# make audit       asks the advisory service about what the locks pin; needs the network
# make bench       everything that is measured, in one table  (ARGS="--only p256,rsa2048 --seconds 5")

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell scripts/find-python)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-for-tests
PROCESSES ?= 2
TPM2_TOOLS := gcc pkg-config python3-dev=/usr/bin/python3-config libtss2-dev=/usr/include/tss2/tss2_esys.h

.PHONY: serve test tpm2 test-fast timing crash flood check openapi release audit bench

serve: $(READY)
	exec $(BIN)/python -m keystead serve $(ARGS)

test: check
	scripts/system-tools chromium curl openssl wrk swtpm $(TPM2_TOOLS)
	scripts/add-tpm2 $(VENV) || echo "tests with a TPM are skipped: tpm2-pytss cannot be built" >&2
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal --cov --cov-report=term:skip-covered tests

tpm2: $(READY)
	scripts/system-tools $(TPM2_TOOLS)
	scripts/add-tpm2 $(VENV)

test-fast: $(DEV_READY)
	$(BIN)/python -m pytest -n $(PROCESSES) --ignore=tests/processes --ignore=tests/conformance \
		--ignore=tests/crash --ignore=tests/docs tests

timing: $(DEV_READY)
	KEYSTEAD_TIMING_SAMPLES=$(or $(SAMPLES),20) $(BIN)/python -m pytest tests/timing

crash: $(DEV_READY)
	KEYSTEAD_CRASH_ROUNDS=$(or $(ROUNDS),100) $(BIN)/python -m pytest tests/crash

flood: $(DEV_READY)
	KEYSTEAD_FLOOD=full $(BIN)/python -m pytest -s tests/processes/test_floods.py

check: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

openapi: $(DEV_READY)
	$(BIN)/python scripts/openapi.py > openapi.json
	$(BIN)/python -m openapi_spec_validator openapi.json

release: $(DEV_READY)
	rm -rf dist
	scripts/release $(BIN)/python dist

audit: $(DEV_READY)
	scripts/audit $(BIN)/pip-audit

bench: $(DEV_READY)
	scripts/system-tools wrk gcc libc6-dev=/usr/include/stdio.h softhsm2=softhsm2-util
	$(BIN)/python -m bench $(ARGS)

$(READY): requirements.lock pyproject.toml
	scripts/make-venv $(PYTHON) $(VENV) requirements.lock
	touch $@

$(DEV_READY): requirements-dev.lock pyproject.toml
	scripts/make-venv $(PYTHON) $(VENV) requirements-dev.lock
	touch $@
