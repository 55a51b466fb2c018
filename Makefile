# Needs Python 3.11 to 3.13 as `python3` (or PYTHON=...), git and make; everything else is fetched into .venv.
PYTHON ?= python3
BIN := .venv/bin
# without a uv on PATH, one is kept apart from .venv, which `uv sync` empties of all that the lock does not name
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
# one stamp for each interpreter: another PYTHON makes .venv anew
STAMP := .venv/synced-with-$(notdir $(PYTHON))
PROJECTS := pyproject.toml $(wildcard libs/*/pyproject.toml plugins/*/*/pyproject.toml examples/*/pyproject.toml)

SUITS = @$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v[:2] < (3, 14) or sys.exit(f"$(PYTHON) was Python {v[0]}.{v[1]}. Nexus needs 3.11 to 3.13: make PYTHON=python3.12")'

# the first makes every process compile its imports again, the others let another environment in
unexport PYTHONDONTWRITEBYTECODE UV_PROJECT_ENVIRONMENT VIRTUAL_ENV PYTHONPATH PYTHONHOME
# the lock names the checker's version; it need not ask the network for a newer one
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help run test lint docs bench build clean compile

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(STAMP) ## trade the synthetic market on paper with the standard chain and show the result
	$(BIN)/nexus compile --set chain.preset=standard
	$(BIN)/nexus run --set chain.preset=standard

test: compile ## run all tests compiled, then the kernel's as plain Python under coverage
	$(BIN)/python -m pytest
	NEXUS_JIT=0 $(BIN)/python -m pytest tests -m "not jit" --cov=nexus_core --cov-branch --cov-fail-under=95

lint: $(STAMP) ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: $(STAMP) ## write the reference pages (with CI set: compare them) and run every example in the documents
	$(BIN)/python docs/build.py $(if $(CI),--check)

bench: compile ## measure speed beside the peers
	$(BIN)/python bench/run.py

build: $(STAMP) ## make wheels and source archives of all packages in dist/
	$(UV) build --all-packages --out-dir dist

clean: ## remove what the other targets made
	rm -rf .venv .tools dist site .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

compile: $(STAMP) ## compile the steps ahead of use (quick when nothing changed)
	$(BIN)/nexus compile

$(STAMP): uv.lock $(PROJECTS) | $(UV)
	$(SUITS)
	$(UV) sync --frozen --compile-bytecode --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

.tools/bin/uv:
	$(SUITS)
	$(PYTHON) -m venv --clear .tools
	.tools/bin/python -m pip install --quiet 'uv>=0.13,<0.14'
