# `make help` lists what there is. Every target does its own set-up; when nothing has changed that takes no time.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

# Nothing leaves this machine, and two runs side by side do not meet.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
ifndef ROS_DOMAIN_ID
export ROS_DOMAIN_ID := $(shell echo $$((PPID % 100 + 1)))
endif

# Programs start in a clean environment of their own; over a sourced ROS 2 they also find the interface packages built here.
RUN := env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE PATH="$(BIN):$$PATH"
ifdef AMENT_PREFIX_PATH
RUN += AMENT_PREFIX_PATH="$(CURDIR)/.venv:$$AMENT_PREFIX_PATH" LD_LIBRARY_PATH="$(CURDIR)/.venv/lib:$$LD_LIBRARY_PATH"
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench train-env clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## make .venv ready (all other targets begin with it)
	@$(PYTHON) scripts/setup_env.py

demo: setup ## replay the sample into the pipeline; BAG=<bag or video> and MODEL=<network> take your own
	@$(RUN) robot_vision demo $(if $(BAG),--bag "$(BAG)") $(if $(MODEL),--model "$(MODEL)") $(DEMO_ARGS)

test: setup ## run the tests and list what was skipped and why; PYTEST_ARGS="test/unit -k nms" runs some of them
	@$(RUN) python -m pytest $(or $(PYTEST_ARGS),--all-groups)

lint: setup ## ruff and mypy
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) mypy

bench: setup ## measure speed and memory, as ratios within one run
	@$(RUN) python -m bench $(BENCH_ARGS)

train-env: ## add torch and what else training needs to .venv
	@$(PYTHON) scripts/setup_env.py --train

clean: ## remove the environment and all that was built or written
	rm -rf .venv .venv.lock build install log demo_out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
