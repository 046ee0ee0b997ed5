"""waitress serving two files from memory, with the settings of pgmon: no agent in Python can answer sooner.

python tests/bench/canned.py PORT PLAIN GZIPPED
"""

from __future__ import annotations

import sys
from pathlib import Path

from waitress.server import create_server


def main(port: str, plain: str, gzipped: str) -> None:
    """Serve until killed."""
    bodies = {"": Path(plain).read_bytes(), "gzip": Path(gzipped).read_bytes()}

    def answer(environ, start_response):
        encoding = "gzip" if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") else ""
        headers = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]
        start_response("200 OK", headers + [("Content-Encoding", encoding)] * bool(encoding))
        return [bodies[encoding]]

    create_server(
        answer, host="127.0.0.1", port=int(port), threads=8, connection_limit=64, backlog=64, asyncore_use_poll=True
    ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
