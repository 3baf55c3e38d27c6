"""From a study to its stages. Nothing is computed and no corpus is opened for a plan."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.study_conditions import draws_noise, repeated
from whisperprobe.study_file import Study, read_study
from whisperprobe.study_graph import Plan, StagePlan
from whisperprobe.study_plan_ldl import plan_ldl
from whisperprobe.study_schema import ARCHITECTURE

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["Plan", "Planner", "StagePlan", "plan"]

UNMASKED = "unmasked"


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
    planner = Planner(given, Path(out if out is not None else f"{given.name}-results").absolute(), check)
    return planner.plan()


class Planner:
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
        trained = study.finetune is not None or study.ldl is not None
        if trained or hears or ("from_scratch" in study.model and self._base_hears() != UNMASKED):
            self._mask([c for c in study.conditions if c.name not in self.noisy], None)
            for seed in study.seeds:
                self._mask([c for c in study.conditions if c.name in self.noisy], seed)
        for seed in study.seeds:
            models = {"base": self.base_model(seed)} | {c.name: self._tuned(c, seed) for c in self._tuned_on()}
            for label, model in models.items():
                for heard in self.heard_by(label):
                    self._probe(label, model, heard, seed)
            if study.ldl is not None:
                plan_ldl(self, study.ldl, seed)
        self._compare()
        self._report()
        return Plan(study.name, str(self.out), tuple(self.stages))

    def add(self, name: str, kind: str, options: dict[str, Any], inputs: Iterable[str], outputs: Iterable[str]) -> None:
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

    def folder(self, seed: int | None) -> Path:
        return self.out if seed is None else self.out / f"seed-{seed}"

    def _seed_of(self, condition: str, seed: int) -> int | None:
        return seed if condition in self.noisy else None

    def masked(self, condition: str, seed: int) -> str:
        return str(self.folder(self._seed_of(condition, seed)) / f"corpus_{condition}")

    def _heard(self, condition: Condition, seed: int | None) -> Condition:
        return repeated(condition, seed) if seed is not None and condition.name in self.noisy else condition

    def _mask(self, conditions: list[Condition], seed: int | None) -> None:
        if not conditions:
            return
        table = self.study.corpus
        base = self.folder(seed) / "corpus"
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
        self.add(name, "mask", options, [self.corpus["source"]], [f"{base}_{c.name}" for c in conditions])

    def base_model(self, seed: int) -> str:
        model = self.study.model
        if "base" in model:
            return self.model_name(model["base"])
        shape = dict(model["from_scratch"])
        config = {key: shape.pop(key) for key in ARCHITECTURE if key in shape}
        if "tokenizer" in shape:
            shape["tokenizer"] = str(self.study.directory / shape["tokenizer"])
        out = str(self.folder(seed) / "models" / "base")
        shape.pop("condition", None)
        heard = self._base_hears()
        corpus = self.corpus if heard == UNMASKED else {"source": self.masked(heard, seed)}
        options = {"corpus": corpus, "out": out, "from_config": config, "seed": seed} | self._spoken() | shape
        self.add(f"finetune.base.seed-{seed}", "finetune", options, [corpus["source"]], [out])
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

    def model_name(self, base: str) -> str:
        folder = self.study.directory / base
        if folder.exists():
            return str(folder)
        hub_name = re.fullmatch(r"([A-Za-z0-9][\w.-]*)/[\w.-]+", base)
        if self.check and (hub_name is None or (self.study.directory / hub_name[1]).is_dir()):
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
        base, source = self.base_model(seed), self.masked(condition.name, seed)
        out = str(self.folder(seed) / "models" / condition.name)
        options = {"corpus": {"source": source}, "out": out, "model": base, "seed": seed}
        options |= self._spoken() | (self.study.finetune or {})
        self.add(f"finetune.{condition.name}.seed-{seed}", "finetune", options, [source, base], [out])
        return out

    def heard_by(self, label: str) -> list[str]:
        if self.listen == "unmasked" or (self.listen == "own" and label == "base"):
            return [UNMASKED]  # the base model was tuned on no condition: its own is the recording itself
        return [label] if self.listen == "own" else [c.name for c in self.study.conditions]

    def _probe(self, label: str, model: str, heard: str, seed: int) -> None:
        table = self.study.probe
        shared = "base" in self.study.model and label == "base" and heard not in self.noisy
        folder = self.folder(None if shared else seed)
        out = str(folder / "probes" / label / heard)
        corpus, condition = self.listening(heard, seed)
        options = {"corpus": corpus, "out": out, "model": model, "condition": condition, "seed": seed} | self._spoken()
        elsewhere = ("source", "listen", "text_pattern", "text_map", "max_samples")  # said by corpus and condition
        options |= {key: value for key, value in table.items() if key not in elsewhere}
        for key in table.keys() & {"lexicon", "homophones"}:
            options[key] = str(self.study.directory / table[key])
            if self.check and not Path(options[key]).is_file():
                raise InputError(f"{self.study.file} names the {key} {table[key]!r}, but there is no such file.")
        name = f"probe.{label}.{heard}" + ("" if shared else f".seed-{seed}")
        self.add(name, "probe", options, [corpus["source"], model], [out])
        self.runs.append({"path": out, "model": label, "condition": heard, "seed": seed})

    def listening(self, heard: str, seed: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What is played to a listener: a corpus, and the condition that filters it meanwhile, if any."""
        table = self.study.probe
        if not self.own_corpus:
            through = next((self._heard(c, seed).to_dict() for c in self.study.conditions if c.name == heard), None)
            return self._source(table), through
        corpus = self.corpus if heard == UNMASKED else {"source": self.masked(heard, seed)}
        return corpus | ({"max_samples": table["max_samples"]} if "max_samples" in table else {}), None

    def _compare(self) -> None:
        out = str(self.out / "comparison")
        options = {"runs": self.runs, "out": out, **self.study.compare}
        inputs = dict.fromkeys(r["path"] for r in self.runs)
        if "human" in options:
            tables = {key: path for key, path in options["human"].items() if key in ("file", "items")}
            options["human"] = options["human"] | {key: self.file(f"human {key}", p) for key, p in tables.items()}
            inputs |= dict.fromkeys(options["human"][key] for key in tables)
        if options.get("pronunciations", "cmudict") != "cmudict":
            options["pronunciations"] = self.file("pronunciations", options["pronunciations"])
            inputs[options["pronunciations"]] = None
        if self.check and "pronunciations" in options:
            from whisperprobe.comparison.pronunciations import open_pronunciations

            open_pronunciations(options["pronunciations"])  # a table that cannot be read is better known beforehand
        self.add("compare", "compare", options, inputs, [out])

    def file(self, what: str, name: str) -> str:
        file = self.study.directory / name
        if self.check and not file.is_file():
            raise InputError(
                f"{self.study.file} names the {what} {name!r}, but there is no such file. Paths start from it."
            )
        return str(file)

    def _report(self) -> None:
        first = self.study.seeds[0]
        heard = {run["condition"] for run in self.runs} if self.own_corpus else set()
        corpora = {c.name: self.masked(c.name, first) for c in self.study.conditions if c.name in heard}
        fits = {s.name.removeprefix("finetune."): s.options["out"] for s in self.stages if s.kind == "finetune"}
        if len(self.study.seeds) == 1:
            fits = {name.removesuffix(f".seed-{first}"): path for name, path in fits.items()}
        options = {
            "comparison": str(self.out / "comparison"),
            "out": str(self.out / "report.html"),
            "conditions": [c.to_dict() for c in self.study.conditions],
            "corpora": corpora,
            "training": fits,
            "study": {
                "name": self.study.name, "seeds": list(self.study.seeds), "model": self.study.model,
                **({} if self.study.ldl is None else {"ldl": self.study.ldl}),
            },
            **self.study.report,
        }  # fmt: skip
        inputs = [options["comparison"], *corpora.values(), *fits.values()]
        self.add("report", "report", options, inputs, [options["out"]])
