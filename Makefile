# Everything runs in .venv, made on first use; see `make help`.
VENV ?= .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean environment environment-testing

help:
	@echo "make demo    install into $(VENV), then open napari on a picture with classes typed in and masks shown;"
	@echo "             without a display: the same on a virtual screen, pictures in demo-output/"
	@echo "make test    install into $(VENV) with the test tools, then every check and the whole test suite"
	@echo "make lint    style, types and import contracts only"
	@echo "make format  put the code into shape"
	@echo "make clean   remove $(VENV), caches and demo-output/"
	@echo "Choose a Python with PYTHON=/path/to/python3.12 and a folder for the environment with VENV=DIR."

environment:
	@python=$$(PYTHON="$(PYTHON)" sh scripts/find_python.sh) && "$$python" scripts/system_packages.py \
	  && "$$python" scripts/setup_environment.py --venv "$(VENV)" --extras all

environment-testing:
	@python=$$(PYTHON="$(PYTHON)" sh scripts/find_python.sh) && "$$python" scripts/system_packages.py \
	  && "$$python" scripts/setup_environment.py --venv "$(VENV)" --extras all,testing

demo: environment
	@$(BIN)/python scripts/run_demo.py

test: environment-testing
	@$(BIN)/python scripts/checks.py

lint: environment-testing
	@$(BIN)/python scripts/checks.py --lint-only

format: environment-testing
	@$(BIN)/python -m ruff format . && $(BIN)/python -m ruff check --fix .

clean:
	rm -rf "$(VENV)" demo-output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
