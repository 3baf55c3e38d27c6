"""The questions of the comparison, by topic.

Each has a pattern: where nothing is claimed of a package, none of its names may match it (regular expression, found
anywhere in a name, in any case). A question without a pattern needs a claim for every package.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One question."""

    id: str
    question: str
    pattern: str = ""


TOPICS: dict[str, tuple[Row, ...]] = {
    "What an audiogram holds": (
        Row("thresholds", "Thresholds in dB HL, at any frequencies"),
        Row("checked", "Values that are no audiogram are refused"),
        Row("bone", "Bone conduction, at frequencies of its own", r"(^|_)bone(_|$)"),
        Row("masked", "Which thresholds were masked", r"^masked$|_masked$"),
        Row("no_response", "Which tones had no response", r"no_?response|^nr$|_nr$"),
        Row("fixed", "Cannot be changed by accident; equal ones are equal and can be keys"),
        Row("two_ears", "Two ears of one listener, with id, date and source"),
        Row("meta", "Any further data with the record", r"^meta$"),
        Row(
            "fields",
            "Thresholds in the sound field and with an implant",
            r"^sound_?field$|cochlear_implant|aided",
        ),
        Row(
            "speech_tests",
            "Speech audiometry: reception threshold, word scores",
            r"^srt$|^wrs|word_recog",
        ),
        Row("interpolation", "Thresholds between the measured frequencies", r"interpol|resample|scale_fn"),
    ),
    "Measures": (
        Row("pta", "Average over 0.5, 1, 2 (and 4) kHz", r"^pta|pure_?tone"),
        Row("aao", "Average of the AAO-HNS, 2 and 4 kHz for a missing 3 kHz", r"aao"),
        Row("any_list", "Average over any list of frequencies", r"^pta|pure_?tone"),
        Row("missing", "A missing frequency is not passed over in silence", r"^pta|pure_?tone"),
        Row("bound", "An average with a tone not heard is given as a bound", r"at_?least|bound|censored"),
        Row("who", "Grade of the WHO (2021): from 20, 35, 50, 65, 80, 95 dB", r"^who_?\d|grade"),
        Row("unilateral", "The WHO's unilateral loss", r"unilateral"),
        Row("msbg_severity", "Severity by which the MSBG simulation chooses its filters", r"severity"),
        Row("gap", "Air-bone gap, by frequency and on average", r"^abg|bone_gap"),
        Row("gap_warning", "Warning where bone conduction of a gap was not masked", r"mask_warning|unmasked_bone"),
        Row("loss_type", "Conductive, sensorineural or mixed", r"loss_type|sensorineural"),
        Row("asymmetry", "Criteria of asymmetry by name", r"asymmetr"),
        Row("own_criteria", "A criterion of one's own", r"asymmetry_?criteri"),
        Row("summary", "All measures as one row, measures of one's own among them", r"summary_metric|compute_summary"),
        Row("sii", "Speech intelligibility index (ANSI S3.5-1997), with noise", r"^sii|_sii$|intelligibility_index"),
        Row("matched", "One loss scaled to another's severity", r"match(ed)?_(loss|ear|audiogram|pta|sii)|^matched$"),
    ),
    "Where audiograms come from": (
        Row("standard", "Standard audiograms of Bisgaard et al. (2010)", r"bisgaard"),
        Row("iso7029", "Thresholds by age, sex and percentile (ISO 7029:2017)", r"iso_?7029|presby|percentile_thr"),
        Row("random", "Random audiograms, for augmentation and populations", r"random_?audiogram|audiogram_?sampl"),
        Row(
            "transducers",
            "0 dB HL in dB SPL, by transducer and field",
            r"retspl|tdh_?39|hda_?200|spl_from_hl|hl_to_spl",
        ),
    ),
    "Interchange": (
        Row("json", "JSON without loss, there and back"),
        Row("tables", "Tables, a row per listener or per threshold", r"wide_row|long_row|to_table"),
        Row("clinic", "The column names of a clinic's export", r"column_map"),
        Row("no_pandas", "Tables as plain rows, for any table library", r"wide_row|long_row|to_rows"),
        Row("fhir", "FHIR Observations with LOINC codes, there and back", r"fhir|loinc"),
        Row("clarity_file", "Listeners' files of the Clarity challenges", r"listener_dict|audiogram_cfs"),
        Row("text", "A preset, a file or `500:20,4000:60`, wherever an audiogram is asked for", r"parse_audiogram"),
    ),
    "Figures": (
        Row("chart", "Clinical audiogram: symbols, masked, no response, bone conduction", r"plot_ear|plot_audiogram"),
        Row("banana", "Speech levels and grades shaded in it", r"banana|shade_bands"),
        Row("styles", "Styles: black and white, two panels, to 20 kHz", r"plot_style|two_panel"),
        Row("plot_gain", "A filter's gain over frequency and level", r"plot_gain|plot_response"),
        Row("plot_spectrograms", "Spectrograms before and after", r"plot_spec"),
    ),
    "Hearing-loss filters": (
        Row("attenuation", "Attenuation by the thresholds, exact in the STFT domain", r"^attenuat"),
        Row("floor", "Audibility floor: noise hides what is below threshold", r"threshold_noise|audibility_floor"),
        Row("smearing", "Spectral smearing (Baer and Moore 1993)", r"smear"),
        Row("recruitment", "Loudness recruitment (Moore and Glasberg 1993)", r"recruitment"),
        Row("msbg", "The Cambridge chain (MSBG): ear, smearing, gammatone bank, recruitment, and back", r"msbg"),
        Row(
            "conductive",
            "Conductive and mixed losses: the gap before the cochlea",
            r"conductive_(loss|filter)|mixed_loss",
        ),
        Row("level", "Level in dB SPL is given, and nothing else sets it"),
        Row("rates", "Any sampling rate"),
        Row("length", "Output as long as the input"),
        Row("delay", "No delay"),
        Row("silence", "Silence stays silence"),
        Row("tone", "A steady tone is filtered like other sound"),
        Row("short", "Clips of a few milliseconds"),
        Row("beyond", "A loss of 105 dB and more stays finite"),
        Row("batch", "Many clips in one call"),
        Row("ear_per_row", "An ear of its own for every clip of a batch"),
        Row("tensors", "torch tensors in, tensors on the same device out"),
        Row("gradient_sound", "Differentiable in the sound"),
        Row("gradient_thresholds", "Differentiable in the thresholds, which can be trained"),
        Row("together", "Several conditions of one sound share work", r"apply_conditions|^together$"),
        Row("threads", "As many threads as are asked for", r"set_threads|n_threads"),
        Row("calibration", "Calibration tone and noise before the sound", r"calibration_sig"),
    ),
    "Conditions and corpora": (
        Row(
            "conditions",
            "A condition as data: ear, filter, options, level, noise",
            r"^condition",
        ),
        Row("noise", "Masking noise mixed in at a signal-to-noise ratio", r"snr|masker"),
        Row("seeds", "Random choices follow from a seed and the clip's id alone, in any batch and order", r"^seed$"),
        Row("corpora", "A whole corpus filtered, resumable, to Parquet", r"parquet|mask_corpus"),
        Row("sound", "Sound files read, resampled and written", r"read_(signal|sound|wav)|write_(signal|sound|wav)"),
    ),
    "Around": (
        Row("aids", "Hearing aids, and measures of their quality", r"haspi|hasqi|haaqi|stoi|^nal_?r|hearing_?aid"),
        Row("plugins", "Filters of other packages by name", r"entry_?points|plugin"),
        Row("conformance", "A test suite that every filter can be held to", r"conformance"),
        Row("command", "A command line"),
        Row("typed", "Type annotations for users (`py.typed`)"),
        Row("requires", "Needs"),
        Row("licence", "Licence"),
        Row("python", "Version and Python"),
    ),
}

ROWS = tuple(row for rows in TOPICS.values() for row in rows)
