"""The HTTP face of the agent: a small Flask application, all of whose answers come from snapshots."""

from __future__ import annotations

from flask import Flask
from werkzeug.exceptions import HTTPException

from pgmon import __version__
from pgmon.agent import Agent
from pgmon.web import api, assets, health, highlight, metrics, pages, safety, units, words


def create_app(agent: Agent) -> Flask:
    """Return the application that serves an agent. Raises StartError when nobody could log in."""
    app = Flask("pgmon", template_folder=assets.folder("templates"), static_folder=None)
    app.extensions["pgmon"] = agent
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.autoescape = True
    app.jinja_env.globals.update(version=__version__, cluster=agent.config.cluster, asset=assets.url)
    app.jinja_env.filters.update(
        sql=highlight.sql,
        lede=pages.lede,
        prose=words.prose,
        panel_title=words.title,
        age=units.age,
        duration=units.duration,
    )
    app.url_map.merge_slashes = False  # by a redirect, whose address would be made of the Host header
    app.json.sort_keys = False  # type: ignore[attr-defined] # the order of the columns is meant
    safety.protect(app, agent.config)
    app.register_error_handler(HTTPException, pages.fault)
    for blueprint in (metrics.blueprint, health.blueprint, assets.blueprint, api.blueprint, pages.blueprint):
        app.register_blueprint(blueprint)
    if safety.is_public(agent.config.http.auth):
        app.wsgi_app = metrics.shortened(agent, app.wsgi_app, [*safety.HEADERS.items()])  # type: ignore[method-assign,assignment]
    return app
