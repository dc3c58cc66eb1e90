# SPDX-License-Identifier: BSD-2-Clause
#
# The benchmarks: `make bench` on a machine that has nothing else to do, under ten minutes; docs/performance.md.
# `make bench-smoke` runs all of it for a moment each, to see whether the harness works: its figures say nothing.

BENCH_NAMES := flood cost load echo
BENCH_PROGRAMS := $(BENCH_NAMES:%=$(BUILD)/bench/%)
BENCH_SKELETONS := $(BUILD)/gen/bench/traffic.skel.h $(BUILD)/gen/bench/cost.skel.h
.PRECIOUS: $(BENCH_SKELETONS)
lint: $(BENCH_SKELETONS)
$(BUILD)/bench/flood.o: $(BUILD)/gen/bench/traffic.skel.h
$(BUILD)/bench/cost.o: $(BUILD)/gen/bench/cost.skel.h
$(BENCH_PROGRAMS): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIBTURNOUT)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

.PHONY: bench bench-smoke
bench: all $(BENCH_PROGRAMS)
	@tools/install-deps $(DEPS_BENCH)
	@$(RUN_PYTHON) bench/run --build $(BUILD) --output bench
bench-smoke: all $(BENCH_PROGRAMS)
	@tools/install-deps $(DEPS_BENCH)
	@$(RUN_PYTHON) bench/run --build $(BUILD) --output $(BUILD)/bench --smoke
