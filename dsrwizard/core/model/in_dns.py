"""What DNS says of a host key."""

from __future__ import annotations

from typing import Literal

DnsSays = Literal["signed", "unsigned", "weak", "differs", "none", "silent"]
"""It has the key by SHA-256, and the answer was authenticated; was not; it has the key by SHA-1 alone; it has another
key; no record that can be compared; no usable answer in time. Only `signed` is enough without comparing by eye."""
LONGEST = 2.0
"""Seconds that an answer may take; all hosts are asked at the same time."""
