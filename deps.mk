# SPDX-License-Identifier: BSD-2-Clause
#
# What Turnout needs from the distribution.  Included by the targets that
# need it: when something is missing it is installed with apt, once.

DEPS_BUILD := build-essential clang llvm bpftool pkg-config libbpf-dev libelf-dev libsystemd-dev libzmq3-dev \
	libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libmnl-dev libfyaml-dev libssl-dev libsmartcols-dev \
	libjansson-dev libcap-ng-dev libcurl4-openssl-dev uthash-dev linux-libc-dev libpcap-dev libnet1-dev scdoc
# What the programs alone need, in the image: no C++, no manual pages.
DEPS_IMAGE := gcc libc6-dev $(filter-out build-essential llvm scdoc,$(DEPS_BUILD))
DEPS_LAB := iproute2 frr nginx-light curl nftables iputils-ping procps python3 ethtool libcap2-bin
DEPS_BENCH := haproxy iperf3 wrk
DEPS_CHECK := check python3-pytest python3-pytest-xdist python3-scapy python3-yaml tcpdump tshark openssh-server openssh-client \
	clang-format clang-tidy libclang-rt-14-dev universal-ctags systemd man-db openssl
DEPS := $(DEPS_BUILD) $(DEPS_LAB) $(DEPS_CHECK)

.PHONY: deps
deps:
	@tools/install-deps $(DEPS)

# Run at parse time so that pkg-config and the compilers are there before the
# rules are read; silent and quick (one dpkg-query) when nothing is missing.
ifeq ($(filter deps,$(MAKECMDGOALS)),)
DEPS_STATUS := $(shell tools/install-deps $(DEPS) >&2 && echo ok)
ifneq ($(DEPS_STATUS),ok)
$(error a package is missing and could not be installed; run `make deps` as root)
endif
endif
