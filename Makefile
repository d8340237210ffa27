# Every target is complete by itself on a machine with Python 3.11 or newer.
.DEFAULT_GOAL := help
.PHONY: run test check notebook bench bench-load bench-insight lock clean help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/requirements.lock

run: $(INSTALLED) ## serve on http://127.0.0.1:5006 with the demo fleet
	@$(PY) app.py serve

test: $(INSTALLED) ## run every test, in a real browser too
	@$(PY) tests/browser/chromium.py
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/fault
	$(PY) -m pytest tests/fault

check: $(INSTALLED) ## format, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

notebook: $(INSTALLED) ## open the tutorial notebook in JupyterLab
	@PYTHONPATH="$(CURDIR)" $(PY) -m jupyterlab assets/docs/notebook.ipynb

bench: $(INSTALLED) ## run the benchmarks, one after another
	@$(PY) tests/browser/chromium.py
	$(PY) -m tests.bench

bench-load: $(INSTALLED) ## run all steps of the load test, up to 5,000 sockets; minutes
	$(PY) -m tests.bench.load

bench-insight: $(INSTALLED) ## measure what is said of the numbers beside published figures, into assets/docs/measured.md
	$(PY) -m tests.bench insight

lock: ## resolve pyproject.toml anew into requirements.lock, keeping pins that still fit
	@python3 -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o requirements.lock
	@rm -rf $(VENV)-lock

clean: ## remove what was built; the data in .plumbline stays
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# The copy of the lock inside .venv is written last, so that an installation cut short is begun again.
$(INSTALLED): requirements.lock
	@for python in "$$PYTHON" python3.11 python3 python3.14 python3.13 python3.12; do \
	  test -n "$$python" && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	  python=; \
	done; \
	test -n "$$python" || { echo 'Plumbline needs Python 3.11 or newer, and found none. Install it, or say where it is:' \
	  'make PYTHON=/path/to/python3.11' >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo "$$python lacks the venv module." \
	  'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$python, about a minute ..."; \
	"$$python" -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@cp requirements.lock $@
