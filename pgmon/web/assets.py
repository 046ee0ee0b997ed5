"""The style sheet and the scripts: each under a name that changes with its content, so that it is kept for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, request

HERE = Path(__file__).parent.parent
KINDS = {"css": "text/css", "js": "text/javascript"}
FOR_EVER = "public, max-age=31536000, immutable"

blueprint = Blueprint("assets", __name__)


def folder(name: str) -> str:
    """Return where templates or static files lie: in the package when installed, beside it in a checkout."""
    return str(next(path for path in (HERE / name, HERE.parent / name) if path.is_dir()))


@cache
def files() -> dict[str, bytes]:
    """Return the files there are."""
    return {path.name: path.read_bytes() for path in Path(folder("static")).iterdir() if path.suffix[1:] in KINDS}


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def url(name: str) -> str:
    """Return the address of a file, from the first page."""
    return f"static/{name}?v={_version(files()[name])}"


@blueprint.get("/static/<name>")
def static(name: str) -> Response:
    """Return a file; only the version that a page names may be kept."""
    content = files().get(name)
    if content is None:
        abort(404)
    kept = FOR_EVER if request.args.get("v") == _version(content) else "no-cache"
    return Response(content, mimetype=KINDS[name.rpartition(".")[2]], headers={"Cache-Control": kept})
