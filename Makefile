# SPDX-License-Identifier: BSD-2-Clause
#
# Turnout's one Makefile.  Each directory adds a fragment, module.mk, that says
# what is special about it; what is common is here:
#
#   DIR/*.c            objects; DIR/main.c is a program's main
#   DIR/*_test.c       a Check program each, linked with the directory's objects
#   DIR/*.bpf.c        an eBPF object and its skeleton
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
PROGRAMS += $$(BUILD)/$(PROGRAM_NAME_$(1))
$$(BUILD)/lib$(1).a: $$(filter-out $$(BUILD)/$(1)/main.o,$$(call objects,$(1)))
	@rm -f $$@
	$$(call say,AR,$$@)$$(AR) rcs $$@ $$^
$$(BUILD)/$(PROGRAM_NAME_$(1)): $$(BUILD)/$(1)/main.o $$(BUILD)/lib$(1).a $$(LIBTURNOUT)
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

$(BUILD)/gen/proto/admin.pb-c.o: $(BUILD)/gen/proto/admin.pb-c.c
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

.PHONY: clean help
clean:
	rm -rf build
help:
	@printf '%s\n' 'make            build everything' 'make demo       the main job, in namespaces, narrated' \
		'make check      all tests' 'make lint       formatting and static checks' \
		'make fuzz MINUTES=n  longer fuzzing' 'make requirements  which requirement has tests' \
		'make install [DESTDIR=] [PREFIX=]' 'make deps       install what the build needs (apt)' 'make clean'

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -name '*.d')
