"""The page on corpora: its commands run, one after the other, and give what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiogram.cli import app as audiogram
from audiogram.console import run_app
from whisperprobe import open_log_mel
from whisperprobe.cli import app as whisperprobe
from whisperprobe.training.model_folder import new_listener
from whisperprobe.training.tokenizer import train_tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "corpora.md"
SHAPE = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}


def test_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 6), ("test", 3)):
        (tmp_path / "speech" / split).mkdir(parents=True)
        rows = ["file_name,text,gender"]
        for i in range(count):
            x = 0.1 * np.random.default_rng(i).normal(size=4000)
            soundfile.write(tmp_path / "speech" / split / f"{i}.wav", x, 16_000)
            rows.append(f"{i}.wav,fish,{'female' if i % 2 else 'male'}")
        (tmp_path / "speech" / split / "metadata.csv").write_text("\n".join(rows) + "\n")
    tokenizer = train_tokenizer(["fish", "ship"] * 3, 300)
    new_listener(SHAPE, tokenizer, language="en", task="transcribe", seed=0).save(tmp_path / "models" / "base")
    text = PAGE.read_text(encoding="utf-8")
    # Three steps of training say as much as 500, and one process as much as four.
    for old, new in (("--max-steps 500", "--max-steps 3"), (" --workers 4", "")):
        assert old in text
        text = text.replace(old, new)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 7
    for line in lines:
        program, *arguments = shlex.split(line)
        code = run_app({"audiogram": audiogram, "whisperprobe": whisperprobe}[program], arguments)
        said = capsys.readouterr()
        assert code == 0, (line, said.err)
    assert "sound: 9 rows in = 9 out + 0 failed" in said.out
    assert {"input_features", "labels"} <= set(open_log_mel("mels/hfloss").padded("train")[0])
    assert sorted(path.name for path in (tmp_path / "mels").iterdir()) == ["hfloss", "masked_hfloss", "masked_normal"]
    assert (tmp_path / "files" / "test" / "0.txt").read_text() == "fish\n"
