# `make demo` and `make test` need only python3. The first call sets up .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint live bench soak man manual packages picture clean

demo: .venv/installed
	$(BIN)/python -m tests.sandbox.demo

test: .venv/installed
	$(BIN)/python -m pytest -n auto

lint: .venv/linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

live: .venv/installed
	$(BIN)/python -m pytest -m live

bench: .venv/installed     # takes ten minutes; adds a line to tests/bench/history.jsonl
	PYTHONPATH=tests $(BIN)/python tests/bench/scale.py
	$(BIN)/python tests/bench/tables.py     # for docs/scale.md
	PYTHONPATH=tests $(BIN)/python tests/bench/delegated.py

SEED ?= 1
soak: .venv/installed      # the long form of tests/faults, hours of processor time; writes its figures into docs/faults.md
	$(BIN)/python -m pip install --quiet atheris
	mkdir -p build && rm -f build/soak.jsonl
	SOAK=1 SOAK_SEED=$(SEED) SOAK_FIGURES=$(CURDIR)/build/soak.jsonl $(BIN)/python -m pytest -n 4 tests/faults
	$(BIN)/python tests/faults/figures.py build/soak.jsonl

picture: .venv/installed   # the documentation's picture of the report; needs chromium
	PYTHONPATH=tests $(BIN)/python tests/reports/picture.py docs/report.png

man: .venv/installed
	$(BIN)/python packaging/manual.py

manual: .venv/installed    # writes what commands print now into README.md and docs
	PYTHONPATH=tests $(BIN)/python tests/docs/refresh.py

packages:     # RPMs that bring their own libraries, and the same wheels as tars; into build/packages, from the last commit
	packaging/build.sh

.venv/installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .[test]
	touch $@

.venv/linters: .venv/installed
	$(BIN)/python -m pip install --quiet -e .[lint]
	touch $@

clean:
	rm -rf .venv build
