"""Releases of Common Voice, synthetic, as Parquet: nothing lost, folder and archive alike, bad archives refused."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from audiogram.console import run_app
from audiogram.corpus import is_complete, open_corpus, read_manifest
from audiogram.corpus.files import lock
from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe.cli import app
from whisperprobe.corpora import release_import, spool
from whisperprobe.corpora.release_archive import list_archive, read_members
from whisperprobe.corpora.release_import import import_release

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_commonvoice_release.py"
TABLES = {"train": "train", "validation": "dev", "test": "test", "validated": "validated"}
TABLES |= {"invalidated": "invalidated", "other": "other"}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_commonvoice_release", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_script()


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both column sets, with a missing, an empty and a garbled clip, and a damaged row."""
    found = {}
    for version in ("23.0", "16.1"):
        root = make.make_release(tmp_path_factory.mktemp("release"), version=version)
        (root / "clips" / "common_voice_en_1002.mp3").unlink()
        (root / "clips" / "common_voice_en_1004.mp3").write_bytes(b"")
        (root / "clips" / "common_voice_en_1005.mp3").write_bytes(b"<html>not found</html>" * 50)
        with open(root / "other.tsv", "a", encoding="utf-8") as table:
            table.write("too\tshort\n")
        found[version] = root
    return found


@pytest.fixture(scope="module")
def release(releases: dict[str, Path]) -> Path:
    return releases["23.0"]


@pytest.fixture(scope="module")
def archive(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make.make_archive(release, tmp_path_factory.mktemp("archive") / "cv-corpus-23.0-en.tar.gz"))


