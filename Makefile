# `make demo` and `make test` do all the set-up on a fresh machine: a virtual environment with everything in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPED := build/typed
FOLDERS := kernels cli recipes data

.PHONY: demo test lint types clean

demo: $(VENV)/installed
	$(BIN)/medssm demo

test: lint types
	$(BIN)/pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The type checker wants the package laid out as it is imported; links show it so.
types: $(VENV)/installed
	rm -rf $(TYPED) && mkdir -p $(TYPED)/medssm
	ln -s $(CURDIR)/medssm/* $(addprefix $(CURDIR)/,$(FOLDERS)) $(TYPED)/medssm
	cd $(TYPED) && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p medssm

$(VENV)/installed: setup.cfg setup.py pyproject.toml $(shell find kernels -name '*.cpp' -o -name '*.h')
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
