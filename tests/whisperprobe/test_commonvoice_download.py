"""Downloads through the official client, from a server on loopback that speaks the Data Collective's API."""

from __future__ import annotations

import hashlib
import http.server
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiogram.console import run_app
from audiogram.corpus.files import lock
from audiogram.errors import AudiogramWarning, InputError, StoppedError, WorkError
from whisperprobe.cli import app
from whisperprobe.corpora import data_collective, release_download
from whisperprobe.corpora.release_download import download_release

KEY = "mdc_0123456789abcdef_secret"
TOKEN = "X-Signature=deadbeef0123"
ARCHIVE = np.random.default_rng(0).bytes(700_000)
BLOCK = 1 << 16  # what the client writes at once; what it has of the next is lost when the connection breaks
NAME = "cv-corpus-23.0-2025-09-05-en.tar.gz"


class Collective(http.server.ThreadingHTTPServer):
    """The service: what it publishes, how it misbehaves, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.details: dict[str, Any] = {
            "id": "cv23en",
            "slug": "common-voice-en",
            "filename": NAME,
            "sizeBytes": str(len(ARCHIVE)),
            "checksum": hashlib.sha256(ARCHIVE).hexdigest(),
        }
        self.cuts: list[int] = []  # after how many bytes each of the next transfers breaks off
        self.status: dict[str, int] = {}  # answers other than 200, by what is asked for
        self.headers: dict[str, str] = {}
        self.message = ""
        self.ignore_range = False
        self.shift = 0
        self.sent = ARCHIVE
        self.asked: list[tuple[str, str, str | None, str | None]] = []

    def handle_error(self, request: object, address: object) -> None:
        """A client that goes away is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collective

    def log_message(self, format: str, *given: object) -> None:
        pass

    def do_GET(self) -> None:
        self._note()
        if self.path.startswith("/store/"):
            self._transfer()
        elif self.path in ("/api/datasets/cv23en", "/api/datasets/common-voice-en"):
            self._answer("details", self.server.details)
        else:
            self._json(404, {"message": "Dataset not found"})

    def do_POST(self) -> None:
        self._note()
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._json(401, {"message": f"bad token {self.headers.get('Authorization')}"})
        elif self.path == "/api/datasets/cv23en/download":
            link = f"{self.server.url}/store/{NAME}?{TOKEN}"
            session = {"downloadUrl": link, "expiresAt": "2030-01-01T00:00:00Z", "filename": NAME}
            session |= {name: self.server.details.get(name) for name in ("sizeBytes", "checksum")}
            self._answer("session", session)
        else:
            self._json(404, {})

    def _note(self) -> None:
        said = (self.command, self.path.split("?")[0], self.headers.get("Range"), self.headers.get("Authorization"))
        self.server.asked.append(said)

    def _answer(self, what: str, body: dict[str, Any]) -> None:
        status = self.server.status.get(what, 200)
        self._json(status, body if status == 200 else {"message": self.server.message})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _transfer(self) -> None:
        if "transfer" in self.server.status:
            self._json(self.server.status["transfer"], {"message": "expired"})
            return
        asked, data = self.headers.get("Range"), self.server.sent
        start = 0
        if asked and not self.server.ignore_range:
            start = int(asked.removeprefix("bytes=").rstrip("-")) + self.server.shift
            if start >= len(data):
                self._json(416, {})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.server.cuts:
            self.wfile.write(data[start : start + self.server.cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(data[start:])


@pytest.fixture
def collective(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Collective]:
    server = Collective()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("MDC_API_KEY", KEY)
    monkeypatch.setenv("MDC_API_URL", f"{server.url}/api")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield server
    server.shutdown()
    server.server_close()


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def transfers(collective: Collective) -> list[str | None]:
    return [place for _, path, place, _ in collective.asked if path.startswith("/store/")]


@pytest.mark.parametrize("dataset", ["cv23en", "common-voice-en"])
def test_an_archive_arrives_whole_and_only_the_service_sees_the_key(
    collective: Collective, tmp_path: Path, dataset: str
) -> None:
    path = download_release(dataset, tmp_path / "out")
    assert path == tmp_path / "out" / NAME
    assert path.read_bytes() == ARCHIVE
    assert files_in(tmp_path) == [f"out/{NAME}"]
    assert {key for _, path, _, key in collective.asked if path.startswith("/store/")} == {None}
    assert [key for method, _, _, key in collective.asked if method == "POST"] == [f"Bearer {KEY}"]


def test_interrupted_twice_it_goes_on_where_it_was_and_is_checked(collective: Collective, tmp_path: Path) -> None:
    collective.cuts = [2 * BLOCK + 9, 3 * BLOCK + 9]
    for there in ("0.1 MB", "0.3 MB"):
        with pytest.raises(WorkError, match=f"broke .*{there} are there.*start the same command again"):
            download_release("cv23en", tmp_path / "out")
        assert not (tmp_path / "out" / NAME).exists()
    assert download_release("cv23en", tmp_path / "out").read_bytes() == ARCHIVE
    assert transfers(collective) == [None, f"bytes={2 * BLOCK}-", f"bytes={5 * BLOCK}-"]
    assert files_in(tmp_path / "out") == [NAME]


def test_what_is_there_is_checked_and_not_fetched_again(collective: Collective, tmp_path: Path) -> None:
    download_release("cv23en", tmp_path)
    collective.asked.clear()
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE
    assert transfers(collective) == []
    (tmp_path / NAME).write_bytes(ARCHIVE[:-1] + b"?")
    with pytest.raises(InputError, match="is not the published archive: its SHA-256 is"):
        download_release("cv23en", tmp_path)
    assert (tmp_path / NAME).exists()  # it may be the user's own


@pytest.mark.parametrize("how", ["whole file", "another place"])
def test_a_server_that_does_not_resume_spoils_nothing(collective: Collective, tmp_path: Path, how: str) -> None:
    collective.cuts = [2 * BLOCK]
    with pytest.raises(WorkError):
        download_release("cv23en", tmp_path)
    collective.ignore_range = how == "whole file"
    collective.shift = -10 if how == "another place" else 0
    answer = "206 but with bytes 131062-699999/700000" if how == "another place" else "200"
    with pytest.raises(WorkError, match=f"what follows byte 131072, it answered {answer}. Nothing was appended"):
        download_release("cv23en", tmp_path)
    assert (tmp_path / ".download" / f"{NAME}.part").read_bytes() == ARCHIVE[: 2 * BLOCK]
    collective.ignore_range, collective.shift = False, 0
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize("what", ["bytes", "size"])
def test_an_archive_that_is_not_the_published_one_gets_no_name(
    collective: Collective, tmp_path: Path, what: str
) -> None:
    collective.sent = ARCHIVE[:-1] + b"?" if what == "bytes" else ARCHIVE[:-1]
    said = "its SHA-256 is" if what == "bytes" else "it has 699999 bytes, not 700000"
    with pytest.raises(WorkError, match=f"is not the published archive of cv23en: {said}"):
        download_release("cv23en", tmp_path)
    assert files_in(tmp_path) == []
    collective.sent = ARCHIVE
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize("state", ["all received", "renamed", "too much"])
def test_ended_between_the_last_byte_and_the_name_it_only_checks(
    collective: Collective, tmp_path: Path, state: str
) -> None:
    work = tmp_path / ".download"
    work.mkdir()
    (work / (NAME if state == "renamed" else f"{NAME}.part")).write_bytes(ARCHIVE + b"x" * (state == "too much"))
    (work / f"{NAME}.checksum").write_text(collective.details["checksum"])
    if state == "too much":
        with pytest.raises(WorkError, match="700001 bytes, not 700000"):
            download_release("cv23en", tmp_path)
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE
    assert transfers(collective) == ([None] if state == "too much" else [])


def test_an_archive_that_was_replaced_meanwhile_is_begun_anew(collective: Collective, tmp_path: Path) -> None:
    collective.cuts = [2 * BLOCK]
    with pytest.raises(WorkError):
        download_release("cv23en", tmp_path)
    collective.sent = ARCHIVE[::-1]
    collective.details["checksum"] = hashlib.sha256(collective.sent).hexdigest()
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE[::-1]
    assert transfers(collective) == [None, None]


def test_without_a_published_sha256_the_size_is_checked_and_it_is_said(collective: Collective, tmp_path: Path) -> None:
    collective.details["checksum"] = "md5:d41d8cd98f00b204e9800998ecf8427e"
    with pytest.warns(AudiogramWarning, match="publishes no SHA-256 of cv23en"):
        download_release("cv23en", tmp_path)
    collective.details["checksum"] = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest().upper()}"
    download_release("cv23en", tmp_path)


@pytest.mark.parametrize("what", ["details", "session", "transfer"])
@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, InputError, "401: the key in MDC_API_KEY is not accepted"),
        (403, InputError, "its terms have not been accepted. Accept them on its page, https://mozilladatacollective"),
        (404, InputError, "404: there is no such dataset: cv23en"),
        (410, InputError, "410: the dataset has been removed: cv23en"),
        (429, WorkError, "429: too many requests with this key. Wait 30 s, then start the same command again"),
        (400, WorkError, "400: the Data Collective refuses the request"),
        (503, WorkError, "503: the Data Collective has trouble"),
    ],
)
def test_each_status_says_what_it_means_and_what_to_do(
    collective: Collective, tmp_path: Path, what: str, status: int, kind: type[Exception], said: str
) -> None:
    collective.status[what] = status
    collective.headers["Retry-After"] = "30"
    collective.message = f"see https://store.example/x?{TOKEN} for Bearer {KEY}\nand more"
    with pytest.raises((InputError, WorkError)) as caught:
        download_release("cv23en", tmp_path)
    text = str(caught.value)
    if what == "transfer":
        assert isinstance(caught.value, WorkError)
        assert f"the store of the archives answered {status}" in text
    else:
        assert isinstance(caught.value, kind)
        assert said in text
        assert "The server says: see https://store.example/x for Bearer *** and more" in text
    assert "\n" not in text


