"""What Hypothesis remembers lies in the environment, so that a checkout may be read-only."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(sys.prefix) / ".hypothesis")
