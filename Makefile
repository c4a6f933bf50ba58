# Everything a newcomer runs. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo bench test fuzz test-android test-arm64 test-engine test-engine-arm64 apk test-ios check format clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(READY)  ## Make the virtual environment in .venv (about three minutes, once)

# Again only when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(PYTHON) $(VENV)
	@touch $@

demo: setup  ## Export the demo model, ask it about pictures, compare it with fp32
	@$(BIN)/mvlm demo

# llama.cpp is compiled for this very machine, as the kit's kernels choose by what they find on it.
BENCH_READY := $(VENV)/.bench-ready

$(BENCH_READY): $(READY)
	@echo "make bench: installing llama.cpp into $(VENV), compiled for this machine (about 15 minutes, once)" >&2
	@scripts/apt_packages.sh "llama.cpp" cmake:cmake g++:g++
	@CMAKE_ARGS=-DGGML_NATIVE=ON PIP_CONSTRAINT=$(CURDIR)/constraints.txt \
		$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	@touch $@

bench: $(BENCH_READY)  ## Measure the kit beside llama.cpp on the same weights: SIZE=demo, 1.7b, 3b or a checkpoint
	@$(BIN)/python -m mobilevlm_host.bench.peer $(if $(SIZE),"$(SIZE)")

ARM64_TOOLS := "the tests on an emulated ARM CPU" qemu-aarch64-static:qemu-user-static aarch64-linux-gnu-g++:g++-aarch64-linux-gnu

test: setup test-android test-ios  ## Run every test
	@scripts/apt_packages.sh $(ARM64_TOOLS) || [ $$? = 75 ]
	@scripts/apt_packages.sh "the tests of the HTML report" chromium:chromium || [ $$? = 75 ]
	@$(BIN)/pytest

test-android:  ## Compile and test the Android app, on the JVM
	@scripts/test_android.sh
	@scripts/test_android_app.sh

test-arm64: setup  ## Run the demo's bundle with the kernels of phones, and by Android's engine, on emulated ARM CPUs
	@scripts/apt_packages.sh $(ARM64_TOOLS) || [ $$? = 75 ]
	@$(BIN)/pytest tests/host/arm64 tests/host/android -k arm64

# ENGINE=some.aar: another engine than the one that `make apk` packs, such as the stock one that a Gradle build ships.
test-engine: setup  ## Run the demo's bundle by Android's own engine and the app's code, in a JVM on this machine
	@ENGINE=$(abspath $(ENGINE)) $(BIN)/pytest tests/host/android -k "not arm64"

test-engine-arm64: setup  ## The same on an emulated ARM CPU, a whole session too: some minutes
	@LONG=1 ENGINE=$(abspath $(ENGINE)) $(BIN)/pytest tests/host/android -k arm64

test-ios: setup  ## Build and test the iOS app, with Swift
	@scripts/test_ios.sh $(CURDIR)/$(BIN)/python

# The demo model, so that the app works at first start; another zipped bundle, or none (BUNDLE=), can be named.
DEMO_ZIP := android_app/build/demo.mvlm.zip
BUNDLE ?= $(DEMO_ZIP)

$(DEMO_ZIP): $(READY)
	@$(BIN)/mvlm export export/mobilevlm_export/demo/checkpoint -o android_app/build/demo.mvlm --zip --force

apk: setup $(filter $(DEMO_ZIP),$(BUNDLE))  ## Build, sign and check the Android app with BUNDLE packed in (no SDK needed)
	@scripts/make_apk.sh $(CURDIR)/$(BIN)/python $(BUNDLE)

# All kinds of files together; SEED chooses another damage.
SECONDS ?= 300
SEED ?= 0

fuzz: setup $(DEMO_ZIP)  ## Damage files of every kind for SECONDS=300, and count what came of it
	@cd tests && $(CURDIR)/$(BIN)/python -m fuzz $(SECONDS) $(SEED) $(CURDIR)/android_app/build/demo.mvlm

check: setup test  ## Tests, lint and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@scripts/lint_kotlin.sh

format: setup  ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@scripts/lint_kotlin.sh --format

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist android_app/build ios_app/.build
