# `make demo` and `make test` do everything on a machine with Python ≥ 3.11, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
HISTORIES ?= 2000

# The demo starts two dozen commands; none should compile the modules of the one before again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test lint types imports unit bench soak constraints clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

install: $(STAMP) ## the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Mainstem needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@echo 'installing Mainstem and what it uses in $(VENV): this takes some minutes, once'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $(STAMP)

demo: $(STAMP) ## the flights project, end to end; SERVE=1 leaves the server up
	$(BIN)/mainstem demo $(if $(filter 1,$(SERVE)),--serve)

test: lint types imports unit ## everything CI runs

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

unit: $(STAMP) ## pytest: unit, property, end to end, the page
	$(BIN)/pytest -n $(WORKERS)

bench: $(STAMP) ## ratios against the bare engine and Feast, each measured in one run
	$(BIN)/python -m benchmarks

soak: $(STAMP) ## the conformance suite of features, on many more histories and a million rows
	MAINSTEM_HISTORIES=$(HISTORIES) $(BIN)/pytest tests/features/test_conformance.py -m "slow or not slow" -n $(WORKERS) --timeout 7200

constraints: ## write constraints.txt from a fresh environment
	rm -rf $(VENV)-fresh && $(PYTHON) -m venv $(VENV)-fresh
	$(VENV)-fresh/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	$(VENV)-fresh/bin/python -m pip freeze --exclude mainstem > constraints.txt
	rm -rf $(VENV)-fresh

clean: ## forget the environment and what tests left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo
