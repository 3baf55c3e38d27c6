"""Where a model comes from: a folder, what was fetched before, or a hub that must be there; else it is said at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

from audiogram.errors import InputError
from whisperprobe.ldl.semantics import open_semantics
from whisperprobe.model_source import folder_of
from whisperprobe.probing.probe import Probe
from whisperprobe.training.model_folder import load_listener
from whisperprobe.window_spec import WindowSpec


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub at a port where nobody listens, and no proxy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)


def test_a_folder_is_its_own_place(tmp_path: Path) -> None:
    assert folder_of(tmp_path) == folder_of(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("whisper-smal", "no model folder 'whisper-smal'.*hub name looks like"),
        ("./lab/whisper", "no model folder './lab/whisper'"),
        ("../lab", "no model folder"),
        ("/no/where", "no model folder"),
        ("~/whisper", "no model folder"),
        ("a/b/c", "no model folder"),
        ("models/whisper", "no model folder 'models/whisper', though there is a folder 'models' here"),
        ("models/file", "is a file, not a model folder"),
        ("lab of/whisper", "Repo id must use"),
    ],
)
def test_what_can_be_no_name_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "file").touch()
    monkeypatch.setattr(socket, "create_connection", None)  # nothing is asked of a network
    with pytest.raises(InputError, match=said):
        folder_of(name)


def test_what_was_fetched_before_needs_no_network(
    nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    copy = tmp_path / "models--lab--whisper" / "snapshots" / "abc"
    copy.mkdir(parents=True)
    (copy / "config.json").write_text("{}")
    (copy.parents[1] / "refs").mkdir()
    (copy.parents[1] / "refs" / "main").write_text("abc")
    assert folder_of("lab/whisper") == copy


@pytest.mark.parametrize(
    "call",
    [folder_of, Probe.from_pretrained, load_listener, WindowSpec.of, lambda name: open_semantics(f"whisper:{name}")],
    ids=["folder_of", "probe", "finetune", "window", "semantics"],
)
def test_without_a_network_it_is_said_who_was_asked_for(
    nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: object
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"'lab/whisper' is neither .* and 127\.0\.0\.1 cannot be reached .*hf download"
    ):
        call("lab/whisper")  # type: ignore[operator]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE forbids to fetch it\. Check the path"):
        call("lab/whisper")  # type: ignore[operator]
