# SPDX-License-Identifier: BSD-2-Clause
#
# Targets that judge the tree: tests, requirement coverage, static checks.
# The programs behind them are Python and start sub-makes themselves, so that
# one command builds both the release and the sanitizer tree.
#
# CHECK_BUILD: where both builds and the results go, for checks side by side.

CHECK_BUILD ?= build
RUN_PYTHON := PYTHONDONTWRITEBYTECODE=1 $(PYTHON)

.PHONY: check requirements lint print-unit-tests print-cflags
check:
	@$(RUN_PYTHON) tests/run --build $(CHECK_BUILD)

# Minutes, and best on a machine that has nothing else to do; not part of check.  docs/routes.md.
.PHONY: bench-routes
bench-routes: all
	@$(RUN_PYTHON) tests/bench-routes --build $(BUILD)/bin

# Two minutes, in the lab; not part of check.  docs/engine.md.
SYN_FLOOD := $(BUILD)/tests/flood/syn
$(SYN_FLOOD): $(BUILD)/tests/flood/syn.o
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^
.PHONY: bench-flood
bench-flood: all $(SYN_FLOOD)
	@echo "a download of 2 Gbit/s:"; $(RUN_PYTHON) tests/bench-flood --build $(BUILD) --pace 2000
	@echo "one as fast as it can:"; $(RUN_PYTHON) tests/bench-flood --build $(BUILD)

# Many agents at one manager; not part of check.  docs/performance-smd.md.
AGENTS_LOAD := $(BUILD)/tests/load/agents
$(AGENTS_LOAD): $(BUILD)/tests/load/agents.o $(LIBTURNOUT)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
tests: $(AGENTS_LOAD)
.PHONY: bench-smd
bench-smd: all $(AGENTS_LOAD)
	@$(RUN_PYTHON) tests/bench-smd --build $(BUILD)

requirements:
	@$(RUN_PYTHON) tests/requirements.py --results $(CHECK_BUILD)/results/results.json

# The objects are looked at too (writable globals), and sources include generated headers.
lint: all
	@$(RUN_PYTHON) tests/lint/run --build $(BUILD)

# Questions the Python programs ask: nothing else knows the lists and flags.
print-unit-tests:
	@printf '%s\n' $(UNIT_TESTS)
print-cflags:
	@printf '%s\n' $(filter-out -MMD -MP,$(ALL_CFLAGS))

# The real engine, without anything that does I/O, for the reference model in tests/model.
REPLAY := $(BUILD)/tests/model/replay
$(REPLAY): $(BUILD)/tests/model/replay.o $(filter-out %_io.o %/main.o,$(call objects,fad)) $(LIBTURNOUT)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS_fad) -lm
tests: $(REPLAY)

# As make check does, but with other seeds, and as long as you like: packets and messages in all.
N ?= 1000000
.PHONY: fuzz-model check-mutations
fuzz-model: $(REPLAY)
	@$(RUN_PYTHON) tests/model/fuzz.py --replay $(REPLAY) --steps $(N)

# Each deliberate fault of tests/mutations must be caught by a test.
check-mutations:
	@$(RUN_PYTHON) tests/mutations/run --build $(CHECK_BUILD)/mutations

# Line coverage of the codec and of the engine with its tables, by what needs no network; not part of check.
COVERAGE_BUILD ?= $(CHECK_BUILD)/coverage
COVERED = $(call sources,proto) $(filter-out %_io.c %/main.c,$(call sources,fad))
# Not those of what does I/O: X_test where X_io.c is.
COVERAGE_TESTS = $(foreach t,$(wildcard proto/*_test.c fad/*_test.c),$(if $(wildcard $(t:_test.c=_io.c)),,$(BUILD)/$(t:.c=)))
COVERAGE_FUZZERS = $(filter $(BUILD)/proto/% $(BUILD)/fad/%,$(FUZZERS))
.PHONY: coverage coverage-here
coverage:
	@$(MAKE) --no-print-directory BUILD=$(COVERAGE_BUILD) CC="$(CLANG)" CFLAGS="-O0 -g -fprofile-instr-generate -fcoverage-mapping" \
		LDFLAGS="$(LDFLAGS) -fprofile-instr-generate" coverage-here
coverage-here:
	@$(MAKE) --no-print-directory $(COVERAGE_TESTS) $(COVERAGE_FUZZERS) $(REPLAY)
	@$(RUN_PYTHON) tests/coverage --build $(BUILD) --sources $(COVERED) --tests $(COVERAGE_TESTS) \
		--fuzzers $(COVERAGE_FUZZERS) --replay $(REPLAY)
