"""The browser that tests drive, and how it is started so that it asks nobody outside."""

import shutil

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--no-sandbox",  # root needs it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
