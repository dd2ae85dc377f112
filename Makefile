# make demo and make test set everything up themselves.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test quick lint docs bench coverage clean

demo: .venv/.runtime
	@$(BIN)/ctscribe demo

# Tests start a hundred interpreters; without bytecode each would compile the whole project anew
test quick: export PYTHONDONTWRITEBYTECODE =

test: .venv/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

quick: .venv/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --quick $(ARGS)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Writes the options of every command into docs/command-line.md, then the site into build/site
docs: .venv/.test
	$(BIN)/python docs/options.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

coverage: .venv/.test
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report

bench: .venv/.test
	$(BIN)/python -m bench.preprocess
	$(BIN)/python -m bench.intake
	$(BIN)/python -m bench.serving
	$(BIN)/python -m bench.encoder
	$(BIN)/python -m bench.startup

.venv/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is missing, older than 3.11, or has no venv: apt install python3-venv," \
		"or name another one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv. This takes minutes the first time: PyTorch is large."
	@$(PYTHON) -m venv .venv
	@$(PIP) install -q -c constraints.txt -e .
	touch $@

.venv/.test: .venv/.runtime
	$(PIP) install -q -c constraints.txt -e '.[test]'
	$(BIN)/ctscribe eval setup
	touch $@

clean:
	rm -rf .venv build *.egg-info demo-output
