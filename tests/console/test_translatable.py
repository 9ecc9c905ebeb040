"""Every word that people read can be translated: templates are read as text, forms and screens as code."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted([*(ROOT / "templates" / "console").rglob("*.html"), *(ROOT / "templates" / "cotton").glob("*.html")])
MODULES = sorted((ROOT / "kms" / "console").rglob("*.py"))
# Attributes that are read out or shown.
SPOKEN = frozenset({"alt", "aria-label", "label", "lead", "placeholder", "title"})
# What is the same in every language.
NAMES = frozenset(
    {
        "Keystead",
        "UTC",
        "Esc",
        "Ctrl",
        "URL",
        "CSV",
        "NDJSON",
        "PEM",
        "JSON",
        "curl",
        "SHA",
        "SAML",
        "LDAP",
        "Base",
        "OpenID",
        "Connect",
        "Splunk",
        "Python",
        "sdkms-cli",
    }
)
_ADDRESS = re.compile(r"\S+@example\.org")
_TRANSLATED = re.compile(r"{%\s*blocktrans(?:late)?\b.*?{%\s*endblocktrans(?:late)?\s*%}", re.DOTALL)
_COMMENT = re.compile(r"{%\s*comment\b.*?{%\s*endcomment\s*%}|{#.*?#}", re.DOTALL)
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
KEYWORDS = frozenset({"label", "help_text", "empty_label"})


class Reader(HTMLParser):
    """Collects what is shown: text outside of scripts and code, and spoken attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "code", "kbd", "pre"):
            self._silent.append(tag)
        self.found += [value for name, value in attrs if name in SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)


def bare_words(source: str) -> list[str]:
    """Words that stand in the template itself."""
    for pattern in (_COMMENT, _TRANSLATED, _TAG, _ADDRESS):
        source = pattern.sub("", source)
    reader = Reader()
    reader.feed(source)
    return [word for text in reader.found for word in _WORD.findall(text) if word not in NAMES]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_template_has_no_word_of_its_own(template: Path) -> None:
    assert bare_words(template.read_text()) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<p>{% translate "Hello" %} {{ name }}</p>', []),
        ("<p>{% blocktranslate %}Hello {{ name }}{% endblocktranslate %}</p>", []),
        ('<img alt="A key">', ["A key"]),
        ("<code>curl</code><script>var hello</script>", []),
    ],
)
def test_the_rule_sees_what_it_forbids(source: str, words: list[str]) -> None:
    assert bare_words(source) == [word for text in words for word in _WORD.findall(text)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_labels_and_toasts_are_marked(module: Path) -> None:
    bare = [
        f"{node.lineno}: {value.value!r}"
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        for value in [
            *(keyword.value for keyword in node.keywords if keyword.arg in KEYWORDS),
            *(node.args[:1] if isinstance(node.func, ast.Attribute) and node.func.attr == "say" else []),
        ]
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and _WORD.search(value.value)
    ]
    assert bare == []
