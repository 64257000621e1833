# `make demo` and `make test` do everything on a machine with Python ≥ 3.11, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
DEV := $(VENV)/.dev
WITH_KAFKA := $(VENV)/.kafka
WITH_SPARK := $(VENV)/.spark
PROJECT ?= flights
WORKERS ?= 3
HISTORIES ?= 2000
SINCE ?= HEAD
TESTS ?= tests
PATIENCE ?= 7200

# The demo starts two dozen commands; none should compile the modules of the one before again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test quick lint types imports unit slow bench soak system constraints clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

install: $(DEV) ## the environment for development, in .venv

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Mainstem needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# What the demo uses; the tests use that and more, so the larger environment serves both.
$(DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing what the demo uses in $(VENV): about two minutes, once'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]' -c constraints.txt
	touch $(DEMO)

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing what the tests use in $(VENV): some minutes, once'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $(DEMO) $(DEV)

$(WITH_KAFKA): $(DEMO)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,kafka]' -c constraints.txt
	touch $(WITH_KAFKA)

$(WITH_SPARK): $(DEMO)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,spark]' -c constraints.txt
	touch $(WITH_SPARK)

demo: $(DEMO) $(if $(filter 1,$(KAFKA)),$(WITH_KAFKA)) $(if $(filter spark,$(ENGINE)),$(WITH_SPARK)) ## a project, end to end: PROJECT=flights or shop; SERVE=1 leaves the server up; KAFKA=1: departures by a topic; ENGINE=spark: on local Spark
	$(if $(ENGINE),MAINSTEM_ENGINE=$(ENGINE)) $(if $(filter 1,$(KAFKA)),$(BIN)/python tests/kafka_broker.py) $(BIN)/mainstem demo --template $(PROJECT) $(if $(filter 1,$(SERVE)),--serve)

test: system lint types imports unit ## everything CI runs

quick: lint types imports ## lint, types, and the tests that mirror or import what changed since SINCE (default HEAD)
	$(BIN)/python tests/touched.py $(SINCE) | xargs -r $(BIN)/pytest -n $(WORKERS)

lint: $(DEV) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

imports: $(DEV) ## who may import whom
	$(BIN)/lint-imports

unit: $(DEV) ## pytest: unit, property, end to end, the page
	$(BIN)/pytest -n $(WORKERS)

slow: $(DEV) ## the tests that are minutes long, one after the other: some hours; TESTS=tests/demo for a part
	$(BIN)/pytest -m slow -n 0 --timeout $(PATIENCE) $(TESTS)

bench: $(DEV) ## ratios against the bare engine and Feast, each measured in one run
	$(BIN)/python -m benchmarks

soak: $(DEV) ## the conformance suite of features, on many more histories and a million rows
	MAINSTEM_HISTORIES=$(HISTORIES) $(BIN)/pytest tests/features/test_conformance.py -m "slow or not slow" -n $(WORKERS) --timeout 7200

system: ## the programs that tests start: a browser, PostgreSQL, Redis; as root, by apt-get
	bash tests/install-system-packages

constraints: ## write constraints.txt from a fresh environment
	rm -rf $(VENV)-fresh && $(PYTHON) -m venv $(VENV)-fresh
	$(VENV)-fresh/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	$(VENV)-fresh/bin/python -m pip freeze --exclude mainstem > constraints.txt
	rm -rf $(VENV)-fresh

clean: ## forget the environment and what tests left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo demo-shop
