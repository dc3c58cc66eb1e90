# SPDX-License-Identifier: BSD-2-Clause
#
# The service manager.  Nothing beyond the common rules but the example
# configuration, which its tests load and install puts in place.

SMD_EXAMPLE := smd/smd.example.yaml
