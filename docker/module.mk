# SPDX-License-Identifier: BSD-2-Clause
#
# The lab in containers, tested on the engine that the environment names, or on
# a private one that is gone afterwards.

.PHONY: check-docker
check-docker:
	@tests/docker/engine.sh env PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/docker/check --build $(CHECK_BUILD)
