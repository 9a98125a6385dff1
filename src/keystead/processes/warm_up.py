"""Loads what the core's libraries load late: once it is confined it can open no file."""


def load_everything() -> None:
    """Use everything once."""
