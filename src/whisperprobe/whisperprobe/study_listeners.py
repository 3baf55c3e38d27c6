"""How a study's listeners are trained: the tables [finetune], [model.from_scratch] and [ldl], each as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.study_schema import check_table

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["read_ldl", "read_training"]

_STEPPED = ("nlms", "lms")  # rules that learn event by event
_BELONGS = {  # keys that only some rules have
    **dict.fromkeys(("rate", "epochs", "shuffle", "block", "save_every"), _STEPPED),
    "epsilon": ("nlms",),
    "ridge": ("endstate", "fil"),
    "frequencies": ("fil",),
}
_CFBSF = ("boundary", "sampling", "top_hz")  # keys that only these cues have


def read_training(table: str, values: object, file: str) -> dict[str, Any]:
    """Read how a Whisper is trained: everything that `finetune` would refuse whatever the corpus is refused here.

    Raises
    ------
    InputError
        For unknown keys, wrong values, values that exclude or need each other.
    """
    from whisperprobe.training.adapters import Lora
    from whisperprobe.training.augment import Augmentation
    from whisperprobe.training.options import check_options, chosen_precision
    from whisperprobe.training.recipes import settings

    training = check_table(table, values, file)
    given = [key for key in ("epochs", "max_steps") if key in training]
    if len(given) != 1 and not (not given and "recipe" in training):  # a recipe has a length
        problem = "neither epochs nor max_steps" if not given else "both epochs and max_steps"
        raise InputError(f"table [{table}] of {file} gives {problem}; give one of them: how long the training lasts.")
    start: dict[str, Any] = {"model": "a model"} if table == "finetune" else {"from_config": {}}
    try:
        Augmentation.of(training.get("augment"))
        Lora.of(training.get("lora"))
        check_options({"evaluate": True, **settings(training.get("recipe"), training), **start})
        if training.get("device") == "cpu":
            chosen_precision(training.get("precision", "auto"), "cpu")
    except InputError as error:
        raise InputError(f"table [{table}] of {file}: {error}") from None
    return training


def read_ldl(values: object, conditions: tuple[Condition, ...], file: str) -> dict[str, Any]:
    """Read which discriminative lexicons listen beside Whisper, and how they learn.

    Raises
    ------
    InputError
        For unknown keys, wrong values, keys that the rule or the cues do not have, conditions whose names are labels
        of these listeners.
    """
    ldl = check_table("ldl", values, file)
    rule, where = ldl["rule"], f"table [ldl] of {file}"
    for key, rules in _BELONGS.items():
        if key in ldl and rule not in rules:
            raise InputError(
                f"{where} gives {key!r}, which belongs to the rule {' or '.join(map(repr, rules))}, and the rule is "
                f"{rule!r}. Leave it out, or take another rule."
            )
    if rule == "fil" and "frequencies" not in ldl:
        raise InputError(
            f"{where} lacks 'frequencies': the rule 'fil' needs a table of words and how often they occur."
        )
    if rule == "nlms" and ldl.get("rate", 0) >= 2:
        raise InputError(f"{where}, key 'rate': received {ldl['rate']}; 'nlms' takes rates below 2.")
    if "cfbsf" not in ldl["cues"]:
        for key in _CFBSF:
            if key in ldl:
                raise InputError(f"{where} gives {key!r}, which belongs to 'cfbsf', and the cues are {ldl['cues']}.")
    _check_values(ldl, where)
    for condition in conditions:
        if condition.name == "ldl" or condition.name.startswith("ldl-"):
            raise InputError(
                f"{file}: with [ldl] a condition cannot be called {condition.name!r}, as its listeners are. Choose "
                "another name."
            )
    return ldl


def _check_values(ldl: dict[str, Any], where: str) -> None:
    """Refuse what cues and semantics would refuse whatever the corpus, by their own checks."""
    from whisperprobe.ldl.cues_summaries import BandSummaries
    from whisperprobe.ldl.semantics import WHISPER, whisper_model

    try:
        BandSummaries(**{key: ldl[key] for key in _CFBSF if key in ldl})
    except InputError as error:
        raise InputError(f"{where}: {error} Left out, top_hz is {BandSummaries.top_hz:g}.") from None
    if ldl["semantics"].startswith(WHISPER):
        try:
            whisper_model(ldl["semantics"])
        except InputError as error:
            raise InputError(f"{where}, key 'semantics': {error} The study's own base model is \"whisper\".") from None
