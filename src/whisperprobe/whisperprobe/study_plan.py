"""A study as stages: plain data that one process executes here, or that a cluster's queue is given.

Every stage says what it does (`kind`, `options`), which folders it reads and writes, and which stages come before
it. Nothing is computed and no corpus is opened for a plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.study_file import Study, draws_noise, read_study, repeated
from whisperprobe.study_schema import ARCHITECTURE

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["Plan", "StagePlan", "plan"]

UNMASKED = "unmasked"


@dataclass(frozen=True)
class StagePlan:
    """One stage of a study, as plain data.

    Parameters
    ----------
    name : str
        Unique within the plan, e.g. ``probe.base.lfloss.seed-1``.
    kind : str
        ``mask``, ``finetune``, ``probe``, ``compare`` or ``report``.
    options : dict
        What the stage needs to know; goes through JSON unchanged.
    inputs, outputs : tuple of str
        Files and folders that it reads and writes.
    after : tuple of str
        Names of the stages that must be done before.
    """

    name: str
    kind: str
    options: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All stages of a study, each after those that it needs.

    Parameters
    ----------
    study : str
        Name of the study.
    out : str
        Folder of all results.
    stages : tuple of StagePlan
        In an order in which they can be run one after another.
    """

    study: str
    out: str
    stages: tuple[StagePlan, ...]

    def stage(self, name: str) -> StagePlan:
        """Return the stage of that name."""
        return next(s for s in self.stages if s.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data: dicts, lists, text and numbers."""
        return {
            "study": self.study,
            "out": self.out,
            "stages": [
                {**asdict(s), "inputs": list(s.inputs), "outputs": list(s.outputs), "after": list(s.after)}
                for s in self.stages
            ],
        }

    def describe(self) -> str:
        """Say in a few lines per kind what will be done and where it is written."""
        width = max(len(s.name) for s in self.stages)
        lines = [f"study {self.study}: {len(self.stages)} stages, written to {self.out}", ""]
        for number, stage in enumerate(self.stages, 1):
            outputs = ", ".join(_under(o, self.out) for o in stage.outputs)
            after = f"   after {_few(stage.after)}" if stage.after else ""
            lines.append(f"{number:3d}  {stage.name:<{width}}  -> {outputs}{after}")
        return "\n".join(lines)


def plan(study: str | Path | Study, out: str | Path | None = None, *, check: bool = True) -> Plan:
    """Turn a study into its stages.

    Parameters
    ----------
    study : path or Study
        The study file.
    out : path, optional
        Folder of all results; default ``NAME-results`` in the current folder.
    check : bool, default True
        Whether to make sure that the corpus and the model's folder are there.

    Returns
    -------
    Plan
        The stages, as data.

    Raises
    ------
    InputError
        Where the study file is wrong or names a corpus or a model folder that is not there.
    """
    given = read_study(study)
    planner = _Planner(given, Path(out if out is not None else f"{given.name}-results").absolute(), check)
    return planner.plan()


class _Planner:
    """Builds the stages of one study; remembers the masked corpora, models and runs made so far."""

    def __init__(self, study: Study, out: Path, check: bool) -> None:
        self.study, self.out, self.check = study, out, check
        self.stages: list[StagePlan] = []
        self.maker: dict[str, str] = {}  # output -> name of the stage that writes it
        self.runs: list[dict[str, Any]] = []
        self.noisy = {c.name for c in study.conditions if draws_noise(c)}
        self.corpus = self._source(study.corpus)
        self.listen = study.probe["listen"]
        self.own_corpus = study.probe["source"] == "corpus"

    def plan(self) -> Plan:
        study = self.study
        hears = self.own_corpus and self.listen != "unmasked"
        if study.finetune is not None or hears or ("from_scratch" in study.model and self._base_hears() != UNMASKED):
            self._mask([c for c in study.conditions if c.name not in self.noisy], None)
            for seed in study.seeds:
                self._mask([c for c in study.conditions if c.name in self.noisy], seed)
        for seed in study.seeds:
            models = {"base": self._base(seed)} | {c.name: self._tuned(c, seed) for c in self._tuned_on()}
            for label, model in models.items():
                for heard in self._heard_by(label):
                    self._probe(label, model, heard, seed)
        self._compare()
        self._report()
        return Plan(study.name, str(self.out), tuple(self.stages))

    def _add(
        self, name: str, kind: str, options: dict[str, Any], inputs: Iterable[str], outputs: Iterable[str]
    ) -> None:
        inputs, outputs = tuple(inputs), tuple(outputs)
        after = tuple(dict.fromkeys(self.maker[i] for i in inputs if i in self.maker))
        if all(o in self.maker for o in outputs):
            return  # shared between seeds: planned already
        self.maker.update(dict.fromkeys(outputs, name))
        self.stages.append(StagePlan(name, kind, options, inputs, outputs, after))

    def _source(self, table: dict[str, Any]) -> dict[str, Any]:
        source = self.study.directory / table["source"]
        if self.check and not source.exists():
            raise InputError(
                f"{self.study.file} names the corpus {table['source']!r}, but {source} does not exist. "
                f"Relative paths start from the study file's folder."
            )
        keys = ("text_pattern", "text_map", "split", "max_samples")
        return {"source": str(source), **{key: table[key] for key in keys if key in table}}

    def _folder(self, seed: int | None) -> Path:
        return self.out if seed is None else self.out / f"seed-{seed}"

    def _seed_of(self, condition: str, seed: int) -> int | None:
        return seed if condition in self.noisy else None

    def _masked(self, condition: str, seed: int) -> str:
        return str(self._folder(self._seed_of(condition, seed)) / f"corpus_{condition}")

    def _heard(self, condition: Condition, seed: int | None) -> Condition:
        return repeated(condition, seed) if seed is not None and condition.name in self.noisy else condition

    def _mask(self, conditions: list[Condition], seed: int | None) -> None:
        if not conditions:
            return
        table = self.study.corpus
        base = self._folder(seed) / "corpus"
        options: dict[str, Any] = {
            "corpus": self.corpus,
            "out_base": str(base),
            "conditions": [self._heard(c, seed).to_dict() for c in conditions],
        }
        options |= {
            key: table[key]
            for key in ("splits", "sample_rate", "format", "max_failures", "max_seconds", "rows_per_part", "workers")
            if key in table
        }
        name = "mask" if seed is None else f"mask.seed-{seed}"
        self._add(name, "mask", options, [self.corpus["source"]], [f"{base}_{c.name}" for c in conditions])

    def _base(self, seed: int) -> str:
        model = self.study.model
        if "base" in model:
            return self._model_name(model["base"])
        shape = dict(model["from_scratch"])
        config = {key: shape.pop(key) for key in ARCHITECTURE if key in shape}
        if "tokenizer" in shape:
            shape["tokenizer"] = str(self.study.directory / shape["tokenizer"])
        out = str(self._folder(seed) / "models" / "base")
        shape.pop("condition", None)
        heard = self._base_hears()
        corpus = self.corpus if heard == UNMASKED else {"source": self._masked(heard, seed)}
        options = {"corpus": corpus, "out": out, "from_config": config, "seed": seed} | self._spoken() | shape
        self._add(f"finetune.base.seed-{seed}", "finetune", options, [corpus["source"]], [out])
        return out

    def _base_hears(self) -> str:
        """What a base model is trained on from scratch.

        By default the first condition where models hear conditions: one that normalises moves the log-mels of every
        quiet recording, and a model trained on the recordings as they are would be tested on levels it never met.
        """
        chosen: str | None = self.study.model.get("from_scratch", {}).get("condition")
        if chosen is not None:
            return chosen
        return self.study.conditions[0].name if self.own_corpus and self.listen == "all" else UNMASKED

    def _model_name(self, base: str) -> str:
        folder = self.study.directory / base
        if folder.exists():
            return str(folder)
        if self.check and not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", base):
            raise InputError(
                f"{self.study.file} names the model folder {base!r}, but {folder} does not exist. "
                f"Relative paths start from the study file's folder; a hub name looks like 'openai/whisper-small'."
            )
        return base

    def _spoken(self) -> dict[str, Any]:
        return {key: self.study.model[key] for key in ("language", "task")}

    def _tuned_on(self) -> tuple[Condition, ...]:
        return self.study.conditions if self.study.finetune is not None else ()

    def _tuned(self, condition: Condition, seed: int) -> str:
        base, source = self._base(seed), self._masked(condition.name, seed)
        out = str(self._folder(seed) / "models" / condition.name)
        options = {"corpus": {"source": source}, "out": out, "model": base, "seed": seed}
        options |= self._spoken() | (self.study.finetune or {})
        self._add(f"finetune.{condition.name}.seed-{seed}", "finetune", options, [source, base], [out])
        return out

    def _heard_by(self, label: str) -> list[str]:
        if self.listen == "unmasked" or (self.listen == "own" and label == "base"):
            return [UNMASKED]  # the base model was tuned on no condition: its own is the recording itself
        return [label] if self.listen == "own" else [c.name for c in self.study.conditions]

    def _probe(self, label: str, model: str, heard: str, seed: int) -> None:
        table = self.study.probe
        shared = "base" in self.study.model and label == "base" and heard not in self.noisy
        folder = self._folder(None if shared else seed)
        out = str(folder / "probes" / label / heard)
        condition = None
        if not self.own_corpus:
            corpus = self._source(table)
            condition = next((self._heard(c, seed).to_dict() for c in self.study.conditions if c.name == heard), None)
        else:
            corpus = self.corpus if heard == UNMASKED else {"source": self._masked(heard, seed)}
        if self.own_corpus and "max_samples" in table:
            corpus = {**corpus, "max_samples": table["max_samples"]}
        options = {"corpus": corpus, "out": out, "model": model, "condition": condition, "seed": seed} | self._spoken()
        elsewhere = ("source", "listen", "text_pattern", "text_map", "max_samples")  # said by corpus and condition
        options |= {key: value for key, value in table.items() if key not in elsewhere}
        for key in table.keys() & {"lexicon", "homophones"}:
            options[key] = str(self.study.directory / table[key])
            if self.check and not Path(options[key]).is_file():
                raise InputError(f"{self.study.file} names the {key} {table[key]!r}, but there is no such file.")
        name = f"probe.{label}.{heard}" + ("" if shared else f".seed-{seed}")
        self._add(name, "probe", options, [corpus["source"], model], [out])
        self.runs.append({"path": out, "model": label, "condition": heard, "seed": seed})

    def _compare(self) -> None:
        out = str(self.out / "comparison")
        options = {"runs": self.runs, "out": out, **self.study.compare}
        inputs = dict.fromkeys(r["path"] for r in self.runs)
        if "human" in options:
            tables = {key: path for key, path in options["human"].items() if key in ("file", "items")}
            options["human"] = options["human"] | {key: self._table(f"human {key}", p) for key, p in tables.items()}
            inputs |= dict.fromkeys(options["human"][key] for key in tables)
        if options.get("pronunciations", "cmudict") != "cmudict":
            options["pronunciations"] = self._table("pronunciations", options["pronunciations"])
            inputs[options["pronunciations"]] = None
        self._add("compare", "compare", options, inputs, [out])

    def _table(self, what: str, name: str) -> str:
        file = self.study.directory / name
        if self.check and not file.is_file():
            raise InputError(
                f"{self.study.file} names the {what} {name!r}, but there is no such file. Paths start from it."
            )
        return str(file)

    def _report(self) -> None:
        first = self.study.seeds[0]
        heard = {run["condition"] for run in self.runs} if self.own_corpus else set()
        corpora = {c.name: self._masked(c.name, first) for c in self.study.conditions if c.name in heard}
        fits = {s.name.removeprefix("finetune."): s.options["out"] for s in self.stages if s.kind == "finetune"}
        if len(self.study.seeds) == 1:
            fits = {name.removesuffix(f".seed-{first}"): path for name, path in fits.items()}
        options = {
            "comparison": str(self.out / "comparison"),
            "out": str(self.out / "report.html"),
            "conditions": [c.to_dict() for c in self.study.conditions],
            "corpora": corpora,
            "training": fits,
            "study": {"name": self.study.name, "seeds": list(self.study.seeds), "model": self.study.model},
            **self.study.report,
        }
        inputs = [options["comparison"], *corpora.values(), *fits.values()]
        self._add("report", "report", options, inputs, [options["out"]])


def _under(path: str, out: str) -> str:
    return str(Path(path).relative_to(out)) if Path(path).is_relative_to(out) else path


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} more"
