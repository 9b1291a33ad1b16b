"""The command line: ``inprocml COMMAND``; one file a group of commands.

A group's file declares its commands and imports what they need only when one is run.
"""

from __future__ import annotations

from inprocml.cli.main import main

__all__ = ["main"]
