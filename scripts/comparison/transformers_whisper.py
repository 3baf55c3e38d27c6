"""Claims about transformers: its Whisper, generation, speech pipeline and trainer, on the demo's model.

`python -m comparison.transformers_whisper` prints the findings. Names are looked for in these parts of it alone.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
    pipeline,
)
from transformers.models.whisper.modeling_whisper import shift_tokens_right
from transformers.utils import logging

from comparison.claims import Claims
from comparison.listeners import DEMO, RATE, speech
from comparison.rows_listeners import WHISPER, rows_of

SPEECH = "transformers.pipelines.automatic_speech_recognition"
PARTS = [
    "transformers.models.whisper", "transformers.generation", SPEECH, "transformers.trainer",
    "transformers.trainer_seq2seq", "transformers.trainer_utils", "transformers.training_args",
    "transformers.training_args_seq2seq", "transformers.audio_utils", "transformers.data.data_collator",
]  # fmt: skip
LISTED = ("modeling", "generation", "tokenization", "feature_extraction", "processing")
claim = Claims(
    "transformers",
    PARTS,
    [
        "transformers",
        "transformers:WhisperForConditionalGeneration",
        "transformers.generation.watermarking",
        "transformers.generation.logits_process",
    ],
    [*(f"transformers.models.whisper.{one}_whisper" for one in LISTED), SPEECH, "transformers.trainer_seq2seq"],
)

logging.set_verbosity_error()
logging.disable_progress_bar()


@cache
def model(**options: Any) -> Any:
    return WhisperForConditionalGeneration.from_pretrained(DEMO / "model", **options).eval()


@cache
def tokenizer() -> Any:
    return WhisperTokenizer.from_pretrained(DEMO / "model")


@cache
def extractor() -> Any:
    return WhisperFeatureExtractor.from_pretrained(DEMO / "model")


@cache
def features() -> torch.Tensor:
    return extractor()(speech()[0], sampling_rate=RATE, return_tensors="pt").input_features


@cache
def written(**options: Any) -> Any:
    """Answers to four clips, with all that `generate` returns of them."""
    wanted = ("output_scores", "output_logits", "output_hidden_states", "output_attentions")
    given = {"return_dict_in_generate": True, **dict.fromkeys(wanted, True), **options}
    return model(attn_implementation="eager").generate(features(), **given)


def ids(text: str) -> list[int]:
    return tokenizer()(text).input_ids


@claim("tokens", "yes", "compute_transition_scores", "GenerationConfig(output_logits)")
def _() -> str:
    found = written()
    scores = model().compute_transition_scores(found.sequences, found.scores, normalize_logits=True)
    assert (scores <= 0).all()
    return "before and after suppression"


@claim("rank", "partly", "GenerationConfig(output_logits)")
def _() -> str:
    assert written().logits[0].shape == (4, model().config.vocab_size)
    return "by one's own arithmetic from the logits"


@claim("forced", "partly", "forward(labels)")
def _() -> str:
    labels = torch.tensor([ids(speech()[1][0])])
    with torch.no_grad():
        found = model()(input_features=features()[:1], labels=labels)
    log_p = found.logits[0].log_softmax(-1)[torch.arange(labels.shape[1]), labels[0]]
    assert float(found.loss) == pytest.approx(-float(log_p.mean()), rel=1e-4)
    return "the mean over a batch as its loss; of tokens by one's own arithmetic"


@claim("surprisal", "no", "BayesianDetectorModel")
def _() -> str:
    return "its `relative_surprisal` is of watermarks"


@claim("top_k", "partly", "GenerationConfig(output_logits, top_k)")
def _() -> str:
    assert written().logits[0].topk(5).indices.shape == (4, 5)
    return "all logits, in memory; its `top_k` is for drawing"


@claim("n_best", "yes", "GenerationConfig(num_beams, num_return_sequences)")
def _() -> None:
    found = written(num_beams=3, num_return_sequences=3)
    assert found.sequences_scores.shape == (12,)


@claim("lexicon", "partly", "PrefixConstrainedLogitsProcessor", "GenerationConfig(sequence_bias)")
def _() -> str:
    words = [ids(text) for text in speech()[1]]

    def allowed(batch: int, so_far: torch.Tensor) -> list[int]:
        said = so_far.tolist()
        after = {word[len(said)] for word in words if word[: len(said)] == said and len(word) > len(said)}
        return sorted(after) or [model().config.eos_token_id]

    found = model().generate(features(), prefix_allowed_tokens_fn=allowed, num_beams=2)
    assert set(tokenizer().batch_decode(found, skip_special_tokens=True)) <= set(speech()[1])
    return "an answer can be held to a list; the list's words get no probabilities"


@claim("hidden", "yes", "GenerationConfig(output_hidden_states)")
def _() -> str:
    assert len(written().decoder_hidden_states[0]) == model().config.decoder_layers + 1
    return "of every layer, in memory"


@claim("attention", "yes", "GenerationConfig(output_attentions)")
def _() -> str:
    assert written().cross_attentions[0][0].shape[0] == 4
    return "of every layer and head, encoder and decoder"


@claim("confidence", "no", "pipeline")
def _() -> str:
    assert set(recogniser()(speech()[0][0].copy())) == {"text"}
    return "its pipeline returns texts and times"


@cache
def recogniser() -> Any:
    return pipeline(
        "automatic-speech-recognition",
        model=model(),
        tokenizer=tokenizer(),
        feature_extractor=extractor(),
        device="cpu",
    )


@claim("times", "yes", "pipeline", "generate(return_token_timestamps)")
def _() -> str:
    with pytest.raises(ValueError, match="alignment_heads"):  # the demo's model names none
        recogniser()(speech()[0][0].copy(), return_timestamps="word")
    named = WhisperForConditionalGeneration.from_pretrained(DEMO / "model", attn_implementation="eager").eval()
    named.generation_config.alignment_heads = [[0, 0], [1, 1]]
    found = named.generate(features(), return_token_timestamps=True, return_dict_in_generate=True)
    assert found["token_timestamps"].diff().min() >= 0
    return "by cross-attention, where the model says by which heads"


@claim("long", "yes", "generate(condition_on_prev_tokens, temperature)")
def _() -> str:
    together = np.concatenate(speech()[0])
    sound = extractor()(
        together,
        sampling_rate=RATE,
        return_tensors="pt",
        truncation=False,
        padding="longest",
        return_attention_mask=True,
    )
    assert sound.input_features.shape[-1] > features().shape[-1]
    found = model().generate(sound.input_features, attention_mask=sound.attention_mask, return_timestamps=True)
    assert tokenizer().batch_decode(found, skip_special_tokens=True)[0]
    return "window after window, as openai-whisper, and of several clips at once; or in overlapping pieces"


@claim("vad", "no", "WhisperNoSpeechDetection")
def _() -> str:
    return "a probability that a window has none; such windows can be skipped"


@claim("language", "yes", "detect_language", "generate(language, task)")
def _() -> None:
    assert model().detect_language(features()).tolist() == [model().generation_config.lang_to_id["<|en|>"]] * 4


@claim("batch", "yes", "WhisperFeatureExtractor", "pipeline")
def _() -> None:
    assert len(written().sequences) == len(speech()[0])


@claim("alone", "yes", "generate")
def _() -> str:
    for i in range(4):
        alone = model().generate(features()[i : i + 1], return_dict_in_generate=True, output_logits=True)
        assert (alone.logits[0][0] - written().logits[0][i]).abs().max() < 1e-3
    return "but for rounding"


@claim("resume", "no", "Trainer.train(resume_from_checkpoint)")
def _() -> str:
    return "training alone"


def trainer(folder: str, data: list[dict[str, Any]], learner: Any, loss: Any = None, **options: Any) -> Any:
    given = {"max_steps": 1, "save_strategy": "no", "learning_rate": 1.0, **options}
    arguments = Seq2SeqTrainingArguments(
        folder, remove_unused_columns=False, use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1,
        max_grad_norm=0, optim="sgd", lr_scheduler_type="constant", **given,
    )  # fmt: skip
    return Seq2SeqTrainer(learner, arguments, train_dataset=data, data_collator=collate, compute_loss_func=loss)


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    longest = max(len(row["labels"]) for row in rows)
    padded = [row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows]
    labels = torch.tensor(padded)
    read = shift_tokens_right(labels, 0, 1)  # a loss of one's own takes the labels away from the model
    return {
        "input_features": torch.stack([row["features"] for row in rows]),
        "labels": labels,
        "decoder_input_ids": read,
    }


def fresh() -> tuple[Any, list[dict[str, Any]]]:
    """A tiny Whisper without dropout, always the same, and four clips with texts of four lengths."""
    torch.manual_seed(0)
    shape = {f"{half}_{name}": n for half in ("encoder", "decoder") for name, n in SIZES.items()}
    config = WhisperConfig(
        vocab_size=60, d_model=16, max_source_positions=10, max_target_positions=20, dropout=0.0, pad_token_id=0,
        bos_token_id=0, eos_token_id=0, decoder_start_token_id=1, suppress_tokens=None, **shape,
    )  # fmt: skip
    texts = [torch.randint(2, 60, (n,)).tolist() for n in (2, 9, 3, 12)]
    return WhisperForConditionalGeneration(config), [{"features": torch.randn(80, 20), "labels": one} for one in texts]


SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}


def stepped(size: int, loss: Any = None) -> torch.Tensor:
    """By how much a step of four clips, dealt out in batches of a size, moves the weights."""
    learner, data = fresh()
    before = torch.nn.utils.parameters_to_vector(learner.parameters()).detach().clone()
    with tempfile.TemporaryDirectory() as folder:
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 4 // size}
        trainer(folder, data, learner, loss, **options).train()
    return torch.nn.utils.parameters_to_vector(learner.parameters()).detach() - before


def summed_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    logits = outputs["logits"].flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels.flatten(), reduction="sum") / num_items_in_batch


@claim("finetune", "yes", "Seq2SeqTrainer", "Seq2SeqTrainingArguments")
def _() -> str:
    assert stepped(4).abs().max() > 0
    return "and any model of its own; data and labels are prepared by oneself"


@claim("loss", "no", "Trainer(compute_loss_func)")
def _() -> str:
    whole = stepped(4)
    for size in (2, 1):
        assert stepped(size).norm() / whole.norm() > 0.8 * 4 / size
        assert torch.allclose(stepped(size, summed_loss), whole, atol=1e-5)
    return (
        "of a Whisper the losses of the small batches are added up, not averaged: with four of them some four times "
        "the gradient (its issue 47688); right with a loss of one's own"
    )


@claim("adapters", "yes", "add_adapter", "load_adapter")
def _() -> str:
    from peft import LoraConfig

    learner, _data = fresh()
    learner.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))
    assert {name.split(".")[-3] for name, x in learner.named_parameters() if x.requires_grad} == {"lora_A", "lora_B"}
    return "by peft, and other kinds of adapters"


@claim("again", "yes", "Trainer.train(resume_from_checkpoint)", "TrainingArguments(save_steps)")
def _() -> str:
    found = []
    for stop in (0, 2):
        with tempfile.TemporaryDirectory() as folder:
            options = {"save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 2}
            if stop:
                trainer(folder, fresh()[1], fresh()[0], max_steps=stop, **options).train()
            one = trainer(folder, fresh()[1], fresh()[0], max_steps=3, **options)
            one.train(resume_from_checkpoint=bool(stop) or None)
            found.append(torch.nn.utils.parameters_to_vector(one.model.parameters()).detach())
    assert torch.equal(*found)
    return "when told to; a checkpoint that was being written is for oneself to find out"


@claim("trimmed", "no", "WhisperFeatureExtractor")
def _() -> str:
    with pytest.raises(ValueError, match="expects the mel input features to be of length"):
        model().model.encoder(features()[:, :, :100])
    return "the encoder refuses any other length"


@claim("large", "yes", "TrainingArguments(fsdp_config, deepspeed)", "BitsAndBytesConfig")
def _() -> str:
    return "each with a package beside it"


@claim("families", "yes", "AutoModel", "pipeline")
def _() -> str:
    assert len(list(CONFIG_MAPPING.keys())) > 300
    return "some hundreds: speech, text, images"


@claim("command", "partly", "cli.transformers.main")
def _() -> str:
    from transformers.cli.transformers import app

    assert {"serve", "chat"} <= set(app.commands)
    return "`transformers serve` answers requests, transcriptions among them; none for corpora or training"


@claim("device", "fact", "pipeline(device)", "TrainingArguments(use_cpu)")
def _() -> str:
    return "any of torch's devices; training on many, in many ways"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("transformers") or [] if "extra" not in one]
    assert not any(one.startswith("torch") for one in needed)
    return f"{len(needed)} distributions; torch, and accelerate to train, beside them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("transformers")["License"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("transformers")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=').removesuffix('.0')} or newer"


if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(WHISPER)))
