# SPDX-License-Identifier: BSD-2-Clause
"""Each step of `make demo`, with all its checks, on containers."""
import importlib.machinery
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
loader = importlib.machinery.SourceFileLoader("turnout_demo", str(ROOT / "lab/demo"))
demo = importlib.util.module_from_spec(importlib.util.spec_from_loader("turnout_demo", loader))
loader.exec_module(demo)


@pytest.mark.parametrize("step", demo.Demo.STEPS, ids=lambda step: step.__name__)
def test_demo_step(healthy, step):
    run = demo.Demo(healthy)
    step(run)
    assert run.failed == 0 and run.passed > 0
