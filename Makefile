# SPDX-License-Identifier: BSD-2-Clause
#
# Turnout's one Makefile.  Each directory adds a fragment, module.mk, that says
# what is special about it; what is common is here:
#
#   DIR/*.c            objects; DIR/main.c is a program's main
#   DIR/*_test.c       a Check program each, linked with the directory's objects
#   DIR/*_fuzz.c       a libFuzzer program each, linked with the directory's pure objects
#   DIR/*.bpf.c        an eBPF object and its skeleton
#
# Programs end up in BUILD/bin.
#
# SAN=1 builds with AddressSanitizer and UBSan into build/asan.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PYTHON ?= /usr/bin/python3
SAN ?=
BUILD ?= build/$(if $(SAN),asan,release)

# Goals that need no compiler, and so no dependencies.
ifeq ($(filter clean help requirements deps,$(or $(MAKECMDGOALS),all)),)
include deps.mk
else ifneq ($(filter deps,$(MAKECMDGOALS)),)
include deps.mk
endif

PKGS := libsystemd libzmq libprotobuf-c libbpf libmnl libfyaml libcrypto smartcols jansson libcap-ng
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CHECK_LIBS = $(shell pkg-config --libs check 2>/dev/null)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	-Wwrite-strings -Wundef -Wformat=2 -Wno-format-nonliteral
comma := ,
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(SANFLAGS) -D_GNU_SOURCE -DTURNOUT_VERSION='"$(VERSION)"' \
	-fstack-protector-strong -fPIE -I. -I$(BUILD)/gen $(PKG_CFLAGS) -MMD -MP
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS) -pie -Wl,-z,relro,-z,now

# What each fragment may add to.
PROGRAMS :=
INSTALL_TARGETS :=

LIB_DIRS := lib proto
PROGRAM_DIRS := fad smd routed-glue ctl
PROGRAM_NAME_fad := fad
PROGRAM_NAME_smd := smd
PROGRAM_NAME_routed-glue := routed-glue
PROGRAM_NAME_ctl := turnoutctl

sources = $(filter-out %_test.c %.bpf.c %_fuzz.c,$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))
tests = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)/*_test.c))

LIB_OBJECTS := $(foreach d,$(LIB_DIRS),$(call objects,$(d))) $(BUILD)/gen/proto/admin.pb-c.o
LIBTURNOUT := $(BUILD)/libturnout.a
UNIT_TESTS := $(foreach d,$(LIB_DIRS) $(PROGRAM_DIRS),$(call tests,$(d)))

-include $(wildcard */module.mk)

define program_rules
PROGRAMS += $$(BUILD)/bin/$(PROGRAM_NAME_$(1))
$$(BUILD)/lib$(1).a: $$(filter-out $$(BUILD)/$(1)/main.o,$$(call objects,$(1)))
	@rm -f $$@
	$$(call say,AR,$$@)$$(AR) rcs $$@ $$^
$$(BUILD)/bin/$(PROGRAM_NAME_$(1)): $$(BUILD)/$(1)/main.o $$(BUILD)/lib$(1).a $$(LIBTURNOUT)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(PKG_LIBS) $$(LIBS_$(1)) -lm
$$(call tests,$(1)): $$(BUILD)/%: $$(BUILD)/%.o $$(BUILD)/lib$(1).a $$(LIBTURNOUT)
	$$(call say,LD,$$@)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(CHECK_LIBS) $$(PKG_LIBS) $$(LIBS_$(1)) -lm
endef
say = @printf '  %-4s %s\n' '$(1)' '$(2)';
$(foreach d,$(foreach p,$(PROGRAM_DIRS),$(if $(wildcard $(p)/main.c),$(p))),$(eval $(call program_rules,$(d))))

$(foreach d,$(LIB_DIRS),$(call tests,$(d))): $(BUILD)/%: $(BUILD)/%.o $(LIBTURNOUT)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(PKG_LIBS) -lm

.PHONY: all tests
all: $(PROGRAMS)
tests: $(UNIT_TESTS)

$(LIBTURNOUT): $(LIB_OBJECTS)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c | $(BUILD)/gen/proto/admin.pb-c.h
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/gen/proto/admin.pb-c.o: $(BUILD)/gen/proto/admin.pb-c.c $(BUILD)/gen/proto/admin.pb-c.h
	$(call say,CC,$<)$(CC) -std=gnu11 $(CFLAGS) $(SANFLAGS) -fPIE -I$(BUILD)/gen $(PKG_CFLAGS) -c -o $@ $<
