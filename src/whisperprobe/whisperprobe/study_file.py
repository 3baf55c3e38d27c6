"""A study read from its TOML file: checked, its conditions resolved, its paths made absolute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import AudiogramError, InputError, unknown_name
from whisperprobe.study_schema import check_table, describe, read_toml

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["Study", "draws_noise", "read_study", "repeated"]

BUILT_IN = ("normal", "lfloss", "hfloss")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TAKEN = {
    "base": "the label of the unadapted model",
    "unmasked": "the label of what is heard unfiltered",
    "use": "the key that lists the conditions",
}


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
        tables |= {"probe": self.probe, "compare": self.compare, "report": self.report}
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
        if not _NAME.fullmatch(top["name"]):
            raise InputError(
                f"{file}, name: {top['name']!r} names a folder too; use letters, digits, '-' and '_' only."
            )
        where = Path(directory).absolute()
        finetune = check_table("finetune", top["finetune"], file) if "finetune" in top else None
        if finetune is not None:
            _check_length("finetune", finetune, file)
        probe = check_table("probe", top.get("probe", {}), file)
        conditions = _conditions(top.get("conditions", {}), where, file)
        return cls(
            name=top["name"],
            seeds=tuple(top["seeds"]),
            corpus=_corpus(top["corpus"], file),
            conditions=conditions,
            model=_model(top["model"], conditions, file),
            finetune=finetune,
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
        study = Study.from_dict(read_toml(path), path.absolute().parent, path.name)
    if source is None:
        return study
    return replace(study, corpus=study.corpus | {"source": str(Path(source).absolute())})


def _check_length(table: str, training: Mapping[str, Any], file: str) -> None:
    given = [key for key in ("epochs", "max_steps") if key in training]
    if len(given) != 1 and not (not given and "recipe" in training):  # a recipe has a length
        problem = "neither epochs nor max_steps" if not given else "both epochs and max_steps"
        raise InputError(f"table [{table}] of {file} gives {problem}; give one of them: how long the training lasts.")


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
        model["from_scratch"] = check_table("model.from_scratch", model["from_scratch"], file)
        _check_length("model.from_scratch", model["from_scratch"], file)
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


def _conditions(values: Mapping[str, Any], directory: Path, file: str) -> tuple[Condition, ...]:
    import audiogram

    built_in = audiogram.conditions()
    defined = {name: definition for name, definition in values.items() if name != "use"}
    for name, definition in defined.items():
        if not isinstance(definition, Mapping):
            raise InputError(
                f"table [conditions] of {file}, key {name!r}: received {describe(definition)}, expected a table that "
                f"defines a condition, [conditions.{name}]. The one other key is 'use', the list of conditions."
            )
        if name in _TAKEN or not _NAME.fullmatch(name):
            why = _TAKEN.get(name, "not made of letters, digits, '-' and '_'")
            raise InputError(f"{file}: a condition cannot be called {name!r}, which is {why}. Choose another name.")
    use = values.get("use", [*BUILT_IN, *(n for n in defined if n not in BUILT_IN)])
    if not isinstance(use, list) or not use or not all(isinstance(n, str) for n in use) or len(set(use)) < len(use):
        raise InputError(
            f"table [conditions] of {file}, key 'use': received {describe(use)}, expected a list of different names, "
            f'e.g. ["normal", "hfloss"].'
        )
    made = {name: _condition(name, definition, directory, file) for name, definition in defined.items()}
    for name, condition in made.items():
        if name in built_in and condition != audiogram.condition(name):
            raise InputError(f"{file}: [conditions.{name}] redefines a built-in condition. Choose another name for it.")
    for name in use:
        if name not in made and name not in built_in:
            raise unknown_name(f"condition in [conditions] use of {file}:", name, [*built_in, *made])
    return tuple(made[name] if name in made else audiogram.condition(name) for name in use)


def _condition(name: str, definition: Mapping[str, Any], directory: Path, file: str) -> Condition:
    from audiogram import Condition
    from audiogram.standard_audiograms import parse_audiogram

    keys = [f.name for f in fields(Condition)]
    for key in definition:
        if key not in keys:
            raise unknown_name(f"key in table [conditions.{name}] of {file}:", key, [k for k in keys if k != "name"])
    values = {"name": name, **definition}
    if values["name"] != name:
        raise InputError(f"{file}: [conditions.{name}] says name = {values['name']!r}. Leave that key out.")
    if "audiogram" not in values:
        raise InputError(f"{file}: [conditions.{name}] lacks the key 'audiogram': a preset, a file, or thresholds.")
    for key in ("file", "corpus"):
        if isinstance(values.get("noise"), Mapping) and isinstance(values["noise"].get(key), str):
            masker = directory / values["noise"][key]
            if not masker.exists():
                raise InputError(
                    f"[conditions.{name}] of {file}: no noise {key} {masker}. Paths start from the study file."
                )
            values["noise"] = {**values["noise"], key: str(masker)}
    try:
        if isinstance(values["audiogram"], str):
            beside = directory / values["audiogram"]
            values["audiogram"] = parse_audiogram(str(beside) if beside.is_file() else values["audiogram"]).to_dict()
        return Condition.from_dict(values)
    except AudiogramError as error:
        raise type(error)(f"[conditions.{name}] of {file}: {error}") from error


def draws_noise(condition: Condition) -> bool:
    """Whether a condition draws random numbers: a masker, or a filter that adds noise; its masks depend on the seed."""
    from audiogram.filters.registry import filter_flags

    return condition.noise is not None or filter_flags(condition.filter, condition.options).adds_noise


def repeated(condition: Condition, seed: int) -> Condition:
    """Return the condition of one repetition of a study: its noise drawn with its own seed plus the study's."""
    plain = condition.to_dict()
    if condition.noise is not None:
        condition = replace(condition, noise={**plain["noise"], "seed": plain["noise"].get("seed", 0) + seed})
    if draws_noise(replace(condition, noise=None)) and isinstance(plain["options"].get("seed"), int):
        condition = replace(condition, options={**plain["options"], "seed": plain["options"]["seed"] + seed})
    return condition
