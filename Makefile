# Every target makes the environment that it needs, so each works from a fresh clone.
#   PYTHON       the interpreter that the environment is made with (3.11, 3.12 or 3.13)
#   VENV         where the environment is
#   TORCH_INDEX  further pip arguments for torch, to choose its build; without a GPU on Linux:
#                make test TORCH_INDEX="--extra-index-url https://download.pytorch.org/whl/cpu"
#   WORKERS      processes that the tests are spread over
#   PYTEST_ARGS  further pytest arguments, such as tests/unit or -k competition

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
WORKERS ?= 2
PYTEST_ARGS ?=

# Packages are compiled to bytecode when they are first imported, only as far as they are used: installing is twice
# as fast. Where the user forbids writing bytecode they would be compiled at every start instead.
unexport PYTHONDONTWRITEBYTECODE

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint validate bench figures wheel-test install install-dev clean

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --no-compile --disable-pip-version-check -c constraints.txt
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALL_SECONDS := $(VENV)/.install-seconds

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## let the cerebellum develop from P3 to P21 and draw it: the shortest way to see what this is
	@started=$$(date +%s); \
	$(BIN)/neuroprune run cerebellum --out demo; \
	seconds=$$(($$(date +%s) - started)); \
	installed="installed before"; \
	if [ -e $(INSTALL_SECONDS) ]; then installed="installed in $$(cat $(INSTALL_SECONDS)) s"; rm $(INSTALL_SECONDS); fi; \
	echo "wall    $$installed, the command took $$seconds s (compiling and running: above)"

test: install-dev ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: install-dev ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

validate: install ## hold every model against published observations, five seeds, and keep the scorecards
	@failed=0; mkdir -p analysis/results; \
	for model in models/*/validation.toml; do \
		name=$$(basename $$(dirname $$model)); result=analysis/results/scorecard_$$name.txt; status=0; \
		echo "\$$ neuroprune validate $$name --seeds 5" > $$result.part; \
		$(BIN)/neuroprune validate $$name --seeds 5 >> $$result.part || status=$$?; \
		cat $$result.part; \
		if [ $$status -gt 1 ] || [ $$(wc -l < $$result.part) -lt 2 ]; then rm $$result.part; exit $$status; fi; \
		mv $$result.part $$result; failed=$$((failed + status)); \
	done; exit $$((failed > 0))

bench: install-dev ## run the benchmarks and keep what they print in tests/benchmarks/results
	@$(PIP_INSTALL) -e '.[bench]'
	@mkdir -p tests/benchmarks/results; \
	for script in tests/benchmarks/*.py; do \
		result=tests/benchmarks/results/$$(basename $$script .py).txt; \
		echo "\$$ python $$script" | tee $$result.part; \
		$(BIN)/python $$script | tee -a $$result.part; \
		mv $$result.part $$result; \
	done

figures: install ## draw every figure of the gallery again
	@for script in figures/*.py; do echo $$script; $(BIN)/python $$script; done

wheel-test: install-dev ## build the wheel and use it from an empty folder in an environment of its own
	$(BIN)/python tests/packaging/use_wheel.py

install: $(INSTALLED) ## install the package, editable, without torch
install-dev: $(INSTALLED_DEV) ## install the package, editable, with torch and the tools for its tests

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing neuroprune into $(VENV) ..."
	@started=$$(date +%s); \
	$(PIP_INSTALL) -e .; \
	echo $$(($$(date +%s) - started)) > $(INSTALL_SECONDS)
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing neuroprune, torch and the test tools into $(VENV) ..."
	@$(PIP_INSTALL) $(TORCH_INDEX) -e '.[all,test]'
	@touch $(INSTALLED) $@

# An environment whose interpreter is gone is made anew; a folder that is no environment is never cleared.
$(BIN)/python:
	@command -v "$(PYTHON)" > /dev/null || \
		{ echo "make: no '$(PYTHON)' found; name an interpreter: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "make: neuroprune needs Python 3.11, 3.12 or 3.13, but '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1);" \
			"name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "make: '$(PYTHON)' cannot make virtual environments (modules venv and ensurepip);" \
			"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv $$([ ! -e $(VENV)/pyvenv.cfg ] || echo --clear) $(VENV)

clean: ## remove the environment, the demo and what tools left behind
	@if [ -e $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf demo build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
