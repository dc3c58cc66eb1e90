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
