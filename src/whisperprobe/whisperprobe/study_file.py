"""A study read from its TOML file: checked, its conditions resolved, its paths made absolute."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.study_conditions import NAME, read_conditions
from whisperprobe.study_listeners import read_ldl, read_training
from whisperprobe.study_schema import check_table

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["Study", "read_study"]


@dataclass(frozen=True)
class Study:
    """One study: which speech, heard through which audiograms, by which model, tuned and probed how.

    Parameters
    ----------
    name : str
        Name of the study; letters, digits, ``-`` and ``_``.
    seeds : tuple of int
        The whole study is repeated for each.
    corpus, model, probe, compare, report : dict
        The tables of the study file, checked, defaults filled in (`whisperprobe.study_schema` lists the keys).
    conditions : tuple of audiogram.Condition
        What the models are tuned on and hear, in the order of the file.
    finetune : dict or None
        Options of the fine-tuning; None where only the base model is probed.
    ldl : dict or None
        The discriminative lexicons beside Whisper; None where there are none.
    directory : Path
        Folder that the study's relative paths start from.
    file : str
        Name of the file, for messages.
    """

    name: str
    seeds: tuple[int, ...]
    corpus: dict[str, Any]
    conditions: tuple[Condition, ...]
    model: dict[str, Any]
    finetune: dict[str, Any] | None
    ldl: dict[str, Any] | None
    probe: dict[str, Any]
    compare: dict[str, Any]
    report: dict[str, Any]
    directory: Path
    file: str = "study.toml"

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain data, defaults filled in; `Study.from_dict` reads it back."""
        tables = {"corpus": self.corpus, "conditions": {}, "model": self.model, "finetune": self.finetune}
        tables["conditions"] = {
            "use": [c.name for c in self.conditions],
            **{c.name: c.to_dict() for c in self.conditions},
        }
        tables |= {"ldl": self.ldl, "probe": self.probe, "compare": self.compare, "report": self.report}
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            **{name: table for name, table in tables.items() if table is not None},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], directory: str | Path = ".", file: str = "study.toml") -> Study:
        """Check a study given as plain data, as `tomllib` reads it or `to_dict` writes it.

        Parameters
        ----------
        values : mapping
            The tables of the study file.
        directory : path, default "."
            Folder that relative paths start from.
        file : str, default "study.toml"
            Name of the file, for messages.

        Raises
        ------
        InputError
            For an unknown or missing key, a wrong type or value, an unknown condition; names key, table, received
            and expected.
        """
        top = check_table("", values, file)
        for needed in ("name", "corpus", "model"):
            if needed not in top:
                what = "key" if needed == "name" else "table"
                raise InputError(f"{file} lacks the {what} {needed!r}. Every study has a name, a corpus and a model.")
        if not NAME.fullmatch(top["name"]):
            raise InputError(
                f"{file}, name: {top['name']!r} names a folder too; use letters, digits, '-' and '_' only."
            )
        where = Path(directory).absolute()
        probe = check_table("probe", top.get("probe", {}), file)
        conditions = read_conditions(top.get("conditions", {}), where, file)
        return cls(
            name=top["name"],
            seeds=tuple(top["seeds"]),
            corpus=_corpus(top["corpus"], file),
            conditions=conditions,
            model=_model(top["model"], conditions, file),
            finetune=read_training("finetune", top["finetune"], file) if "finetune" in top else None,
            ldl=read_ldl(top["ldl"], conditions, file) if "ldl" in top else None,
            probe=_probe(probe, file),
            compare=_compare(top.get("compare", {}), file),
            report={"title": top["name"]} | check_table("report", top.get("report", {}), file),
            directory=where,
            file=file,
        )


def read_study(study: str | Path | Study, *, source: str | Path | None = None) -> Study:
    """Read and check a study file; a `Study` is returned as it is.

    Parameters
    ----------
    study : path or Study
        The study file.
    source : path, optional
        The corpus, instead of the one that the file names.

    Raises
    ------
    InputError
        Where the file is missing, no TOML, or says something that a study cannot.
    """
    if not isinstance(study, Study):
        path = Path(study)
        study = Study.from_dict(_read_toml(path), path.absolute().parent, path.name)
    if source is None:
        return study
    return replace(study, corpus=study.corpus | {"source": str(Path(source).absolute())})


def _read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; what stands in the way is an `InputError` that names the file and the place."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{file} is a folder, not a study file. Name the TOML file in it.")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        near = sorted(p.name for p in file.parent.glob("*.toml"))[:5] if file.parent.is_dir() else []
        hint = f" There: {', '.join(near)}." if near else ""
        raise InputError(f"no study file at {file}. Check the path; it is a TOML file.{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason}). A study file is TOML, saved as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{file} is not valid TOML: {error}. A likely cause is a missing quote; "
            "regular expressions go in 'single quotes'."
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}. Check its permissions.") from None


