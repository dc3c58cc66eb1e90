# SPDX-License-Identifier: BSD-2-Clause
#
# The control tool.

# capture: filters and files.
LIBS_ctl += -lpcap
