# SPDX-License-Identifier: BSD-2-Clause
#
# The service manager: the example configuration, which its tests load and
# install puts in place, and libcurl, for health checks.

SMD_EXAMPLE := smd/smd.example.yaml

LIBS_smd := $(shell pkg-config --libs libcurl 2>/dev/null)
