"""Keystead: a network hardware security module in software."""

__version__ = "0.1.0"