$(BUILD)/gen/proto/admin.pb-c.c: $(BUILD)/gen/proto/admin.pb-c.h
$(BUILD)/gen/proto/admin.pb-c.h: proto/admin.proto
	@mkdir -p $(@D)
	$(call say,PB,$<)protoc-c --c_out=$(BUILD)/gen $<

$(BUILD)/gen/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) -O2 -g -Wall -Wextra -Werror -target bpf -D__TARGET_ARCH_x86 -D__BPF__ -I. \
		-I/usr/include/$(shell uname -m)-linux-gnu -MMD -MP -c -o $@ $<
$(BUILD)/gen/%.skel.h: $(BUILD)/gen/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst -,_,$(notdir $*))_bpf > $@

# Fuzzing: clang's objects under BUILD/fuzz, so that they lie beside any other
# build; DIR/X_fuzz becomes BUILD/DIR/X_fuzz.  tests/fuzz/run says where each starts from.
FUZZ_DIRS := $(LIB_DIRS) $(PROGRAM_DIRS)
FUZZ_SOURCES := $(foreach d,$(FUZZ_DIRS),$(wildcard $(d)/*_fuzz.c))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SOURCES))
FUZZ_SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SECONDS ?= 45
MINUTES ?= 1
# Where what is pure refers to what is not, all of it is linked, and none of that called.
FUZZ_WHOLE := lib ctl
fuzz_objects = $(patsubst %.c,$(BUILD)/fuzz/%.o,$(filter-out %/main.c $(if $(filter $(1),$(FUZZ_WHOLE)),,%_io.c),$(call sources,$(1))))
FUZZ_LIB := $(BUILD)/fuzz/libturnout.a

$(BUILD)/fuzz/%.o: %.c | $(BUILD)/gen/proto/admin.pb-c.h
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)$(CLANG) $(filter-out $(SANFLAGS),$(ALL_CFLAGS)) $(FUZZ_SANFLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<
$(FUZZ_LIB): $(foreach d,$(LIB_DIRS),$(call fuzz_objects,$(d))) $(BUILD)/gen/proto/admin.pb-c.o
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

define fuzz_rules
$$(BUILD)/fuzz/lib$(1)-pure.a: $$(call fuzz_objects,$(1))
	@rm -f $$@
	$$(call say,AR,$$@)$$(AR) rcs $$@ $$^
$$(filter $$(BUILD)/$(1)/%,$$(FUZZERS)): $$(BUILD)/%: $$(BUILD)/fuzz/%.o $$(BUILD)/fuzz/lib$(1)-pure.a $$(FUZZ_LIB)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CLANG) $$(LDFLAGS) -pie -fsanitize=fuzzer $$(FUZZ_SANFLAGS) -o $$@ $$^ $$(PKG_LIBS) $$(LIBS_$(1)) -lm
endef
$(foreach d,$(FUZZ_DIRS),$(eval $(call fuzz_rules,$(d))))

.PHONY: fuzzers fuzz fuzz-smoke fuzz-keep vectors
fuzzers: $(FUZZERS)
# In all, evenly for each.
fuzz: FUZZ_SECONDS = $$((60 * $(MINUTES)))
fuzz fuzz-smoke: $(FUZZERS)
	@$(PYTHON) tests/fuzz/run --build $(BUILD) --seconds $(FUZZ_SECONDS) $(FUZZERS)
# The least that covers what was found in this BUILD, into tests/fuzz.
fuzz-keep: $(FUZZERS)
	@$(PYTHON) tests/fuzz/run --build $(BUILD) --keep $(FUZZERS)

# The printed part of the golden messages, anew; read the difference before you keep it.
vectors: $(BUILD)/proto/vectors_test
	$< --write

.PHONY: clean help
clean:
	rm -rf build
help:
	@printf '%s\n' 'make            build everything' 'make demo       the main job, in namespaces, narrated' \
		'make check      all tests' 'make check-docker  the lab in containers' 'make lint       formatting and static checks' \
		'make fuzz MINUTES=n  longer fuzzing, n minutes in all' 'make coverage   line coverage of the codec and the engine' 'make fuzz-model N=n  n packets and messages, the engine against the model' 'make bench      rates, latency and cost, beside nft and haproxy' 'make bench-routes  how fast routes come and go' 'make bench-smd  how many questions a manager answers' 'make bench-flood  what a flood of SYNs does to others' 'make check-mutations  are faults of the engine caught?' 'make vectors    golden messages printed anew' 'make requirements  which requirement has tests' \
		'make install [DESTDIR=] [PREFIX=]' 'make deps       install what the build needs (apt)' 'make clean'

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
