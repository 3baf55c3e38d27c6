"""Check the demo's claims on a finished run: what the README promises, read from its comparison."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    import whisperprobe

    out = Path(sys.argv[1])
    comparison = whisperprobe.load_comparison(out / "comparison")
    matrix = comparison.matrix("correct")
    accuracy = {(row.model, row.condition): row.mean for row in matrix.itertuples()}
    normal = accuracy["base", "normal"]
    assert normal >= 0.95, f"the base model understands only {normal:.1%} under `normal`"
    for condition in ("lfloss", "hfloss"):
        unadapted, adapted = accuracy["base", condition], accuracy[condition, condition]
        drop = normal - unadapted
        assert drop >= 0.10, f"{condition}: {unadapted:.1%} is not clearly below {normal:.1%}"
        assert adapted - unadapted >= drop / 2, f"{condition}: {adapted:.1%} recovers less than half of {drop:.1%}"
    for condition in ("normal", "lfloss", "hfloss"):
        understood = accuracy[f"ldl-cfbsf-{condition}", condition]
        assert understood >= 0.40, f"the lexicon understands only {understood:.1%} of what it learnt under {condition}"
    together = whisperprobe.comparison.listener_agreement(comparison).set_index("condition")["low"]
    assert together["hfloss"] > 0, "the two listeners do not lose the same words under hfloss"
    sounds = comparison.sounds.effects.query("model == 'base' and measure == 'word_surprisal'")
    high = sounds.set_index(["condition", "feature"])["low"]["hfloss", "share_high_frequency"]
    assert high > 0, "high-frequency sounds do not make words suffer under hfloss"
    report = out / "report.html"
    assert 100_000 < report.stat().st_size < 15_000_000, f"report.html has {report.stat().st_size} bytes"
    print(matrix.to_string(index=False))  # noqa: T201
    print("the demo's claims hold")  # noqa: T201


if __name__ == "__main__":
    main()
