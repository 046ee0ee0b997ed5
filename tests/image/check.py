"""Build the image, and run it as production should: read-only, as nobody, without a capability, beside a real server.

    python tests/image/check.py [MAJOR …]

Needs root, buildah, runc, debootstrap and Debian's prometheus; no engine. Where no image can be pulled, the base image
is made of Debian's own packages (tests/image/base).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from prometheus import Prometheus
from running import ROOT, parsed, value
from servers import NEWEST, Server, free_port, prepare

IMAGE = "localhost/pgmon"
AUTHORITIES = "/etc/ssl/certs"  # of this machine: pip may have to go through a proxy that it trusts
END = 5.0  # seconds that SIGTERM may take
os.environ.setdefault("STORAGE_DRIVER", "vfs")


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command; return what it printed."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}: {ended.stderr}{ended.stdout}"
    return ended.stdout.strip()


def build() -> None:
    """Build the image, and its base first if there is none."""
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    if not run("buildah", "images", "--noheading", "--filter", f"reference={base}"):
        run(str(ROOT / "tests" / "image" / "base"), base)
    options = ["--format", "docker", "--pull-never", "--isolation", "chroot", "--network", "host", "--quiet"]
    run("buildah", "bud", *options, "--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro", "--tag", IMAGE, ".")


@contextmanager
def mounted() -> Iterator[tuple[str, dict]]:
    """Mount the image; give its root folder and its configuration."""
    container = run("buildah", "from", "--pull-never", IMAGE)
    try:
        config = json.loads(run("buildah", "inspect", "--format", "{{.Config}}", "--type", "image", IMAGE))
        yield run("buildah", "mount", container), config["config"]
    finally:
        run("buildah", "rm", container)


def specification(root: str, image: dict, environ: Sequence[str]) -> dict:
    """Return what runc is to run: what the image says, with all rights taken away, in the network of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        run("runc", "spec", "--bundle", folder)
        spec = json.loads((Path(folder) / "config.json").read_text())
    uid, gid = map(int, image["User"].split(":"))
    spec["root"] = {"path": root, "readonly": True}
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": uid, "gid": gid},
        "args": image["Entrypoint"],
        "env": [*image["Env"], *environ],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
    spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
    return spec


class Container:
    """The running image."""

    def __init__(self, spec: dict, port: int) -> None:
        self.name, self.port, self._folder = f"pgmon-{port}", port, tempfile.TemporaryDirectory()
        (Path(self._folder.name) / "config.json").write_text(json.dumps(spec))

    def __enter__(self) -> Container:
        command = ["runc", "run", "--bundle", self._folder.name, self.name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            subprocess.run(["runc", "delete", "--force", self.name], capture_output=True)
            self.process.wait(10)
        self._folder.cleanup()

    def exec(self, *command: str) -> int:
        """Run a command inside; return its exit code."""
        return subprocess.run(["runc", "exec", self.name, *command], capture_output=True).returncode

    def get(self, path: str) -> str:
        """Return what a page says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def wait_until_up(self) -> float:
        """Return the seconds until it had reached the server."""
        began = time.monotonic()
        while True:
            try:
                if value(parsed(self.get("/metrics")), "pg_up") == 1:
                    return time.monotonic() - began
            except OSError:
                pass
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < began + 30, "it does not come up"
            time.sleep(0.1)

    def status(self) -> dict[str, str]:
        """Return what the kernel says of its first process."""
        state = json.loads(run("runc", "state", self.name))
        lines = Path(f"/proc/{state['pid']}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def end(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        began = time.monotonic()
        run("runc", "kill", self.name, "TERM")
        return self.process.wait(30), time.monotonic() - began


def check(major: int, root: str, image: dict) -> None:
    """Run the image beside a server, with nothing but two variables, and hold it to its promises."""
    port = free_port()
    with Server(major) as server:
        prepare(server)
        environ = [f"PGMON_DSN={server.dsn('monitor')}", f"PGMON_HTTP_BIND=127.0.0.1:{port}"]
        with Container(specification(root, image, environ), port) as container:
            took = container.wait_until_up()
            kernel = container.status()
            assert kernel["Uid"].split()[0] == "65534"
            assert int(kernel["CapEff"], 16) == int(kernel["CapBnd"], 16) == 0
            assert kernel["NSpid"].split()[-1] == "1", "it is process 1"
            assert container.exec("python", "-c", "open('/opt/x', 'w')") != 0, "its root can be written"
            assert container.exec(*image["Healthcheck"]["Test"][1:]) == 0
            assert container.exec("pgmon", "--healthcheck=strict") == 0
            with Prometheus({"pgmon": port}) as prometheus:
                prometheus.wait_for("pg_up", 1)
            code, seconds = container.end()
            assert (code, seconds < END) == (0, True), f"exit {code} after {seconds:.1f} s"
    print(f"PostgreSQL {major}: up after {took:.1f} s, healthy, scraped; exit {code} {seconds:.1f} s after SIGTERM")


def main() -> None:
    """Build and check."""
    build()
    for name in json.loads(run("buildah", "images", "--json")):
        print(*name["names"] or ["-"], name["size"])
    with mounted() as (root, image):
        print({name: image[name] for name in ("User", "Entrypoint", "Healthcheck", "Labels")})
        for major in map(int, sys.argv[1:] or [NEWEST]):
            check(major, root, image)


if __name__ == "__main__":
    main()
