# make help lists what there is.
PYTHON ?= python3
VENV := .venv/bin
# Nothing leaves this machine, and two runs side by side do not meet.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export ROS_DOMAIN_ID ?= $(shell $(PYTHON) -c "import os; print(os.getpid() % 100 + 1)")
export PYTHONNOUSERSITE := 1
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup test lint clean train-env
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## make .venv (every target does this by itself; no work when it is ready)
	@$(PYTHON) scripts/setup_env.py

test: setup ## run the tests; prints what was skipped and why
	@$(VENV)/python -m pytest test $(PYTEST_ARGS)

lint: setup ## ruff and mypy
	@$(VENV)/ruff check . && $(VENV)/ruff format --check . && $(VENV)/mypy

train-env: ## add torch for training to .venv
	@$(PYTHON) scripts/setup_env.py --train

clean: ## remove .venv and build output
	rm -rf .venv .venv.lock build install log demo_out
