"""The README's example runs, and its numbers are those that it gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

README = Path(__file__).parents[2] / "src" / "audiogram" / "README.md"


def test_example_runs_and_says_what_it_gives() -> None:
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"x": np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)}
    exec(code[1], names)
    ear = names["ear"]
    assert f'# {ear.pta()} dB HL, "{ear.grade()}" (WHO 2021)' in code[1]
    assert names["y"].shape == names["x"].shape
