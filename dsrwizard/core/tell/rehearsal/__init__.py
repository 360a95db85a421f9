"""The rehearsal of a Windows server: what dsrwizard expects of Windows, compared with one real server."""

from dsrwizard.core.tell.rehearsal.record import Expectation, Look, Rehearsal, Timing
from dsrwizard.core.tell.rehearsal.trial import ADAPTER, trial

__all__ = ["ADAPTER", "Expectation", "Look", "Rehearsal", "Timing", "trial"]
