# SPDX-License-Identifier: BSD-2-Clause
"""The lab: routers, servers and clients in network namespaces of one machine.

The command line (lab/turnout-lab), the demo, the tests and the benchmarks all
use this package, so that they all mean the same network.  Standard library only.

    from turnoutlab import Lab
    lab = Lab("mytest")
    lab.up("pair")
    lab.run("client1", "curl", "-s", "--max-time", "3", "http://203.0.113.10/")
    lab.down()
"""

from turnoutlab.lab import Lab
from turnoutlab.process import LabError

__all__ = ["Lab", "LabError"]
