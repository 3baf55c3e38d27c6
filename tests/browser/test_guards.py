"""What watches the pages sees what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = "<!DOCTYPE html><html lang='en'><head><title>A page</title></head><body><main><h1>A</h1>{}</main></body></html>"


@pytest.mark.parametrize(
    "element",
    [
        "<img src='https://example.org/a.png' alt='a'>",
        "<link rel='stylesheet' href='https://example.org/a.css'>",
        "<script>fetch('http://127.0.0.1:9/')</script>",
        "<script>new WebSocket('wss://example.org/')</script>",
        "<script>navigator.sendBeacon('https://example.org/')</script>",
        "<iframe title='a' src='https://example.org/'></iframe>",
    ],
)
def test_a_request_is_seen_and_refused(element, tmp_path, visit):
    (tmp_path / "page.html").write_text(PAGE.format(element))
    page = visit(tmp_path / "page.html")
    page.wait_for_load_state("networkidle")
    assert len(visit.requests) >= 1
    visit.requests.clear()
    visit.complaints.clear()


@pytest.mark.parametrize(
    "script", ["console.error('so')", "console.warn('so')", "throw new Error('so')", "nothing.at.all"]
)
def test_a_complaint_is_heard(script, tmp_path, visit):
    (tmp_path / "page.html").write_text(PAGE.format(f"<script>{script}</script>"))
    visit(tmp_path / "page.html")
    assert len(visit.complaints) == 1
    visit.complaints.clear()


@pytest.mark.parametrize(
    ("rule", "element"),
    [
        ("image-alt", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"),
        ("color-contrast", "<p style='color: #999; background: #fff'>pale</p>"),
        ("target-size", "<button style='width: 9px; height: 9px; padding: 0; margin: 0'>a</button>" * 2),
        ("heading-order", "<h4>deep</h4>"),
    ],
)
def test_a_barrier_is_found(rule, element, tmp_path: Path, visit, audit):
    (tmp_path / "page.html").write_text(PAGE.format(element))
    assert audit(visit(tmp_path / "page.html")).startswith(rule)


def test_contrast_is_looked_at_alone_or_not_at_all(tmp_path: Path, visit, audit):
    both = "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><p style='color: #999; background: #fff'>pale</p>"
    (tmp_path / "page.html").write_text(PAGE.format(both))
    page = visit(tmp_path / "page.html")
    alone, without = audit(page, "contrast"), audit(page, "structure")
    assert ("color-contrast" in alone, "image-alt" in alone) == (True, False)
    assert ("color-contrast" in without, "image-alt" in without) == (False, True)


def test_a_page_without_barriers_is_let_pass(tmp_path: Path, visit, audit):
    (tmp_path / "page.html").write_text(PAGE.format("<p>Text</p>"))
    assert audit(visit(tmp_path / "page.html")) == ""
