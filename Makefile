# What you can do here: `make help`. Everything works in a fresh clone on a machine with Python 3.10 or newer and make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.PHONY: help setup demo stack pictures test test-all soak peers lint format bench clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the package and the tools
	@echo "$(VENV) is ready."

# Again only when pyproject.toml changes; half a .venv is made anew.
$(READY): pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup "$(VENV)"
	@touch $@

demo: $(READY) ## Run a program against a Consul that misbehaves, and see what the telemetry says (under 60 s)
	@$(BIN)/python -m demo $(ARGS)

stack: $(READY) ## The dashboards' story without Docker: a real VictoriaMetrics, and a page that draws it, until Ctrl-C
	@$(BIN)/python -m demo.stack $(ARGS)

pictures: $(READY) ## Draw docs/images anew (needs npm and Chromium; a few minutes)
	@$(BIN)/python -m examples.grafana.pictures.render $(ARGS)

test: $(READY) ## Unit and integration tests, then the quick matrix of clients and Pythons (under 10 minutes)
	@status=0; $(BIN)/python -m pytest $(ARGS) || status=1; scripts/matrix quick || status=1; exit $$status

test-all: $(READY) ## As test, with every row of the matrix
	@status=0; $(BIN)/python -m pytest $(ARGS) || status=1; scripts/matrix full || status=1; exit $$status

soak: $(READY) ## Random programs with the plugin and without it, EXAMPLES (3000) of each client: what differs is shrunk and shown
	@SOAK_EXAMPLES=$${EXAMPLES:-3000} GROWTH_SCALE=10 $(BIN)/python -m pytest tests/differential tests/growth tests/integration/test_secrets_fuzz.py $(ARGS)

peers: $(READY) ## The test suites of the clients themselves, with the plugin and without it: each test must end alike
	@$(BIN)/python -m testbed.peers $(ARGS)

lint: $(READY) ## Style, types, import direction
	@scripts/lint

format: $(READY) ## Fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## What the plugin costs per call
	@$(BIN)/python -m benchmarks.cost $(ARGS)

clean: ## Remove what was made here
	@rm -rf $(VENV) .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