@pytest.mark.parametrize("fault", ["key", "store", "cut", "unreachable", "answer", "crash", "none"])
def test_neither_key_nor_link_is_ever_shown_or_stored(
    collective: Collective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    collective.message = f"key {KEY}"
    if fault == "key":
        collective.status["session"] = 403
    elif fault == "store":
        collective.status["transfer"] = 403
    elif fault == "cut":
        collective.cuts = [10]
    elif fault == "unreachable":
        monkeypatch.setenv("MDC_API_URL", f"http://user:{KEY}@127.0.0.1:9/api")
    elif fault == "answer":
        collective.details["sizeBytes"] = None  # the client shows the whole answer, link included
    elif fault == "crash":
        collective.details["filename"] = 5
    call = [sys.executable, "-m", "whisperprobe", "commonvoice", "download", "--dataset", "cv23en"]
    call += ["--out", str(tmp_path / "out"), "--log-level", "debug", "--debug"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": ""})
    assert done.returncode == (0 if fault == "none" else 1), done.stderr  # --debug: as Python ends it
    shown = done.stdout + done.stderr
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (KEY, TOKEN, "deadbeef"):
        assert secret not in shown
        assert secret.encode() not in stored


@pytest.mark.parametrize(
    ("key", "said"),
    [(None, "MDC_API_KEY is not set"), ("", "is not set"), (f"{KEY}\n", "holds a space"), ("kéy", "holds a space")],
)
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_asked(
    collective: Collective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, said: str
) -> None:
    monkeypatch.delenv("MDC_API_KEY")
    if key is not None:
        monkeypatch.setenv("MDC_API_KEY", key)
    with pytest.raises(InputError, match=said) as caught:
        download_release("cv23en", tmp_path)
    assert not key or key not in str(caught.value)
    assert collective.asked == []


@pytest.mark.parametrize("dataset", ["", "a/../b", "https://mozilladatacollective.com/datasets/x", "x?y", ".."])
def test_what_is_no_id_is_refused(collective: Collective, tmp_path: Path, dataset: str) -> None:
    with pytest.raises(InputError, match="is no id or slug"):
        download_release(dataset, tmp_path)
    assert collective.asked == []


@pytest.mark.parametrize("name", ["../evil.tar.gz", "/etc/evil", ".hidden", "", None])
def test_a_name_that_leads_elsewhere_is_refused(collective: Collective, tmp_path: Path, name: str | None) -> None:
    collective.details["filename"] = name
    with pytest.raises(WorkError, match="is not the name of a file"):
        download_release("cv23en", tmp_path / "out")
    assert files_in(tmp_path) == []


def test_asked_to_stop_it_stops_within_the_transfer_and_goes_on_later(
    collective: Collective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 0

    def stop_at_the_third(bar: object) -> Any:
        def advance(count: int) -> None:
            nonlocal blocks
            blocks += 1
            if blocks == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        return advance

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_download, "_in_megabytes", stop_at_the_third)
        with pytest.raises(StoppedError):
            download_release("cv23en", tmp_path)
    there = (tmp_path / ".download" / f"{NAME}.part").stat().st_size
    assert 0 < there < len(ARCHIVE)
    assert download_release("cv23en", tmp_path).read_bytes() == ARCHIVE
    assert transfers(collective)[1] == f"bytes={there}-"


def test_a_full_disk_is_said_before_it_is_full(
    collective: Collective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(WorkError, match="GB free"):
        download_release("cv23en", tmp_path)
    assert transfers(collective) == []


def test_two_downloads_to_one_folder_do_not_mix(collective: Collective, tmp_path: Path) -> None:
    with lock(tmp_path / ".download.lock") as held:
        assert held
        with pytest.raises(WorkError, match="another process is downloading"):
            download_release("cv23en", tmp_path)


def test_the_client_is_left_as_it_was(collective: Collective, tmp_path: Path) -> None:
    client = data_collective.load_client()
    before, level = client.api_utils.requests, logging.getLogger("urllib3").level
    collective.status["session"] = 403
    with pytest.raises(InputError):
        download_release("cv23en", tmp_path)
    assert client.api_utils.requests is before
    assert logging.getLogger("urllib3").level == level


def test_the_command(collective: Collective, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["commonvoice", "download", "--dataset", "cv23en", "--out", str(tmp_path)]
    assert run_app(app, given) == 0
    assert capsys.readouterr().out == f"downloaded: {tmp_path / NAME}\n"
    assert run_app(app, [*given, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    collective.status["details"] = 404
    assert run_app(app, given) == 2
    assert capsys.readouterr().err.count("\n") == 1
    collective.status["details"] = 429
    assert run_app(app, given) == 1


def test_without_the_client_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datacollective", None)
    with pytest.raises(InputError, match=r"pip install 'whisperprobe\[commonvoice\]'"):
        download_release("cv23en", tmp_path)
