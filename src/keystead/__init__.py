"""Keystead: a network hardware security module in software."""

__version__ = "0.1.0"

SECURITY_VERSION = 1
"""Raised with every release that closes a hole which no update may open again."""
