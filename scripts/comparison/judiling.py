"""What was read of JudiLing.jl, which is written in Julia and is not run here.

`python -m comparison.judiling` prints the answers. `python -m comparison.judiling FOLDER` holds them to a checkout:
version and commit, that every function named is defined with these arguments, and that no word of its source matches
the pattern of a question that has a plain "no". The tests have no checkout, and repeat the answers only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from comparison.claims import Finding
from comparison.rows_listeners import LEXICON, rows_of

VERSION = "1.0.1"
COMMIT = "8d77280"

READ: dict[str, Finding] = {
    "lms": Finding("yes", ("wh_learn(eta, n_epochs, weights, learn_seq)", "make_learn_seq")),
    "rescorla": Finding("partly", ("pyndl(alpha, betas)",), "by pyndl, which is called through PyCall"),
    "endstate": Finding(
        "yes",
        ("make_transform_matrix(method, shift, multiplier)", "make_transform_fac"),
        "by Cholesky, with a constant added to the diagonal or multiplied with it",
    ),
    "fil": Finding("yes", ("make_transform_matrix(freq)", "make_learn_seq(freq)")),
    "deep": Finding("yes", ("get_and_train_model", "fiddl", "predict_from_deep_model"), "by Flux"),
    "cfbsf": Finding(
        "partly",
        ("make_cue_matrix_from_CFBS", "make_combined_cue_matrix_from_CFBS"),
        "a matrix of summaries that were made elsewhere",
    ),
    "letters": Finding("yes", ("make_cue_matrix(grams, tokenized)", "make_combined_cue_matrix"), "or of syllables"),
    "simulated": Finding("yes", ("make_S_matrix", "make_L_matrix", "make_pS_matrix")),
    "fasttext": Finding(
        "yes",
        ("load_S_matrix_from_fasttext", "load_S_matrix_from_fasttext_file", "load_S_matrix_from_word2vec_file"),
        "vectors as text",
    ),
    "understood": Finding("yes", ("eval_SC", "eval_SC_loose", "accuracy_comprehension", "write_comprehension_eval")),
    "measures": Finding(
        "partly", ("learn_paths(check_gold_path)", "Gold_Path_Info_Struct"), "the support of a word's own n-grams"
    ),
    "produce": Finding(
        "yes", ("learn_paths", "build_paths", "learn_paths_rpi"), "whole paths, ranked by what they would mean"
    ),
    "stream": Finding("no", ("preprocess_ndl",), "files of events are written for pyndl"),
    "sparse": Finding("yes", ("make_cue_matrix", "make_transform_matrix(output_format, sparse_ratio)")),
    "parallel": Finding(
        "partly", ("eval_can", "get_and_train_model"), "threads where paths are ranked; GPUs for deep mappings"
    ),
    "again": Finding("partly", ("wh_learn(weights)",), "weights can be where learning goes on"),
    "command": Finding("no", ("test_combo",), "one function for a whole experiment"),
    "requires": Finding("fact", (), "Julia 1.9 to 1.12 and 19 packages, Flux among them; PyCall and pyndl beside them"),
    "licence": Finding("fact", (), "MIT"),
    "python": Finding("fact", (), "1.0.1, Julia"),
}


def words_of(folder: Path) -> frozenset[str]:
    """Every word of its source, comments included."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((folder / "src").glob("*.jl")))
    return frozenset(re.findall(r"[^\W\d]\w*", source))


def definitions(folder: Path) -> dict[str, str]:
    """For every function and type, the arguments of all its methods as they are written."""
    found: dict[str, str] = {}
    for path in sorted((folder / "src").glob("*.jl")):
        text = path.read_text(encoding="utf-8")
        for kind, name in re.findall(r"^(function|struct) (\w+)", text, re.MULTILINE):
            for part in re.split(rf"^{kind} {name}\b", text, flags=re.MULTILINE)[1:]:
                found[name] = found.get(name, "") + part.partition("\nend")[0][:2000]
    return found


def check(folder: Path) -> int:
    """Hold the answers to a checkout, and return how many words were searched."""
    commit = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert commit.stdout.startswith(COMMIT), commit.stdout
    project = (folder / "Project.toml").read_text(encoding="utf-8")
    assert f'version = "{VERSION}"' in project
    assert project.partition("[deps]")[2].partition("[compat]")[0].count(" = ") == 19
    words, defined = words_of(folder), definitions(folder)
    for row, pattern in rows_of(LEXICON):
        if row in READ:
            for name in READ[row].names:
                function, _, arguments = name.rstrip(")").partition("(")
                assert all(one in defined[function] for one in arguments.split(", ")), name
        else:
            found = sorted(word for word in words if re.search(pattern, word, re.IGNORECASE))
            assert not found, f"{row}: {found[:8]}"
    return len(words)


def report() -> str:
    """The answers as JSON, as `Claims.report` gives them."""
    found = {row: READ.get(row, Finding("no")) for row, _ in rows_of(LEXICON)}
    plain = {row: [one.verdict, list(one.names), one.says] for row, one in found.items()}
    return json.dumps({"version": VERSION, "names": 0, "findings": plain, "unmentioned": []})


if __name__ == "__main__":
    sys.stdout.write(f"{check(Path(sys.argv[1]))} words searched\n" if sys.argv[1:] else report())
