"""The questions of the comparison of listeners: Whisper and text models, then discriminative lexicons.

As in `rows`: where nothing is claimed of a package, none of its names may match the pattern.
"""

from __future__ import annotations

from comparison.rows import Row

WHISPER: dict[str, tuple[Row, ...]] = {
    "Reading the model": (
        Row("tokens", "Probability of every token that is written"),
        Row("rank", "Rank of a token in the whole vocabulary, and entropy over it"),
        Row("surprisal", "Surprisal", r"surprisal"),
        Row("forced", "Probability of a given text (teacher forcing)", r"teacher|forced"),
        Row("variants", "Probability of a word: its spellings added up", r"spelling_variant|text_variants"),
        Row("word_end", "Probability of a word: that it is over counts", r"word_end|end_of_word|bow_correction"),
        Row("top_k", "The most probable tokens at every step", r"^top_?k$"),
        Row("n_best", "Several answers, each with its probability", r"n_?best|num_return_seq"),
        Row("lexicon", "Words of a list compete, each with its probability", r"lexicon|competitor"),
        Row("hidden", "Decoder states of every token", r"hidden_states"),
        Row("lens", "Every decoder layer read through the head (logit lens)", r"logit_?lens|layer_logits"),
        Row("attention", "Attention weights", r"attentions$|attention_weights"),
    ),
    "Words and time": (
        Row("confidence", "Confidence of a word", r"word_(confidence|prob|score)"),
        Row("times", "Times of the words that are written", r"word_timestamps"),
        Row("align", "Times of the words of a given text", r"find_alignment|forced_align|align_corpus"),
        Row("long", "Sound longer than the model's window", r"long_?form"),
        Row("vad", "Stretches without speech are cut out first", r"(^|_)vad(_|$)|voice_activity"),
        Row("disfluencies", "Marks for hesitations that are not written", r"disfluen"),
        Row("subtitles", "Subtitles", r"subtitle|(^|_)srt"),
        Row("language", "The language is detected; speech is translated", r"detect_language|translate"),
    ),
    "Corpora": (
        Row("batch", "Clips of unequal length in one call"),
        Row("alone", "The same numbers in any batch and order"),
        Row("resume", "A corpus: in parts, resumed after a kill, failures counted", r"resum|shard"),
        Row("tables", "Results as tables", r"parquet|write_csv|to_csv|tsv"),
        Row("hearing", "Heard through a hearing loss, on the fly", r"hearing|audiogram|hfloss"),
        Row(
            "compare",
            "Models and conditions compared, with intervals and people's responses",
            r"confidence_interval|^people|^effects$",
        ),
    ),
    "Training": (
        Row("finetune", "Whisper is trained further", r"fine_?tun|^trainer$|training_?arg"),
        Row("loss", "A step dealt out in small batches has the gradient of the whole", r"accumulat"),
        Row("adapters", "Low-rank adapters", r"lora|adapter"),
        Row("again", "Training goes on where it was killed", r"resume|checkpoint"),
        Row("trimmed", "Short clips without the silence that fills the window", r"trimmed"),
        Row("large", "Models larger than one GPU: FSDP, DeepSpeed, quantised weights", r"fsdp|deepspeed|quantiz"),
    ),
    "Around": (
        Row("families", "Models other than Whisper"),
        Row("command", "A command line"),
        Row("device", "GPU"),
        Row("requires", "Needs"),
        Row("licence", "Licence"),
        Row("python", "Version and Python"),
    ),
}

LEXICON: dict[str, tuple[Row, ...]] = {
    "Learning": (
        Row("lms", "Widrow-Hoff (LMS), event by event"),
        Row("rescorla", "Rescorla-Wagner: cues and outcomes are symbols"),
        Row("nlms", "Steps scaled by the cues' energy (NLMS)", r"nlms|normali[sz]ed_lms"),
        Row("block", "Many events at once, with the weights of one by one", r"(^|_)blocks?(_|$)"),
        Row("endstate", "Where learning ends, solved", r"endstate|transform_matrix|gen_fmat"),
        Row("fil", "Frequency-informed learning", r"freq"),
        Row("deep", "Mappings that are not linear", r"deep|neural|flux|fiddl"),
    ),
    "Cues and meanings": (
        Row("cfbsf", "Cues from sound: continuous frequency band summaries", r"cfbs|band_summar|chunk_bound"),
        Row("log_mel", "Cues from sound: log-mels", r"(^|_)mel(_|s|$)|spectrogram"),
        Row("letters", "Cues from letters: n-grams", r"n_?grams?$|trigram"),
        Row("simulated", "Meanings: simulated from features", r"sim|make_s_matrix"),
        Row("fasttext", "Meanings: fastText and other files of vectors", r"fasttext|word2vec|embeddings?$"),
        Row("whisper", "Meanings: from a Whisper", r"whisper"),
    ),
    "Understanding and speaking": (
        Row("understood", "Which word was understood, its rank, accuracy", r"accuracy|eval_sc|meaning_measures"),
        Row("measures", "Uncertainty, functional load, semantic support for form", r"uncertain|functional_load"),
        Row("produce", "A meaning is spoken: cues put in order", r"paths$|^produce$"),
        Row("hearing", "Sound heard through a hearing loss", r"hearing|audiogram|hfloss"),
    ),
    "Scale": (
        Row("stream", "More events than memory holds", r"memmap|event_file|mmap"),
        Row("sparse", "Sparse matrices", r"sparse"),
        Row("parallel", "Threads, processes, GPUs"),
        Row("again", "Killed, it goes on and ends with the same weights", r"checkpoint|resume"),
        Row("command", "A command line"),
        Row("requires", "Needs"),
        Row("licence", "Licence"),
        Row("python", "Version and language"),
    ),
}


def rows_of(topics: dict[str, tuple[Row, ...]]) -> list[tuple[str, str]]:
    """Ids and patterns of all questions of a table."""
    return [(row.id, row.pattern) for rows in topics.values() for row in rows]
