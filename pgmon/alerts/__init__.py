"""Alerts: the rules in force, an engine that judges snapshots by them, and the same rules for Prometheus."""
