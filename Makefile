# `make help` lists what there is. Every target does its own set-up; when nothing has changed that takes no time.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin

# Nothing leaves this machine, and two runs side by side do not meet.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
ifndef ROS_DOMAIN_ID
export ROS_DOMAIN_ID := $(shell echo $$((PPID % 100 + 1)))
endif

# Programs find what is built here before what a sourced ROS 2 has, and nothing of another environment from pip.
RUN := env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE PATH="$(BIN):$$PATH" \
  AMENT_PREFIX_PATH="$(CURDIR)/.venv$${AMENT_PREFIX_PATH:+:$$AMENT_PREFIX_PATH}" \
  LD_LIBRARY_PATH="$(CURDIR)/.venv/lib$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}"

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench train-env clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## make .venv ready (all other targets begin with it)
	@$(PYTHON) scripts/setup_env.py

demo: setup ## replay the sample into the pipeline; BAG=<bag or video>, MODEL=<network> and PARAMS=<file> take your own
	@$(RUN) robot_vision demo $(if $(BAG),--bag "$(BAG)") $(if $(MODEL),--model "$(MODEL)") \
	  $(if $(PARAMS),--params "$(PARAMS)") $(DEMO_ARGS)

test: setup ## run the tests and list what was skipped and why; PYTEST_ARGS="test/unit -k nms" runs some of them
	@$(RUN) python -m pytest $(or $(PYTEST_ARGS),--all-groups)

lint: setup ## ruff and mypy
	@$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) mypy

bench: setup ## measure speed and memory, as ratios within one run; BENCH=bench/detector.py runs one
	@for file in $(or $(BENCH),$(sort $(wildcard bench/*.py))); do echo "== $$file"; $(RUN) python $$file || exit 1; done

train-env: ## add torch and what else training needs to .venv
	@$(PYTHON) scripts/setup_env.py --train

clean: ## remove the environment and all that was built or written
	rm -rf .venv .venv.lock build install log demo_out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
