# Vignette: `make run` starts everything, `make test` proves it. Every target works on a fresh machine.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NAME ?=
DOWN ?= 0

.DEFAULT_GOAL := help
.PHONY: help run test lint migrate user clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

run: $(VENV)/.run ## start everything and print the page's address (Ctrl-C stops it)
	@exec $(BIN)/python -m jobs.launcher run

test: $(VENV)/.dev ## run all tests, or some: make test ARGS="-k sketch"
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## check style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

migrate: $(VENV)/.run ## bring the schema up to date; DOWN=1 rolls the last migration back
	@$(BIN)/python -m jobs.launcher exec --no-migrate -- $(abspath $(BIN))/python -m jobs.core.migrations --down $(DOWN)

user: $(VENV)/.run ## create a user and print the token: make user NAME=alice (FLAGS=--admin or --new-token)
	@test -n "$(NAME)" || { echo "say who: make user NAME=alice" >&2; exit 2; }
	@$(BIN)/python -m jobs.launcher exec -- $(abspath $(BIN))/python -m jobs.core.users "$(NAME)" $(FLAGS)

clean: ## remove the virtual environment and the caches; var/ with your books and pictures stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
