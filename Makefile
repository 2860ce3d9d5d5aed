# `make run` and `make test` work on a fresh machine with Python 3.11 and nothing else installed.
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 1
ARGS ?=

.PHONY: run test check format bench soak supported contract lock clean

run: .venv/.stamp
	$(BIN)/stoker demo $(ARGS)

test: .venv/.stamp
	$(BIN)/pytest -n 3 --dist loadfile $(ARGS)

check: .venv/.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.stamp
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: .venv/.stamp
	SOAK_SEED=$(SEED) $(BIN)/pytest tests/soak -s --timeout 1800 $(ARGS)

supported: .venv/.stamp
	$(BIN)/python packaging/supported.py

contract: .venv/.stamp
	$(BIN)/stoker contract > docs/asyncapi.yaml.new
	mv docs/asyncapi.yaml.new docs/asyncapi.yaml

lock:
	uv lock

clean:
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/.stamp: pyproject.toml uv.lock packaging/bootstrap.sh
	@sh packaging/bootstrap.sh "$(PYTHON)"
	@touch $@
