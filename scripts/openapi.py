"""Writes the API's description to standard output, indented."""

import sys

import msgspec

from keystead.api.description.openapi import describe
from keystead.api.routes import ROUTES

sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(describe(ROUTES))) + b"\n")
