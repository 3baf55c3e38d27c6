"""What a row stage says about itself: `manifest.json`, the same bytes from every task, and the dataset card."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audiogram.corpus.files import cannot_write, write_whole
from audiogram.corpus.layout import MANIFEST, README, Part, plan_parts
from audiogram.errors import InputError, WorkError

__all__ = [
    "check_keys",
    "is_complete",
    "library_versions",
    "prepare_out",
    "read_manifest",
    "refuse_differences",
    "stage_manifests",
    "stage_parts",
    "sweep",
    "write_card",
]

# Where the results were computed with other versions of these, the parts would not fit together; other libraries
# are recorded only.
_OWN = ("audiogram", "whisperprobe")
_RECORDED = ("numpy", "scipy", "soundfile", "soxr", "pyarrow")
_KEYS = ("stage", "options", "plan")  # what other programs' manifest.json has none of
_log = logging.getLogger("audiogram.corpus")

Card = Callable[[Mapping[str, Any]], str]


def read_manifest(out: str | Path) -> dict[str, Any]:
    """Read the manifest of a folder that a row stage has written.

    Parameters
    ----------
    out : path
        The output folder of the stage.

    Returns
    -------
    dict
        ``stage``, ``options``, ``input``, ``plan``, ``tables``, ``versions`` and what the stage adds.

    Raises
    ------
    InputError
        There is no manifest, it is not one, or it lacks a key.
    """
    path = Path(out) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{out} has no {MANIFEST}: not the output folder of a stage. Check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a manifest: {error}. Remove the folder and run the stage again."
        ) from error
    if not isinstance(manifest, dict) or manifest.keys().isdisjoint(_KEYS):
        raise InputError(f"{path} is not the manifest of a row stage (no {', '.join(_KEYS)} in it).")
    check_keys(path, manifest, _KEYS)
    if not isinstance(manifest["plan"], dict):
        raise InputError(f"{path} plans no rows; it is damaged. Remove the folder and run the stage again.")
    check_keys(path, manifest["plan"], ("rows", "rows_per_part"), "plan.")
    return manifest


def check_keys(path: Path, table: Mapping[str, Any], keys: Iterable[str], within: str = "") -> None:
    """Raise `InputError` where a table of the manifest `path` lacks a key; `within` is the table's name and a dot."""
    for key in keys:
        if key not in table:
            raise InputError(
                f"{path} lacks the key {within + key!r}: it was edited by hand, or written by another version. Put the "
                "file back from a copy, or remove the folder and run the stage again."
            )


def stage_parts(out: str | Path) -> tuple[Part, ...]:
    """List the parts that a stage's manifest plans, done or not, in order.

    Parameters
    ----------
    out : path
        The output folder of the stage.

    Returns
    -------
    tuple of Part

    Raises
    ------
    InputError
        There is no manifest, or it is not one.
    """
    return parts_of(read_manifest(out))


def parts_of(manifest: Mapping[str, Any]) -> tuple[Part, ...]:
    """List the parts that `manifest` plans."""
    plan = manifest["plan"]
    return plan_parts(plan["rows"], plan["rows_per_part"])


def is_complete(out: str | Path) -> bool:
    """Whether `out` was written by a row stage and every one of its parts is done.

    Parameters
    ----------
    out : path
        A folder.

    Returns
    -------
    bool
        False too where the folder is missing or another's.
    """
    path = Path(out)
    return (path / MANIFEST).is_file() and all(part.done([path]) for part in stage_parts(path))


def library_versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the libraries that a stage's bytes depend on."""
    found = {}
    for name in (*_OWN[:1], *_RECORDED, *extra):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from the sources: the import still knows
            found[name] = str(getattr(__import__(name), "__version__", "unknown"))
    return found


def stage_manifests(
    name: str,
    options: Mapping[str, Any],
    corpus: Mapping[str, Any],
    rows: Mapping[str, int],
    rows_per_part: int,
    schemas: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    versions: Mapping[str, str] | None,
    count: int,
) -> list[dict[str, Any]]:
    """Build the manifest of each output folder: nothing in it depends on when, where or in how many processes."""
    extras = [extra or {}] * count if extra is None or isinstance(extra, Mapping) else list(extra)
    if len(extras) != count:
        raise InputError(f"{len(extras)} manifests for {count} output folders.")
    common = {
        "stage": name,
        "options": dict(options),
        "plan": {"rows": dict(rows), "rows_per_part": rows_per_part},
        "tables": list(schemas) if schemas else ["data"],
        "input": dict(corpus),
    }
    last = {"versions": {**library_versions(), **(versions or {})}}
    return [{**common, **more, **last} for more in extras]


def prepare_out(out: Path, manifest: Mapping[str, Any]) -> None:
    """Make the folder and its manifest, or make sure that the one that is there is the same.

    Raises
    ------
    InputError
        The folder belongs to another run, holds other things, or cannot be made.
    """
    if (out / MANIFEST).is_file():
        refuse_differences(out, manifest)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    except FileExistsError as error:
        raise InputError(f"{out} is a file, not a folder; choose another output folder.") from error
    except OSError as error:
        raise InputError(
            f"cannot use {out} as output folder: {error.strerror or error}. Choose one you may write to."
        ) from error
    if strangers and not (out / MANIFEST).is_file():  # a sister task may have written it just now
        raise InputError(
            f"{out} is not empty (e.g. {strangers[0]}) and was not written by this stage; choose a new output folder."
        )
    try:
        write_whole(out / MANIFEST, _bytes(manifest))
    except WorkError as error:
        raise InputError(str(error)) from error


