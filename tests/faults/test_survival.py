"""Every fault that begins and ends, and every promise at each of its moments."""

from __future__ import annotations

import pytest

from breaking import FAULTS, Stage
from surviving import SHORT, Survivor


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name, marks=pytest.mark.fault(f.number)) for f in FAULTS])
def test_survives(server, proxy, fault):
    stage = Stage(server, proxy)
    with Survivor(server, port=proxy.port, **(SHORT if fault.hangs else {})) as watch:
        watch.survives(fault.breaks(stage), up=fault.up, reason=fault.reason, within=fault.within)
