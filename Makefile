# `make demo` and `make test` need only python3. The first call sets up .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint live bench man rpm picture clean

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

bench: .venv/installed     # takes some minutes; adds a line to tests/bench/history.jsonl
	PYTHONPATH=tests $(BIN)/python tests/bench/scale.py
	PYTHONPATH=tests $(BIN)/python tests/bench/delegated.py

picture: .venv/installed   # the documentation's picture of the report; needs chromium
	PYTHONPATH=tests $(BIN)/python tests/reports/picture.py docs/report.png

man: .venv/installed
	$(BIN)/python packaging/manual.py

# Builds the RPM from the last commit. --nodeps: on Debian, rpmbuild does not know the required packages.
rpm: .venv/installed
	$(BIN)/python -m pip install --quiet setuptools wheel
	rm -rf build/rpm && mkdir -p build/rpm/SOURCES
	version=$$(sed -n 's/^version = //p' setup.cfg) && git archive --prefix=satellite-osp-cleanup-$$version/ \
	    -o build/rpm/SOURCES/satellite-osp-cleanup-$$version.tar.gz HEAD
	rpmbuild -ba --nodeps --define "_topdir $(CURDIR)/build/rpm" --define "__python3 $(CURDIR)/$(BIN)/python" \
	    packaging/satellite-osp-cleanup.spec
	find build/rpm -name '*.rpm'

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
