"""A filter that holds every clip while a file exists, so that tests can act while a job is at work."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from audiogram.console import stop_requested


class Gate:
    """Pass sound unchanged, once the file that the environment's GATE names is gone or somebody asks to stop."""

    linear = True
    level_dependent = False
    adds_noise = False

    def __init__(self, audiogram: Any, *, sample_rate: float) -> None:
        self.gate = Path(os.environ["GATE"])

    def __call__(self, x: Any) -> Any:
        while self.gate.exists() and not stop_requested():
            time.sleep(0.02)
        return x.copy()
