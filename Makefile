# Everything a newcomer runs. `make` alone lists the targets, from the lines "TARGET: ## what it does | arguments | time".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup hooks demo bench test-fast test test-python test-android test-ios test-ios-races test-arm64 test-engine test-engine-arm64 apk ios-demo release fuzz lint check format api-docs clean

help:  ## List the targets | | 1 s
	@awk -F ' *(##|[|]) *' 'BEGIN { layout = "%-18s %-24s %-14s %s\n"; printf layout, "Target", "Arguments", "About", "What it does" } \
		/^[a-z0-9-]+:.* ## / { sub(/:.*/, "", $$1); printf layout, $$1, $$3, $$4, $$2 }' Makefile

setup: $(READY)  ## Make the virtual environment in .venv | PYTHON=python3.12 | 3 min, once

# Again only when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(PYTHON) $(VENV)
	@touch $@

hooks: setup  ## Check what changes before each commit (.pre-commit-config.yaml) | | 5 s
	@$(BIN)/pre-commit install

demo: setup  ## Export the demo model, ask it about pictures, compare it with fp32 | | 1 min
	@$(BIN)/mvlm demo

# llama.cpp is compiled for this very machine, as the kit's kernels choose by what they find on it. A package that was
# compiled without the tool for importance matrices, here or in pip's cache, is replaced.
BENCH_READY := $(VENV)/.bench-ready
PEER_TOOLS := scripts/llama_cpp_tools.cmake

$(BENCH_READY): $(READY) $(PEER_TOOLS)
	@echo "make bench: installing llama.cpp into $(VENV), compiled for this machine (about 15 minutes, once)" >&2
	@scripts/apt_packages.sh "llama.cpp" cmake:cmake g++:g++
	@ls $(VENV)/lib/python3*/site-packages/llama_cpp/lib/llama-imatrix >/dev/null 2>&1 || \
		CMAKE_ARGS="-DGGML_NATIVE=ON '-DCMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/$(PEER_TOOLS)'" \
		PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check \
		--no-cache-dir --force-reinstall --no-deps llama-cpp-python
	@PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	@touch $@

# QUALITY=1: not speed and memory, but how many answers, and how much KL, each quantization of both costs at its size.
bench: $(BENCH_READY)  ## Measure the kit beside llama.cpp: SIZE=demo, a size of mvlm synth or a checkpoint | SIZE=demo QUALITY=1 | 2 min
	@$(BIN)/python -m mobilevlm_host.bench.peer$(if $(QUALITY),.quality) $(if $(SIZE),"$(SIZE)")

# On two cores: each file's tests on one, and bundles that all share exported once (tests/conftest.py).
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

# What test-fast leaves out; pyproject.toml says what each marker means, tests/conftest.py sets them.
FAST := -m "not export and not emulated and not jvm and not slow and not thorough"

ARM64_TOOLS := "the tests on an emulated ARM CPU" qemu-aarch64-static:qemu-user-static aarch64-linux-gnu-g++:g++-aarch64-linux-gnu

.PHONY: tools
tools:
	@scripts/apt_packages.sh $(ARM64_TOOLS) || [ $$? = 75 ]
	@scripts/apt_packages.sh "the tests of the HTML report and the camera page" chromium:chromium || [ $$? = 75 ]

test-fast: setup  ## Run the Python tests that export nothing and start no emulator, JVM or Swift | | 2 min
	@$(PYTEST) $(FAST)

test: setup test-android test-ios test-python  ## Run every test but the costliest, which make check runs: emulated ARM, races, some exports | | 13 min

test-python: setup tools  ## The Python tests of make test | | 8 min
	@$(PYTEST) -m "not emulated and not thorough"

test-android:  ## Compile and test the Android app, on the JVM | | 3 min
	@scripts/test_android.sh
	@scripts/test_android_app.sh

test-ios: setup  ## Build and test the iOS app, with Swift | | 2 min
	@scripts/test_ios.sh $(CURDIR)/$(BIN)/python

