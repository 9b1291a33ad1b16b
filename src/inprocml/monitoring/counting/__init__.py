"""From served rows to counts, off the request path, and one sum over the processes of a host."""

from __future__ import annotations

from inprocml.monitoring.counting.buffer import Buffer, Seen
from inprocml.monitoring.counting.frequent import Frequent
from inprocml.monitoring.counting.slots import Slots
from inprocml.monitoring.counting.tally import Form, Tally

__all__ = ["Buffer", "Form", "Frequent", "Seen", "Slots", "Tally"]
