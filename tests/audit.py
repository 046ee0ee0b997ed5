"""Ask whether what the image installs (requirements.txt) has known vulnerabilities.

Ends with 1 when something has. Who cannot be asked, or does not know a package, makes no failure and no pass: that is
said, for every package.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements.txt"
COMMAND = ("-m", "pip_audit", "--requirement", LOCK, "--require-hashes", "--disable-pip")
QUIETLY = ("--format", "json", "--progress-spinner", "off", "--timeout", "10")


def audited() -> Sequence[Mapping[str, Any]] | None:
    """Return what is known of each package, None when nobody could be asked."""
    done = subprocess.run([sys.executable, *COMMAND, *QUIETLY], capture_output=True, text=True)
    return json.loads(done.stdout)["dependencies"] if done.stdout.startswith("{") else None


def verdict(packages: Sequence[Mapping[str, Any]] | None) -> tuple[int, list[str]]:
    """Return the exit code, and what there is to say.

    >>> verdict(None)
    (0, ['dependencies NOT AUDITED: the service is not reachable'])
    >>> verdict([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}])
    (0, ['dependencies: 1 audited, none is known to be vulnerable', 'NOT AUDITED, for the service knows nothing of: b'])
    >>> verdict([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}])
    (1, ['dependencies: 1 audited, 1 vulnerable', 'a 1: CVE-1, mended in 2'])
    """
    if packages is None:
        return 0, ["dependencies NOT AUDITED: the service is not reachable"]
    known = [p for p in packages if "vulns" in p]
    found = [(p, v) for p in known for v in p["vulns"]]
    vulnerable = f"{len({p['name'] for p, _ in found})} vulnerable" if found else "none is known to be vulnerable"
    said = [f"dependencies: {len(known)} audited, {vulnerable}"] if known else []
    said += [f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions'])}" for p, v in found]
    if unknown := [p["name"] for p in packages if "vulns" not in p]:
        said.append(f"NOT AUDITED, for the service knows nothing of: {', '.join(unknown)}")
    return int(bool(found)), said


if __name__ == "__main__":
    code, words = verdict(audited())
    print("\n".join(words))
    sys.exit(code)
