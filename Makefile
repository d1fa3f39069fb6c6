# `make demo` and `make test` do all the set-up themselves: a Python from 3.11 on and make are enough to start.

.PHONY: help demo docs picture test tools lint types pythons tests lab bench bench-onset bench-verdict lock clean

help:
	@echo "make demo   install irkit and rehearse an interception, in about a minute"
	@echo "make lab    open triage.ipynb in JupyterLab: run all cells, then the form"
	@echo "make test   install what the tests need, then lint, types and all tests, on every supported Python found"
	@echo "make bench  run the benchmarks"
	@echo "make bench-verdict  judge 2,000 generated incidents and say how often that is right;"
	@echo "            VERDICT='--without each' takes each source away in turn, VERDICT='--forged 0.2' forges reports"
	@echo "make bench-onset   how well onsets are dated and shapes named, in a seeded study"
	@echo "make docs   make the reference of all public names from their docstrings: build/reference"
	@echo "make picture   draw the picture in README anew"
	@echo "make lock   take the newest versions of all dependencies into requirements.lock"
	@echo "make clean  remove everything that make has made"

demo: .venv/workbench.stamp
	@sh .ci/demo

picture: .venv/workbench.stamp
	@sh .ci/picture

# It asks nothing about news and looks for no update: the machine of an incident may have no way out.
lab: .venv/workbench.stamp
	.venv/bin/jupyter lab notebooks/triage.ipynb --LabApp.news_url=None \
		--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $$([ "$$(id -u)" != 0 ] || echo --allow-root)

# The other Pythons come before the long run, so that pytest's last line is the one of all tests.
test: tools .venv/test.stamp .tools/mitmproxy/bin/mitmdump .tools/schedulers/bin/jupyter-server
	@$(MAKE) --no-print-directory lint types pythons tests

tools:
	@sh .ci/tools

lint:
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types:
	.venv/bin/mypy

pythons:
	@sh .ci/pythons

tests:
	.venv/bin/python -m pytest -n auto --timeout 300

bench: .venv/test.stamp
	@for script in benchmarks/*.py; do echo "== $$script"; .venv/bin/python "$$script" || exit 1; done

# Beside ruptures, which nothing else here needs.
bench-onset: .venv/test.stamp
	@sh .ci/install bench
	.venv/bin/python benchmarks/onset.py

bench-verdict: .venv/test.stamp
	.venv/bin/python benchmarks/verdict.py --count 2000 $(VERDICT)

docs: .venv/test.stamp
	.venv/bin/python -W error::UserWarning -m pdoc irkit irkit.chronicle --docformat google --no-show-source --output-directory build/reference

lock: .venv/bin/uv
	.venv/bin/uv pip compile --quiet --upgrade --universal --all-extras --group test --group bench --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@! grep -nE "://|--(extra-)?index|--find-links" requirements.lock  # it says what, never from where

clean:
	rm -rf .venv .venv-* .tools .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/uv:
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet uv

# A stamp newer than what it was made from means: nothing to install.
.venv/workbench.stamp: pyproject.toml requirements.lock
	@sh .ci/install workbench
	@touch $@

.venv/test.stamp: pyproject.toml requirements.lock
	@sh .ci/install test
	@touch $@ .venv/workbench.stamp

# An interceptor of its own: its dependencies and irkit's exclude each other.
.tools/mitmproxy/bin/mitmdump: | .venv/test.stamp
	@sh .ci/mitmproxy

.tools/schedulers/bin/jupyter-server: .ci/schedulers | .venv/test.stamp
	@sh .ci/schedulers
