"""Every fault that begins and ends, and every promise at each of its moments."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trustme

from breaking import FAULTS, TLS_FAULTS, Fault, Stage, encrypted
from surviving import SHORT, Survivor


def each(faults: Sequence[Fault]) -> pytest.MarkDecorator:
    """Run a test once for each of the faults, under its number."""
    return pytest.mark.parametrize(
        "fault", [pytest.param(f, id=f.name, marks=pytest.mark.fault(f.number)) for f in faults]
    )


@each(FAULTS)
def test_survives(server, proxy, fault):
    with Survivor(server, port=proxy.port, **(SHORT if fault.hangs else {})) as watch:
        watch.survives(fault.breaks(Stage(server, proxy)), up=fault.up, reason=fault.reason, within=fault.within)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who vouches for the server."""
    return trustme.CA()


@each(TLS_FAULTS)
def test_survives_without_a_word_in_plain(server, proxy, authority, tmp_path, fault):
    root = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    stage = Stage(server, proxy, authority)
    with encrypted(server, authority.issue_cert("127.0.0.1")):
        logged = len(server.log())
        with Survivor(server, port=proxy.port, sslmode="verify-full", sslrootcert=root) as watch:
            watch.survives(fault.breaks(stage), up=fault.up, reason=fault.reason, within=fault.within)
        came = [line for line in server.log()[logged:].splitlines() if "connection authorized: user=monitor" in line]

    assert came
    assert all("SSL enabled" in line for line in came)
