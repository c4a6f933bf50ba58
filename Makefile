# Everything a newcomer runs. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-android test-ios check format clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## Make the virtual environment in .venv (about three minutes, once)

# Again only when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(PYTHON) $(VENV)
	@touch $@

demo: setup  ## Export the demo model, ask it about pictures, compare it with fp32
	@$(BIN)/mvlm demo

test: setup test-android test-ios  ## Run every test
	@scripts/apt_packages.sh "the tests of the HTML report" chromium:chromium || [ $$? = 75 ]
	@$(BIN)/pytest

test-android:  ## Compile and test the core of the Android app, on the JVM
	@scripts/test_android.sh

test-ios: setup  ## Build and test the core of the iOS app, with Swift
	@scripts/test_ios.sh $(CURDIR)/$(BIN)/python

check: setup test  ## Tests, lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup  ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist android_app/build ios_app/.build
