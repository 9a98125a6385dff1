"""The PKCS#11 module of Keystead. It is a library for programs that load one, not for Python."""

from pathlib import Path

PATH = Path(__file__).with_name("libkeystead_pkcs11.so")
"""What is given to programs as their PKCS#11 module."""
