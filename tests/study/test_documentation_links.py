"""What checks the built pages finds every kind of broken link, and whatever a page would load from a network."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "check_links.py"


@pytest.fixture(scope="module")
def check_links() -> Any:
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages, a style sheet and a picture, all of them sound."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "template.html").write_text('<a href="{{ pathto }}">of the theme</a>')
    (tmp_path / "look.css").write_text("body { background: url('p%20q.png') } i { background: url(data:image/png,x) }")
    (tmp_path / "p q.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="look.css?digest=1"><link rel="next" href="sub/two.html">'
        '<h1 id="start">One</h1><a href="#start">here</a><a href="sub/two.html#%C3%BC">there</a><a href="#top">up</a>'
        '<a href="https://example.org/gone#x">elsewhere</a><a href="mailto:a@example.org">write</a>'
        '<img srcset="p%20q.png 1x, p%20q.png 2x" src="p%20q.png"><a href="sub/">folder</a>'
    )
    (tmp_path / "sub" / "two.html").write_text('<p id="ü">Two</p><a href="../index.html">back</a>')
    (tmp_path / "sub" / "index.html").write_text('<a name="old" href="two.html">Two</a>')
    return tmp_path


def test_sound_pages_pass_and_links_to_other_sites_are_only_counted(
    check_links: Any, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_links.main([str(site)]) == 0
    assert capsys.readouterr().out == (
        "3 pages, 3 anchors, 7 links within, 2 links outside, 6 files loaded; 0 problems\n"
    )


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('<a href="three.html">x</a>', "three.html does not exist"),
        ('<a href="sub/two.html#u">x</a>', "sub/two.html#u has no such anchor"),
        ('<a href="#nowhere">x</a>', "#nowhere has no such anchor"),
        ('<a href="../outside.html">x</a>', "../outside.html leaves the folder of the pages"),
        ('<a href="/home/me/page.html">x</a>', "is an address on the machine that built the pages"),
        ('<a href="file:///home/me/page.html">x</a>', "is an address on the machine that built the pages"),
        ('<link rel="prev" href="gone.html">', "gone.html does not exist"),
        ('<script src="https://cdn.example.org/m.js"></script>', "example.org/m.js is loaded from a network"),
        ('<script src="//cdn.example.org/m.js"></script>', "//cdn.example.org/m.js is loaded from a network"),
        ('<link rel="preload stylesheet" href="https://fonts.example.org/f.css">', "is loaded from a network"),
        ('<link rel="preconnect" href="https://fonts.example.org">', "is loaded from a network"),
        ('<img src="a.png">', "a.png does not exist"),
        ('<img src="p%20q.png" srcset="https://example.org/2.png 2x">', "https://example.org/2.png is loaded"),
        ('<p style="background: url(https://example.org/b.png)">x</p>', "https://example.org/b.png is loaded"),
        ("<style>@import 'https://example.org/c.css';</style>", "https://example.org/c.css is loaded from a network"),
        ('<video poster="gone.png" src="data:video/mp4,x"></video>', "gone.png does not exist"),
    ],
)
def test_everything_amiss_is_named_with_its_page(
    check_links: Any, site: Path, capsys: pytest.CaptureFixture[str], added: str, said: str
) -> None:
    with (site / "index.html").open("a") as page:
        page.write(added)
    assert check_links.main([str(site)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("index.html: ")
    assert said in first
    assert last.endswith("; 1 problems")


def test_style_sheets_are_looked_into(check_links: Any, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "sub" / "more.css").write_text('@font-face { src: url("https://fonts.example.org/a.woff2") } i { top: 0 }')
    assert check_links.main([str(site)]) == 1
    assert "sub/more.css: https://fonts.example.org/a.woff2 is loaded from a network" in capsys.readouterr().out


def test_a_folder_without_pages_is_refused(
    check_links: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_links.main([str(tmp_path)]) == 2
    assert check_links.main([]) == 2
    assert "index.html that sphinx-build wrote" in capsys.readouterr().err
