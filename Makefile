# `make demo` and `make test` do all the set-up on a fresh machine: a virtual environment with everything in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPED := build/typed
FOLDERS := kernels cli recipes data
FRESH := build/fresh
# Of `make fuzz`: damaged files of each kind, and which ones.
MUTANTS := 1500
SEED := 0
# A process to a CPU, of one thread; a handful of them fill the memory of a laptop.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test test-all fuzz lint types docs wheels check-wheels layout clean

demo: $(VENV)/installed
	$(BIN)/medssm demo

test: lint types
	$(PYTEST) -m 'not slow'

# With every combination of sizes, dtypes and networks.
test-all: lint types
	$(PYTEST)

# Thousands of damaged files of every kind, each opened in a process of its own; what fails is kept in build/fuzz.
fuzz: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzzing/run.py --mutants $(MUTANTS) --seed $(SEED)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed layout
	cd $(TYPED) && $(CURDIR)/$(BIN)/mypy --cache-dir $(CURDIR)/build/mypy --config-file $(CURDIR)/pyproject.toml -p medssm

# A broken link, or a name in the code's reference that is no more, fails.
docs: $(VENV)/installed layout
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict --site-dir build/site
	@echo "open build/site/index.html"

# An archive of the sources and, built from it, a wheel for any Python 3 and any Linux of the last ten years.
wheels: $(VENV)/wheels
	rm -rf dist build/wheels
	$(BIN)/python -m build --outdir build/wheels
	mkdir dist && mv build/wheels/*.tar.gz dist
	if [ "$$(uname)" = Linux ]; then PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheels/*.whl; \
	else mv build/wheels/*.whl dist; fi
	$(BIN)/twine check --strict dist/*
	$(MAKE) check-wheels

# The wheel alone in a fresh environment, which takes what it depends on from the one beside it: torch is 2 GB.
check-wheels: $(VENV)/installed
	rm -rf $(FRESH) && $(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --no-deps dist/*.whl
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> $$($(FRESH)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	cd $(FRESH) && env -u PYTHONPATH bin/medssm doctor

# The package as it is imported, for tools that read it without installing it: links show it so.
layout:
	rm -rf $(TYPED) && mkdir -p $(TYPED)/medssm
	ln -s $(CURDIR)/medssm/* $(addprefix $(CURDIR)/,$(FOLDERS)) $(TYPED)/medssm

$(VENV)/installed: setup.cfg setup.py pyproject.toml $(shell find kernels -name '*.cpp' -o -name '*.h')
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/wheels: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[wheels]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