def _corpus(values: object, file: str) -> dict[str, Any]:
    corpus = check_table("corpus", values, file)
    if "source" not in corpus:
        raise InputError(f"table [corpus] of {file} lacks the key 'source': a folder of audio or of Parquet files.")
    _check_pattern("corpus", corpus, file)
    if "split" in corpus:
        split = check_table("corpus.split", corpus["split"], file)
        if "test" not in split:
            raise InputError(
                f"{file}: corpus.split lacks the key 'test': values of the column, or a share such as 0.2."
            )
        if isinstance(split["test"], list) and "column" not in split:
            raise InputError(f"{file}: corpus.split.test lists values but no 'column' says which column holds them.")
        corpus["split"] = split
    return corpus


def _check_pattern(table: str, values: Mapping[str, Any], file: str) -> None:
    if "text_pattern" not in values:
        return
    try:
        groups = re.compile(values["text_pattern"]).groupindex
    except re.error as error:
        raise InputError(
            f"table [{table}] of {file}, key 'text_pattern': {values['text_pattern']!r} is no regular expression "
            f"({error}). Write it in 'single quotes', where TOML leaves backslashes alone."
        ) from None
    if "text" not in groups:
        named = ", ".join(groups) or "none"
        raise InputError(
            f"table [{table}] of {file}, key 'text_pattern': no group is named 'text' (named: {named}). "
            "Mark the part of the file name that is the spoken text as (?P<text>...)."
        )


def _model(values: object, conditions: tuple[Condition, ...], file: str) -> dict[str, Any]:
    model = check_table("model", values, file)
    if ("base" in model) == ("from_scratch" in model):
        problem = "both 'base' and 'from_scratch'" if "base" in model else "neither 'base' nor 'from_scratch'"
        raise InputError(
            f"table [model] of {file} gives {problem}; give one: a model to start from, or the shape of one to train."
        )
    if "from_scratch" in model:
        model["from_scratch"] = read_training("model.from_scratch", model["from_scratch"], file)
        heard, known = model["from_scratch"].get("condition"), [*(c.name for c in conditions), "unmasked"]
        if heard is not None and heard not in known:
            raise unknown_name(f"condition in table [model.from_scratch] of {file}:", heard, known)
    return model


def _probe(probe: dict[str, Any], file: str) -> dict[str, Any]:
    _check_pattern("probe", probe, file)
    if probe["source"] == "corpus":
        for key in ("text_pattern", "text_map"):
            if key in probe:
                raise InputError(
                    f"table [probe] of {file}, key {key!r}: the study's own corpus is probed, "
                    f"which [corpus] describes. Move the key there, or name another corpus as [probe] source."
                )
        probe.setdefault("splits", ["test"])
    if "margin" in probe and probe.get("padding") != "trimmed":
        raise InputError(
            f"table [probe] of {file} gives 'margin', which needs padding = \"trimmed\". Give both or neither."
        )
    for key, needed in (("candidates", "lexicon"), ("layer_vectors", "layers")):
        if probe.get(key) and needed not in probe:
            raise InputError(f"table [probe] of {file} gives {key!r}, which needs {needed!r}. Give both or neither.")
    for key in ("encoder", "lexicon", "n_best"):
        if probe["long_audio"] == "windows" and probe.get(key, "none") not in (0, "none"):
            raise InputError(
                f"table [probe] of {file} gives {key!r}, which is about a clip heard as one, with long_audio = "
                '"windows". Leave one of them out.'
            )
    if probe.get("padding") == "trimmed" and probe["encoder"] == "window":
        raise InputError(
            f'table [probe] of {file}: encoder = "window" needs the whole window, padding = "trimmed" does not compute '
            'it. Take encoder = "mean".'
        )
    return probe


def _compare(values: object, file: str) -> dict[str, Any]:
    compare = check_table("compare", values, file)
    if "human" in compare:
        human = check_table("compare.human", compare["human"], file)
        if "file" not in human:
            raise InputError(f"{file}: compare.human lacks the key 'file': a text table of people's responses.")
        for name in human.get("log", []):
            if name not in human.get("baseline", []):
                raise unknown_name(f"column in compare.human.log of {file}:", name, human.get("baseline", []))
        compare["human"] = human
    elif "measures" in compare:
        raise InputError(
            f"table [compare] of {file} gives 'measures', which are held against people's responses, and no 'human'. "
            "Give both or neither."
        )
    return compare
