# Set-up happens once in each environment, and again when pyproject.toml or its constraints change.
#
#   make qualify [LEVEL=3] [ARGS="--engine ipex --output DIR"]
#   make test    [ARGS="--amx-level 3"]
#   make test ENV=stock                     any of them on the newest PyTorch, without the extension
#   PYTHON=/path/to/python3.12 make ...     chooses the interpreter of the set-up

# A shell may export a variable of that name, the file it reads at its start: it is not meant here.
ifneq ($(origin ENV),command line)
ENV := ipex
endif
ifeq ($(ENV),ipex)
VENV := .venv
CONSTRAINTS := constraints.txt
EXTRAS := ipex,fleet,dev
else ifeq ($(ENV),stock)
VENV := .venv-stock
CONSTRAINTS := constraints-stock.txt
EXTRAS := stock,fleet,dev
else
$(error ENV=$(ENV) is none of the environments: ipex (the default) or stock)
endif
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
# The main job is ResNet50 and BERT, which begin at level 3.
LEVEL ?= $(or $(AMX_SUITE_LEVEL),3)
ARGS ?=
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: qualify test check clean help

qualify: $(STAMP) ## set up, then run ResNet50 and BERT, training and inference (LEVEL=3)
	$(BIN)/amx-suite qualify --level $(LEVEL) $(ARGS)

test: $(STAMP) ## set up, then run all tests at the default level
	$(BIN)/python -m pytest tests $(ARGS)

# The selftests start some hundred short Python processes, each of which would compile the suite anew.
check: export PYTHONDONTWRITEBYTECODE :=
check: $(STAMP) ## format, lint, types, import contract, selftests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict amx_suite
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest tests/selftest --quiet --numprocesses=auto --dist=worksteal

clean: ## remove the set-up, caches and results
	rm -rf .venv .venv-stock .venv-otava *.egg-info build amx-results .benchmarks
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A candidate is asked rather than trusted: a name on PATH may be too old, or a shim without an
# interpreter behind it. torch 2.8.0, which constraints.txt pins, has no wheel past Python 3.13.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@set -e; found=; \
	for candidate in $(PYTHON) $(if $(PYTHON),,python3.11 python3.12 python3.13 python3); do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	        >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "Python 3.11, 3.12 or 3.13 with its venv module is needed; tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3)." >&2; \
	    echo "Install one (on Debian or Ubuntu: python3 and python3-venv), or name it: PYTHON=/path/to/python3 make ..." >&2; \
	    exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip' >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$found ..."; \
	    rm -rf $(VENV); "$$found" -m venv $(VENV); \
	fi
	@echo "Installing into $(VENV): about 7 GB and a few minutes the first time ..."
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@
