"""The HTTP face of the agent: a small Flask application, all of whose answers come from snapshots."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from pgmon import __version__
from pgmon.agent import Agent
from pgmon.web import health, metrics, pages

HERE = Path(__file__).parent.parent


def folder(name: str) -> str:
    """Return where templates or static files lie: in the package when installed, beside it in a checkout."""
    return str(next(path for path in (HERE / name, HERE.parent / name) if path.is_dir()))


def create_app(agent: Agent) -> Flask:
    """Return the application that serves an agent."""
    app = Flask("pgmon", template_folder=folder("templates"), static_folder=folder("static"))
    app.extensions["pgmon"] = agent
    app.jinja_env.globals.update(version=__version__, cluster=agent.config.cluster)
    app.json.sort_keys = False  # type: ignore[attr-defined] # the order of the columns is meant
    for blueprint in (metrics.blueprint, health.blueprint, pages.blueprint):
        app.register_blueprint(blueprint)
    return app