test-ios-races:  ## Run the iOS app's concurrent code under Swift's thread sanitizer | | 2 min
	@scripts/test_ios_races.sh

test-arm64: setup  ## Run the demo with the kernels of phones, and by Android's engine, on emulated ARM CPUs | | 5 min
	@scripts/apt_packages.sh $(ARM64_TOOLS) || [ $$? = 75 ]
	@$(BIN)/pytest -m emulated

# ENGINE=some.aar: another engine than the one that `make apk` packs, such as the stock one that a Gradle build ships.
test-engine: setup  ## Run the demo by Android's own engine and the app's code, in a JVM on this machine | ENGINE=some.aar | 2 min
	@ENGINE=$(abspath $(ENGINE)) $(BIN)/pytest tests/host/android -m "not emulated"

test-engine-arm64: setup  ## The same on an emulated ARM CPU, a whole session too | ENGINE=some.aar | 10 min
	@LONG=1 ENGINE=$(abspath $(ENGINE)) $(BIN)/pytest tests/host/android -m emulated

# The demo model, so that the app works at first start; another zipped bundle, or none (BUNDLE=), can be named.
DEMO_ZIP := android_app/build/demo.mvlm.zip
BUNDLE ?= $(DEMO_ZIP)

$(DEMO_ZIP): $(READY)
	@$(BIN)/mvlm export export/mobilevlm_export/demo/checkpoint -o android_app/build/demo.mvlm --zip --force

apk: setup $(filter $(DEMO_ZIP),$(BUNDLE))  ## Build, sign and check the Android app with BUNDLE packed in (no SDK needed) | BUNDLE=x.mvlm.zip | 3 min
	@scripts/make_apk.sh $(CURDIR)/$(BIN)/python $(BUNDLE)

# What Xcode packs: every file in ios_app/App. Git ignores this one.
IOS_DEMO := ios_app/App/demo.mvlm.zip

$(IOS_DEMO): $(READY)
	@$(BIN)/mvlm export export/mobilevlm_export/demo/checkpoint -o ios_app/build/demo.mvlm --backend coreml --zip --force
	@cp ios_app/build/demo.mvlm.zip $@

ios-demo: $(IOS_DEMO)  ## Export the demo model for Core ML, for Xcode to pack into the iOS app | | 1 min

release: setup  ## Make a release in dist: wheel, sdist, Android app, the demo's bundles, notes, checksums | | 6 min
	@scripts/release.sh "$(CURDIR)/$(BIN)/python"

# All kinds of files together; SEED chooses another damage.
SECONDS ?= 300
SEED ?= 0

fuzz: setup $(DEMO_ZIP)  ## Damage files of every kind, and count what came of it | SECONDS=300 SEED=0 | SECONDS
	@cd tests && $(CURDIR)/$(BIN)/python -m fuzz $(SECONDS) $(SEED) $(CURDIR)/android_app/build/demo.mvlm

lint: setup  ## Check format, style and types: ruff, mypy, ktlint, swift-format, actionlint, hadolint | | 1 min
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@scripts/lint_kotlin.sh
	@scripts/lint_swift.sh
	@scripts/lint_workflows.sh $(BIN)

check: lint test-android test-ios test-ios-races tools  ## What the gate runs: lint, then every test, and the 20 slowest of the Python tests | | 25 min
	@$(PYTEST) --durations=20

format: setup  ## Format the code and fix what lint can fix | | 1 min
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@scripts/lint_kotlin.sh --format
	@scripts/lint_swift.sh --fix

api-docs: setup  ## Write the API reference of the public names to build/api | | 10 s
	@$(BIN)/python -W ignore scripts/api_docs.py build/api

clean:  ## Remove the virtual environment and caches | | 1 s
	rm -rf $(VENV) build/lmms-eval .pytest_cache .mypy_cache .ruff_cache dist android_app/build ios_app/.build ios_app/build $(IOS_DEMO)
