# `make demo` and `make test` need python3 and nothing else; the first call sets up .venv
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint live bench clean

demo: .venv/installed
	$(BIN)/satellite-osp-cleanup demo

test: .venv/installed
	$(BIN)/python -m pytest -n auto

lint: .venv/linters
	$(BIN)/ruff check .
	$(BIN)/mypy

live: .venv/installed
	$(BIN)/python -m pytest -m live

bench: .venv/installed
	$(BIN)/python tests/bench/delegated.py

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .[test]
	touch $@

.venv/linters: .venv/installed
	$(BIN)/python -m pip install --quiet -e .[lint]
	touch $@

clean:
	rm -rf .venv
