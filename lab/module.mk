# SPDX-License-Identifier: BSD-2-Clause
#
# The demo: the main job in network namespaces, narrated.  KEEP=1 leaves the
# lab up afterwards; LAB=x gives it another name, beside one that is up.

KEEP ?=
LAB ?= turnout

.PHONY: demo
demo: all
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) lab/demo --build $(BUILD)/bin --name $(LAB) $(if $(filter-out 0,$(KEEP)),--keep)