def write_card(out: Path, manifest: Mapping[str, Any], card: Card | None) -> None:
    """Write the dataset card where it is missing or names files that do not exist.

    Splits whose every part came out empty are left out of ``configs:`` once that is known, since a pattern without
    files stops `datasets.load_dataset`.
    """
    parts = parts_of(manifest)
    done = all(part.done([out]) for part in parts)
    splits: dict[str, list[str]] = {}
    for table in manifest["tables"]:
        here = {p.split for p in parts if not done or p.table(out, table).is_file()}
        splits[table] = [split for split in manifest["plan"]["rows"] if split in here]
    body = card(manifest) if card else f"# {manifest['stage']}\n\nWritten by the stage `{manifest['stage']}`.\n"
    text = _front_matter(splits) + "\n" + body.strip() + "\n" + _footer(manifest)
    path = out / README
    try:
        same = path.is_file() and path.read_bytes() == text.encode()
    except OSError as error:
        raise cannot_write(path, error) from error
    if not same and (done or not path.is_file()):
        write_whole(path, text.encode())


def sweep(out: Path) -> None:
    """Remove the dot-files that killed processes have left, once every part is done and nobody needs one."""
    if is_complete(out):
        for left in (*out.glob(".*.tmp"), *out.glob("*/.*.tmp"), *out.glob("*/.*.lock")):
            left.unlink(missing_ok=True)


def _front_matter(splits: Mapping[str, Sequence[str]]) -> str:
    lines = ["---"]
    shown = {table: names for table, names in splits.items() if names}
    if shown:
        lines.append("configs:")
    for number, (table, names) in enumerate(shown.items()):
        lines.append(f"- config_name: {'default' if len(splits) == 1 else table}")
        lines.extend(["  default: true"] if number == 0 and len(splits) > 1 else [])
        lines.append("  data_files:")
        for name in names:
            lines += [f"  - split: {name}", f"    path: {table}/{name}-*.parquet"]
    return "\n".join([*lines, "---"]) + "\n" if shown else ""


def _footer(manifest: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {split} | {count} |" for split, count in manifest["plan"]["rows"].items())
    stages, before = [manifest["stage"]], manifest["input"].get("upstream")
    while before is not None:
        stages, before = [before["stage"], *stages], before.get("input", {}).get("upstream")
    order = f"\nMade in this order: {', then '.join(stages)}.\n" if len(stages) > 1 else ""
    return order + (
        "\n## Rows of the input\n\n| split | rows |\n| --- | --- |\n" + rows + "\n\nRows in = rows out + failures: "
        "what could not be used is in `failures/`, with the reason. `manifest.json` has the options, the versions and "
        "the input.\n"
    )


def _bytes(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def refuse_differences(out: Path, new: Mapping[str, Any]) -> None:
    """Raise `InputError` where `out` was begun by another run than that of the manifest `new`."""
    old, new = read_manifest(out), json.loads(json.dumps(new))  # as it would be read back: tuples are lists
    found = list(_differences(old, new))
    versions = [pair for pair in found if pair[0].startswith(("versions.", "plugin."))]
    differences = [pair for pair in found if pair not in versions]
    if not is_complete(out):  # a finished folder stays what it is; an unfinished one must not become a mixture
        for key, was, now in versions:
            if key.removeprefix("versions.") in _RECORDED:
                _log.warning("%s was begun with %s %s and goes on with %s.", out, key, was, now)
            else:
                differences.append((key, was, now))
    if differences:
        said = "; ".join(f"{key} is {_short(was)} there and {_short(now)} now" for key, was, now in differences[:4])
        more = f" (and {len(differences) - 4} more)" if len(differences) > 4 else ""
        raise InputError(
            f"{out} belongs to another run: {said}{more}. "
            "Give the same options to go on with it, or another output folder."
        )


def _differences(old: Any, new: Any, at: str = "") -> Iterable[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            # How the source was spelled does not matter while it holds the same: that is what the fingerprint is for.
            if at == "input" and key in ("source", "rows", "upstream"):
                continue
            if key in _places(old) and key in _places(new) and old[_digest(key)] == new[_digest(key)]:
                continue  # nor where a model lies
            yield from _differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    elif old != new:
        yield at.removeprefix("options."), old, new


def _places(options: Mapping[str, Any]) -> set[str]:
    """Options that say where something lies whose digest stands beside them: `model` with `model_sha256`.

    Where `model` is a name, the place is `model_path`.
    """
    known = {key.removesuffix("_sha256") for key, value in options.items() if key.endswith("_sha256") and value}
    return {f"{key}_path" if f"{key}_path" in options else key for key in known} & options.keys()


def _digest(place: str) -> str:
    return f"{place.removesuffix('_path')}_sha256"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
