"""Reading a report in tests: elements and texts, packed columns value by value; and small comparisons for reports."""

from __future__ import annotations

import base64
import gzip
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from whisperprobe.comparison import Comparison

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "col"}


class Page(HTMLParser):
    """Elements with their attributes and text; complains about elements that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.open: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, [self.elements[i][0] for i in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open[-1]][0] == tag, f"</{tag}> closes <{self.elements[self.open[-1]][0]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.texts[index] = self.texts.get(index, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [self.texts.get(i, "") for i, (name, _) in enumerate(self.elements) if name == tag]

    def text_in(self, element_id: str) -> str:
        return self.texts.get(next(i for i, (_, a) in enumerate(self.elements) if a.get("id") == element_id), "")

    def json_of(self, element_id: str) -> Any:
        return json.loads(self.text_in(element_id))

    def rows_of(self, element_id: str) -> list[dict[str, Any]]:
        return unpacked(self.text_in(element_id))


def unpacked(text: str) -> list[dict[str, Any]]:
    """Rows of packed columns, read as the format is described, value by value."""
    data = gzip.decompress(base64.b64decode(text))
    line, _, body = data.partition(b"\n")
    header = json.loads(line)
    rows: list[dict[str, Any]] = [{} for _ in range(header["rows"])]
    for column in header["columns"]:
        size = int(column["type"][1])
        for i, row in enumerate(rows):
            number = int.from_bytes(body[i * size : (i + 1) * size], "little")
            if number == 256**size - 1:
                row[column["key"]] = None
            elif number == 256**size - 2 and column.get("infinite"):
                row[column["key"]] = math.inf
            elif "dictionary" in column:
                row[column["key"]] = header["dictionaries"][column["dictionary"]][number]
            else:
                row[column["key"]] = (column["least"] + number) / 10 ** column["decimals"]
        body = body[-(-len(rows) * size // 4) * 4 :]
    assert not body
    return rows


def small(rows: list[tuple[str, str, str, str, float]]) -> Comparison:
    """A comparison of (model, condition, clip id, word, bits); right where the bits are below 5."""
    clips = pd.DataFrame(rows, columns=["model", "condition", "clip_id", "word", "word_surprisal"])
    clips = clips.assign(
        listener="whisper", seed=pd.array([1] * len(clips), dtype="Int64"), text=clips["word"],
        prediction=clips["word"], correct=clips["word_surprisal"] < 5, word_mean_rank=1.0,
    )  # fmt: skip
    models, conditions = (tuple(dict.fromkeys(clips[c])) for c in ("model", "condition"))
    return Comparison(clips, models, conditions, resamples=100)
