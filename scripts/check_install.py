"""Check installed wheels from outside the repository: commands, packaged data, the shipped model."""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--not-below", type=Path, required=True, help="folder that nothing may be imported from")
    repository = parser.parse_args().not_below.resolve()

    import audiogram
    import whisperprobe

    for package in (audiogram, whisperprobe):
        home = Path(str(package.__file__)).resolve()
        assert not home.is_relative_to(repository), f"{home} comes from the repository, not from the wheel"
        assert (home.parent / "py.typed").exists(), f"{package.__name__} ships no py.typed"
        assert importlib.metadata.version(package.__name__) == package.__version__
        for name in package.__all__:
            getattr(package, name)
    binaries = Path(sys.executable).parent
    for command in (["audiogram", "presets"], ["audiogram", "filters"], ["whisperprobe", "--help"]):
        subprocess.run([str(binaries / command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL)

    demo = Path(str(whisperprobe.__file__)).parent / "demo"
    corpus = audiogram.open_corpus(demo / "speech")
    clips = list(corpus.read("test", range(32)))
    probe = whisperprobe.Probe.from_pretrained(demo / "model", device="cpu")
    sounds = [clip.audio() for clip in clips]
    rate = sounds[0][1]
    normal = audiogram.condition("normal")
    result = probe(
        [normal(x, sample_rate=rate) for x, _ in sounds], [clip.text for clip in clips], sample_rate=rate, top_k=10
    )
    accuracy = float(result.clips["correct"].mean())
    assert accuracy >= 0.8, f"the shipped model understands only {accuracy:.0%} of 32 shipped clips"
    print(f"wheels work outside the repository; shipped model: {accuracy:.0%} of {len(clips)} clips")  # noqa: T201


if __name__ == "__main__":
    main()
