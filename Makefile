# make test    the test suite                    make demo    a site and an operator to try it with
# make lint    style, and forgotten migrations   make clean   back to a fresh checkout
# make types   mypy, strict
# make test-browser    every page in Chromium, and what people do there
# make test-coexistence    sites of other packages, each served with ours in it: docs/coexistence.rst
# make mutants         the protocol's tests against broken copies of its checks
# make test-hostile    a hostile operator and every case of it, counted by group
# make test-servers    two sites of real servers, and 10,000 logins in one process; needs redis-server, and PostgreSQL
#                      that NUMVERIFY_TEST_DATABASE=postgresql://user@host:port/name leads to
# make messages        the catalogues brought up to date with what the package says, and compiled
# make bench           what a login costs, beside other libraries: docs/benchmarks.rst; ARGS=--quick for one round
# make bench-admin     the audit's pages with ten million rows
# make docs            the documentation, into build/docs, and its examples run
# make screenshots     every page as Chromium shows it, into docs/_static/screens
#
# Needs python3 (3.11 or newer) and make. PYTHON=/path/to/python3.13 takes another interpreter, VENV=.venv-3.13 another
# place for it, ARGS="-k share" goes to pytest, PORT and SANDBOX_PORT move the demo.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
SANDBOX_PORT ?= 9091
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# One minor version: the next one formats differently.
RUFF := "ruff>=0.17,<0.18"
# Likewise: the next one finds something else.
MYPY := "mypy>=2.4,<2.5" "django-stubs>=6.1,<6.2" "djangorestframework-stubs>=3.18,<3.19" types-requests

MUTMUT := "mutmut>=3.8,<4"
SCREENS := docs/_static/screens

# The tests start hundreds of processes: each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: test test-browser test-coexistence test-hostile test-servers mutants bench bench-admin screenshots messages \
	docs lint types demo clean

test: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal --ignore=tests/browser \
		--ignore=tests/coexistence --ignore=tests/hostile --ignore=tests/servers $(ARGS)

test-browser: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal tests/browser $(ARGS)

test-coexistence: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile tests/coexistence $(ARGS)

test-hostile: $(VENV)/.test
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 tests/hostile $(ARGS)

# One after the other: each has the machine to itself. CI=1: what is missing is said, not skipped.
test-servers: $(VENV)/.test
	@CI=1 $(BIN)/python -m pytest tests/servers $(ARGS)

# The pure protocol against its tests, with one thing broken at a time: what survives is explained, or fails.
# From nothing, since mutmut keeps its verdicts when only a test or a constant changed.
mutants: $(VENV)/.test
	@$(PIP) $(MUTMUT)
	@rm -rf mutants
	@$(BIN)/mutmut run
	@$(BIN)/python tests/mutants.py

# Needs PostgreSQL and Redis on this machine.
bench: $(VENV)/.bench
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-admin: $(VENV)/.test $(VENV)/.bench
	@$(BIN)/python -m tests.benchmarks.audit $(ARGS)

messages: $(VENV)/.test
	@$(BIN)/python -m tests.messages

# A warning is an error. From nothing: Sphinx says it of a page once.
docs: $(VENV)/.docs
	@rm -rf build/docs
	@$(BIN)/sphinx-build -q --fail-on-warning --keep-going docs build/docs
	@$(BIN)/sphinx-build -q --fail-on-warning --builder doctest --doctree-dir build/docs/.doctrees docs build/doctest
	@echo "build/docs/index.html"

# CI=1: without Chromium there is nothing to skip.
screenshots: $(VENV)/.test
	@rm -f $(SCREENS)/*.png
	@CI=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 tests/browser/screenshots.py $(ARGS)
	@du -sh $(SCREENS)

# The check for migrations reads no data: a database in memory leaves the demo's alone.
lint: $(VENV)/.lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@DATABASE_URL=sqlite:///:memory: $(BIN)/python example_project/manage.py makemigrations --check --dry-run

types: $(VENV)/.types
	@$(BIN)/mypy

demo: $(VENV)/.demo
	@exec $(BIN)/python example_project/demo.py --port "$(PORT)" --sandbox-port "$(SANDBOX_PORT)"

clean:
	rm -rf .venv .venv-* .tox mutants build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -f example_project/demo.sqlite3*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is one extra of setup.cfg, installed; it is older than setup.cfg once that changes.
$(VENV)/.test: $(VENV)/pyvenv.cfg setup.cfg pyproject.toml
	@echo "Installing what the tests need into $(VENV): a minute or two, once."
	@$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.demo: $(VENV)/pyvenv.cfg setup.cfg pyproject.toml
	@echo "Installing what the example needs into $(VENV): a minute or two, once."
	@$(PIP) --editable '.[otp,qr,sandbox]'
	@touch $@

$(VENV)/.bench: $(VENV)/pyvenv.cfg setup.cfg pyproject.toml
	@echo "Installing what the benchmarks need into $(VENV): a minute or two, once."
	@$(PIP) --editable '.[bench]'
	@touch $@

$(VENV)/.docs: $(VENV)/pyvenv.cfg setup.cfg pyproject.toml
	@echo "Installing what the documentation needs into $(VENV): a minute, once."
	@$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.lint: $(VENV)/.demo
	@$(PIP) $(RUFF)
	@touch $@

$(VENV)/.types: $(VENV)/.test
	@$(PIP) $(MYPY)
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is missing or older than 3.11: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment: install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
