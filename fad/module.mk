# SPDX-License-Identifier: BSD-2-Clause
#
# The agent: its eBPF programs reach it as a skeleton.

.PRECIOUS: $(BUILD)/gen/%.bpf.o $(BUILD)/gen/%.skel.h
$(BUILD)/fad/classifier_io.o: $(BUILD)/gen/fad/classifier.skel.h

# Filters of turnoutctl capture; ICMP errors.
LIBS_fad := -lpcap -lnet