@pytest.fixture(scope="module")
def imported(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported") / "out"
    import_release(release, out, rows_per_part=4, max_failures=0.5)
    return out


def contents(folder: Path, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file, dot-files too."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: data for name, data in found.items() if name not in but}


def lines_of(release: Path, table: str) -> list[dict[str, str]]:
    """Read a table in the most naive way, damaged rows left out."""
    head, *lines = (release / f"{table}.tsv").read_bytes().decode().split("\n")[:-1]
    columns = head.split("\t")
    rows = [line.split("\t") for line in lines]
    return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]


@pytest.mark.parametrize("version", ["23.0", "16.1"])
@pytest.mark.parametrize("kind", ["folder", "archive", "tables first", "plain tar"])
def test_every_row_of_every_table_arrives_character_by_character_with_its_clip(
    releases: dict[str, Path], version: str, kind: str, tmp_path: Path
) -> None:
    root = source = releases[version]
    if kind != "folder":
        name = "cv.tar" if kind == "plain tar" else "cv.tar.gz"
        source = make.make_archive(root, tmp_path / name, first="tables" if kind == "tables first" else "clips")
    report = import_release(source, tmp_path / "out", max_failures=0.5)
    import datasets

    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    failures = {split: pq.read_table(tmp_path / "out" / "failures" / f"{split}-00000-of-00001.parquet").to_pylist()
                for split in TABLES if split != "test"}  # fmt: skip
    assert set(loaded) == set(TABLES) - {"test"}  # only a header
    assert read_manifest(tmp_path / "out")["plan"]["rows"]["test"] == 0
    total = failed = 0
    for split, table in TABLES.items():
        if split == "test":
            continue
        bad = {row["id"] for row in failures[split]}
        want = [line for line in lines_of(root, table) if line["path"].removesuffix(".mp3") not in bad]
        rows = list(loaded[split].cast_column("audio", datasets.Audio(decode=False)))
        assert len(rows) == len(want)
        for row, line in zip(rows, want, strict=True):
            assert {name: str(row[name]) for name in line} == line
            assert row["text"] == (line["sentence"] if line["sentence"].strip() else None)
            assert row["audio"] == {"bytes": (root / "clips" / line["path"]).read_bytes(), "path": line["path"]}
        total, failed = total + len(rows) + len(bad), failed + len(bad)
    assert (report.rows_in, report.failed) == (total, failed) == (31, 7)
    reasons = {row["id"]: row["error"] for row in failures["train"] + failures["other"]}
    assert reasons == {
        "common_voice_en_1002": "clips/common_voice_en_1002.mp3 is listed in train.tsv but there is no such file.",
        "common_voice_en_1004": "clips/common_voice_en_1004.mp3: the file is empty (0 bytes).",
        "common_voice_en_1005": "clips/common_voice_en_1005.mp3 cannot be read as sound: Format not recognised.",
        "short": f"row 3 of other.tsv has 2 fields, its header {13 if version == '23.0' else 11}.",
    }


def test_what_was_imported_is_a_corpus_whose_clips_decode_at_their_own_rates(imported: Path) -> None:
    corpus = open_corpus(imported)
    found = {clip.id: clip.audio() for clip in corpus.read("train")}
    assert {rate for _, rate in found.values()} == {32_000, 48_000}
    for clip in corpus.read("train"):
        x, rate = found[clip.id]
        assert len(x) / rate == pytest.approx(clip.metadata["duration"], abs=0.1)


@pytest.mark.parametrize(("gigabytes", "bucket"), [(32.0, 128 << 20), (32.0, 5_000), (1e-5, 128 << 20)])
def test_archive_and_folder_give_the_same_bytes_however_many_passes_it_takes(
    archive: Path,
    imported: Path,
    gigabytes: float,
    bucket: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(spool, "_BUCKET", bucket)
    with caplog.at_level(logging.INFO):
        import_release(archive, tmp_path / "out", rows_per_part=4, max_failures=0.5, spool_gb=gigabytes)
    passes = [record for record in caplog.records if "over it" in record.getMessage()]
    assert len(passes) == (1 if gigabytes == 32.0 else 9)
    assert contents(tmp_path / "out", but=("manifest.json",)) == contents(imported, but=("manifest.json",))
    mine, theirs = read_manifest(tmp_path / "out"), read_manifest(imported)
    del mine["input"]["source"], theirs["input"]["source"]
    assert mine == theirs


def test_what_waits_on_disk_stays_below_its_limit(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 0
    monkeypatch.setattr(spool, "_BUCKET", 4_000)
    real = spool.load_clips

    def measured(path: Path) -> dict[str, bytes]:
        nonlocal largest
        largest = max(largest, sum(file.stat().st_size for file in path.parent.iterdir()))
        return real(path)

    monkeypatch.setattr(spool, "load_clips", measured)
    import_release(archive, tmp_path / "out", rows_per_part=1, max_failures=0.5, spool_gb=2e-5)
    assert 4_000 < largest < 21_000  # names of the clips included


@pytest.mark.parametrize("name", ["archive.json", "archive.npz"])
def test_a_damaged_listing_is_made_anew(archive: Path, tmp_path: Path, name: str) -> None:
    first = list_archive(archive, tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    again = list_archive(archive, tmp_path)
    assert (again.prefix, again.clips) == (first.prefix, first.clips)
    assert (again.digests == first.digests).all()
    assert (tmp_path / name).read_bytes() == whole


def test_a_folder_goes_on_with_what_its_archive_began(
    archive: Path, release: Path, imported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    import_release(archive, out, rows_per_part=4, max_failures=0.5)
    for file in (out / "failures").glob("validated-0000[12]*"):
        file.unlink()
    report = import_release(release, out, rows_per_part=4, max_failures=0.5)
    assert report.parts_done == 2
    assert contents(out, but=("manifest.json",)) == contents(imported, but=("manifest.json",))


def test_splits_samples_and_shards(release: Path, archive: Path, tmp_path: Path) -> None:
    report = import_release(release, tmp_path / "some", splits=["dev", "train"], max_samples=2, seed=5, max_failures=1)
    assert report.rows_in == 4
    import_release(archive, tmp_path / "same", splits=["validation", "train"], max_samples=2, seed=5, max_failures=1)
    assert contents(tmp_path / "some", but=("manifest.json",)) == contents(tmp_path / "same", but=("manifest.json",))
    assert open_corpus(tmp_path / "some").splits == ("train", "validation")
    for shard in ("0/2", "1/2"):
        import_release(release, tmp_path / "shards", rows_per_part=4, max_failures=0.5, shard=shard)
    assert is_complete(tmp_path / "shards")


PROGRAM = """
import os, signal, sys
from whisperprobe.corpora import release_archive, release_import, spool
from audiogram.corpus import writer

moment, archive, out = sys.argv[1:]
def doomed(module, name, at):
    real, seen = getattr(module, name), 0
    def counted(*args, **given):
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **given)
    setattr(module, name, counted)
where = {"checking": (release_archive, "_write", 3), "listed": (release_archive, "write_whole", 1),
         "collecting": (spool.Listing, "clip", 9), "loading": (spool, "load_clips", 2),
         "writing": (writer.PartWriter, "commit", 4)}
doomed(*where[moment])
release_import.import_release(archive, out, rows_per_part=4, max_failures=0.5)
"""


@pytest.mark.parametrize("moment", ["checking", "listed", "collecting", "loading", "writing"])
def test_killed_anywhere_and_started_again_it_ends_with_the_same_bytes(
    moment: str, archive: Path, imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_BUCKET", 5_000)
    program = PROGRAM.replace("import_release(archive", "spool._BUCKET = 5_000\nrelease_import.import_release(archive")
    program = program.replace("release_import.spool._BUCKET", "spool._BUCKET")
    call = [sys.executable, "-c", program, moment, str(archive), str(tmp_path / "out")]
    assert subprocess.run(call, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "README.md").exists() or not is_complete(tmp_path / "out")
    import_release(archive, tmp_path / "out", rows_per_part=4, max_failures=0.5)
    assert contents(tmp_path / "out", but=("manifest.json",)) == contents(imported, but=("manifest.json",))


def test_asked_to_stop_it_stops_and_goes_on_later_without_checking_again(
    archive: Path, imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    real = spool.load_clips

    def stopping(path: Path) -> dict[str, bytes]:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(path)

    monkeypatch.setattr(spool, "load_clips", stopping)
    with pytest.raises(StoppedError):
        import_release(archive, out, rows_per_part=4, max_failures=0.5)
    assert not (out / ".import" / "clips").exists()
    monkeypatch.setattr(spool, "load_clips", real)
    monkeypatch.setattr(release_import, "list_archive", only_listed)
    import_release(archive, out, rows_per_part=4, max_failures=0.5)
    assert contents(out, but=("manifest.json",)) == contents(imported, but=("manifest.json",))


def only_listed(*given: object) -> object:
    """List an archive, and fail where that would read it."""
    from whisperprobe.corpora import release_archive

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_archive, "_read_through", None)
        return list_archive(*given)


def member(name: str, data: bytes = b"x", **given: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in given.items():
        setattr(info, key, value)
    return info, data


CLIP = "cv-corpus-23.0/en/clips/a.mp3"
TABLE = ("cv-corpus-23.0/en/train.tsv", b"path\tsentence\na.mp3\thello\n")
BAD = {
    "an absolute path": ([member("/etc/passwd")], "'/etc/passwd' in it would lead out of the folder"),
    "dots": ([member("cv-corpus-23.0/en/clips/../../../../up.mp3")], "would lead out of the folder"),
    "dots in a table": ([member("../train.tsv", TABLE[1])], "would lead out of the folder"),
    "a drive": ([member("C:\\clips\\a.mp3")], "would lead out of the folder"),
    "a link": ([member(CLIP, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "is a link"),
    "a hard link": ([member(CLIP, b"", type=tarfile.LNKTYPE, linkname="../../x")], "is a link"),
    "a device": ([member(CLIP, b"", type=tarfile.CHRTYPE)], "neither a file nor a folder"),
    "a pipe": ([member(CLIP, b"", type=tarfile.FIFOTYPE)], "neither a file nor a folder"),
    "a clip twice": ([member(CLIP), member(f"./{CLIP}")], f"holds '{CLIP}' twice"),
    "a table twice": ([member(CLIP), member(*TABLE), member(*TABLE)], "holds 'cv-corpus-23.0/en/train.tsv' twice"),
    "two languages": ([member(CLIP), member(CLIP.replace("/en/", "/de/"))], "holds several releases"),
    "no clips": ([member("readme.txt")], "holds no clips"),
    "no tables": ([member(CLIP)], "none of train.tsv"),
}


def pack(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", BAD)
def test_a_malicious_or_foreign_archive_is_refused_and_nothing_is_written_outside(kind: str, tmp_path: Path) -> None:
    members, said = BAD[kind]
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = pack(inside / "cv.tar.gz", [member(*TABLE), *members] if kind in ("dots", "a link") else members)
    before = contents(tmp_path)
    with pytest.raises(InputError) as caught:
        import_release(path, inside / "out")
    assert said in str(caught.value)
    after = {name: data for name, data in contents(tmp_path).items() if not name.startswith("a/b/out/")}
    assert after == before
    assert not any(path.name[0] != "." for path in (inside / "out").iterdir())


def damage(kind: str, data: bytes) -> bytes:
    plain = gzip.decompress(data)
    header = plain.index(b"cv-corpus", 5000)
    return {
        "half": data[: len(data) // 2],
        "one byte short": data[:-1],
        "without the end of gzip": data[:-8],
        "a flipped bit": data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :],
        "a flipped bit in a stored clip": gzip.compress(plain)[:-8] + b"\0" * 4 + gzip.compress(plain)[-4:],
        "a damaged header": gzip.compress(plain[:header] + b"\xff" * 200 + plain[header + 200 :]),
        "cut at a header": gzip.compress(plain[:header]),
        "no mark of the end": gzip.compress(plain.rstrip(b"\0") + b"\0" * (-len(plain.rstrip(b"\0")) % 512)),
        "empty": b"",
        "html": b"<html>Sign in</html>" * 100,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "half", "one byte short", "without the end of gzip", "a flipped bit", "a flipped bit in a stored clip",
        "a damaged header", "cut at a header", "no mark of the end", "empty", "html",
    ],
)  # fmt: skip
def test_a_truncated_or_damaged_archive_is_refused(kind: str, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "cv.tar.gz"
    path.write_bytes(damage(kind, archive.read_bytes()))
    with pytest.raises(InputError, match="cut off or damaged"):
        import_release(path, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    shutil.copy(archive, path)  # fetched again, it is not taken for what was there
    import_release(path, tmp_path / "out", max_failures=0.5)
    assert is_complete(tmp_path / "out")


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    import tracemalloc

    def peak(count: int) -> int:
        path = pack(
            tmp_path / f"{count}.tar.gz", [member(*TABLE), *(member(f"en/clips/{n}.mp3") for n in range(count))]
        )
        tracemalloc.start()
        assert sum(1 for _ in read_members(path)) == count + 1
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(4_500) < peak(2_500) + 2_000 * 100  # tarfile keeps more than 1,000 bytes for every file it has seen


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"splits": ["trian"]}, "has no split 'trian'"),
        ({"spool_gb": 0.0}, "--spool-gb 0.0: above 0"),
        ({"workers": 2}, "read by one process"),
        ({"shard": "0/2"}, "read by one process"),
        ({"rows_per_part": 0}, "at least one row"),
        ({"max_samples": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_said(archive: Path, tmp_path: Path, given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        import_release(archive, tmp_path / "out", **given)


def test_wrong_sources_and_targets_are_said(archive: Path, release: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    masked = tmp_path / "masked"
    masked.mkdir()
    (masked / "manifest.json").write_text(
        json.dumps({"stage": "mask", "options": {}, "plan": {"rows": {}, "rows_per_part": 1}})
    )
    for source, target, said in [
        (tmp_path / "none", tmp_path / "out", "does not exist"),
        (tmp_path / "full", tmp_path / "out", "is not an extracted release"),
        (archive, tmp_path / "full", "is not empty"),
        (archive, tmp_path / "file", "is a file"),
        (archive, masked, "output of the stage 'mask'"),
        (release, release / "out", "within each other"),
    ]:
        with pytest.raises(InputError, match=said):
            import_release(source, target)


def test_too_many_failures_end_it_and_what_was_written_stays(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="3 of 9 clips of split 'train' failed"):
        import_release(archive, tmp_path / "out")
    assert is_complete(tmp_path / "out")
    assert not (tmp_path / "out" / ".import").exists()


def test_two_imports_of_one_archive_do_not_mix(archive: Path, tmp_path: Path) -> None:
    with lock(tmp_path / "out" / ".import.lock") as held:
        assert held
        with pytest.raises(WorkError, match="another process is importing"):
            import_release(archive, tmp_path / "out")


def test_a_full_disk_ends_it_clearly(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "_open", lambda path: Full())
    with pytest.raises(WorkError, match="free some space"):
        import_release(archive, tmp_path / "out")


@pytest.fixture
def quiet_run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_app(app, ["commonvoice", *map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_the_command(quiet_run: Callable[..., tuple[int, str, str]], archive: Path, tmp_path: Path) -> None:
    given = ["import", archive, tmp_path / "out", "--splits", "dev, other", "--max-failures", 0.5]
    code, out, err = quiet_run(*given)
    assert (code, out) == (0, f"imported: {tmp_path / 'out'} (5 of 6 clips, 1 failed)\n")
    assert "pass 2 over it" in err
    assert quiet_run(*given, "--quiet")[:2] == (0, "")
    code, out, err = quiet_run("import", tmp_path / "none", tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1
    assert "Traceback" not in err
