# What there is to do with ringswitch. `make` alone lists it.
#
# A target that needs Debian packages has the missing ones installed first, saying which and why (scripts/need).

SHELL         := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

PREFIX  ?= /usr/local
DESTDIR ?=
# SMOKE=1 makes the benchmark short: it proves that everything runs, its numbers mean nothing.
SMOKE   ?=

SWIFT   ?= swift
STEP    := scripts/step
RELEASE := $(SWIFT) build -c release

# Tests by what they need; the names are regular expressions over suites. What threads share is tested
# under the thread sanitizer, what gives memory back while traffic flows under the address sanitizer.
WHOLE_TESTS   := EndToEndTests
CONTROL_TESTS := ControlTests
RELEASE_TESTS := Budget|Speed
THREAD_TESTS  := RCUTests|MACTableConcurrencyTests|CounterTests|DataplaneTests.*HandoverTests|HoldTests
MEMORY_TESTS  := RemovalTests|LiveChangeTests|HoldTests
# The whole switch, built with a sanitizer, while its ports change; the tests themselves are the plain ones.
# The thread sanitizer does not know Swift's Mutex, so what is relayed is left out of it.
CHANGE_TESTS  := EndToEndTests.*RunTimePorts
CARRY_TESTS   := EndToEndTests.*(RunTimePorts|SharedPath|TakeoverOfPorts)

.PHONY: help
help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## builds the release binary, .build/release/ringswitch
	@scripts/need swift build
	$(RELEASE) --product ringswitch

.PHONY: demo
demo: build ## real TCP between two isolated hosts through the switch; nothing is left behind
	@scripts/need run
	.build/release/ringswitch demo

.PHONY: test
test: test-debug test-imports test-whole test-release test-budgets test-tsan test-asan fuzz-smoke
test: smoke ## everything below, in this order

# The control plane's suites start processes and talk to servers with time limits, whose threads a test
# beside them would take: apart from those that only compute, and one by one.
.PHONY: test-debug
test-debug: needs-test ## all suites but those of the next two, with assertions
	@$(STEP) "tests, debug" 15m scripts/swift-test --skip '$(WHOLE_TESTS)|$(RELEASE_TESTS)|$(CONTROL_TESTS)'
	@$(STEP) "tests, debug, control plane" 15m scripts/swift-test --no-parallel --filter '$(CONTROL_TESTS)'

.PHONY: test-imports
test-imports: needs-build ## every import stands in Package.swift
	@$(STEP) "imports" 10m $(SWIFT) build --explicit-target-dependency-import-check error

# The tests look at the switch from outside, so they may be a debug build; the switch is the users' one.
.PHONY: test-whole
test-whole: needs-test guest systemd ## end to end: the release binary with real peers
	@$(STEP) "release binaries" 10m $(RELEASE)
	@RINGSWITCH_BINARIES='$(CURDIR)/.build/release' \
	    $(STEP) "tests, end to end" 30m scripts/swift-test --no-parallel --filter '$(WHOLE_TESTS)'

# `swift test` compiles for @testable, which changes every module: in its own folder it leaves .build alone.
.PHONY: test-release
test-release: needs-test ## budgets and speed inside the process, in release
	@$(STEP) "tests, release" 15m scripts/swift-test -c release --scratch-path .build-release-tests \
	    --no-parallel --filter '$(RELEASE_TESTS)'

.PHONY: test-budgets
test-budgets: build ## hot functions free of allocation, locks and reference counts; instructions a frame
	@scripts/need budgets
	@$(STEP) "hot functions, self-test" 2m scripts/budgets --self-test
	@$(STEP) "hot functions" 5m scripts/budgets .build/release/ringswitch
	$(RELEASE) --product micro
	@$(STEP) "instructions" 5m scripts/instructions .build/release/micro

.PHONY: test-tsan
test-tsan: needs-test ## what several threads touch, under the thread sanitizer
	@$(STEP) "tests, thread sanitizer" 15m scripts/swift-test \
	    --sanitize=thread --scratch-path .build-tsan --filter '$(THREAD_TESTS)'
	@RINGSWITCH_BINARIES='$(CURDIR)/.build-tsan/debug' TSAN_OPTIONS=halt_on_error=1 \
	    $(STEP) "changes of ports, thread sanitizer" 10m scripts/swift-test --no-parallel \
	    --filter '$(CHANGE_TESTS)'

# Leaks are not looked for: the test runner itself has some at its end. Descriptors and pools are
# counted by the tests.
.PHONY: test-asan
test-asan: needs-test ## removal of ports under fire, under the address sanitizer
	@ASAN_OPTIONS=detect_leaks=0 $(STEP) "tests, address sanitizer" 15m scripts/swift-test \
	    --sanitize=address --scratch-path .build-asan --filter '$(MEMORY_TESTS)'
	@RINGSWITCH_BINARIES='$(CURDIR)/.build-asan/debug' ASAN_OPTIONS=detect_leaks=0 \
	    $(STEP) "changes of ports, address sanitizer" 10m scripts/swift-test --no-parallel \
	    --filter '$(CARRY_TESTS)'

.PHONY: fuzz-smoke
fuzz-smoke: needs-build ## half a minute of fuzzing what is done to large frames and checksums
	@$(STEP) "fuzzing, half a minute" 10m scripts/fuzz --seconds 30

.PHONY: fuzz
fuzz: needs-build ## ten minutes of the same; `scripts/fuzz FILE` repeats a finding
	@$(STEP) "fuzzing, ten minutes" 20m scripts/fuzz --seconds 600

.PHONY: smoke
smoke: build ## the release binary starts, explains itself, and does its main job once
	@scripts/need run
	@$(STEP) "smoke" 2m scripts/smoke .build/release/ringswitch

.PHONY: bench
bench: needs-build ## measures the switch against cables and other switches, a page; SMOKE=1: short
	@scripts/need run bench
	$(RELEASE)
	$(if $(SMOKE),bench/report --self-test)
	bench/run $(if $(SMOKE),--smoke,--html bench/out/report.html)

.PHONY: install
install: build ## installs below PREFIX (default /usr/local), DESTDIR for packagers
	scripts/install .build/release/ringswitch '$(DESTDIR)$(PREFIX)' '$(PREFIX)'

.PHONY: deb
deb: build ## builds a Debian package, .build/ringswitch_VERSION_ARCHITECTURE.deb
	@scripts/need deb
	scripts/package-deb .build/release/ringswitch .build

.PHONY: format
format: ## formats all Swift sources in place
	@scripts/need swift
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests bench

.PHONY: lint
lint: ## checks the format and the house rules that a script can check
	@scripts/need swift
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests bench
	scripts/tidy

.PHONY: clean
clean: ## removes everything that was built
	rm -rf .build .build-*

# The guest of the tests with real virtual machines. Where it cannot be had, these are skipped by name.
.PHONY: guest
guest:
	@scripts/need --optional vm
	@scripts/guest-image || echo "no guest: the tests with real VMs are skipped"

# The same with systemd, which runs in namespaces.
.PHONY: systemd
systemd:
	@scripts/need --optional systemd

.PHONY: needs-build
needs-build:
	@scripts/need swift build

.PHONY: needs-test
needs-test: needs-build
	@scripts/need run test
