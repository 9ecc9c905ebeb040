"""Templates see their pod's secrets and nothing else, for a bounded time and size; no error quotes a value."""

from __future__ import annotations

import resource
import signal
import time

import pytest

from k8s.agent.formats import ContentUnfit
from k8s.agent.templates import MAX_OUTPUT, render
from k8s.agent.values import Value

CANARY = "canary-77e0"
VALUES = {
    "db": Value("SECRET", f'{{"user": "app", "password": "{CANARY}"}}'.encode()),
    "plain": Value("SECRET", CANARY.encode()),
    "bytes": Value("OPAQUE", b"\xff" + CANARY.encode()),
    "tls": Value("CERTIFICATE", b"der"),
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('{{ secrets["db"].json.user }}:{{ secrets.db.json["password"] }}', f"app:{CANARY}"),
        ('{{ secrets["plain"].text | b64encode }}', "Y2FuYXJ5LTc3ZTA="),
        ('{{ secrets["bytes"].value | b64encode }}={{ secrets["bytes"].base64 }}', "/2NhbmFyeS03N2Uw=/2NhbmFyeS03N2Uw"),
        ('{{ secrets["bytes"].hex }}', (b"\xff" + CANARY.encode()).hex()),
        ('{{ secrets["tls"].pem }}', "-----BEGIN CERTIFICATE-----\nZGVy\n-----END CERTIFICATE-----\n"),
        ('{{ {"p": secrets["plain"].text, "t": "<&>"} | tojson }}', f'{{"p":"{CANARY}","t":"<&>"}}'),
        ("{% for k, v in secrets.db.json.items() %}{{ k }}={{ v }}\n{% endfor %}", f"user=app\npassword={CANARY}\n"),
        ('{{ secrets["none"].text if "none" in secrets else "without" }}', "without"),
        ('{% if "none" in secrets %}{{ secrets["none"].text }}{% endif %}x', "x"),
        ('{{ secrets["plain"].text.upper() | replace("-", "_") }}\n', CANARY.upper().replace("-", "_") + "\n"),
    ],
)  # fmt: skip
def test_what_templates_are_for(template: str, text: str) -> None:
    assert render(template, VALUES).decode() == text


ESCAPES = [
    "{{ secrets.__class__ }}",
    "{{ secrets['plain'].__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ secrets['plain'].text.__init__.__globals__ }}",
    "{{ secrets['plain']._secret }}",
    "{{ secrets['plain']['_secret'].raw }}",
    "{{ secrets['plain'] | attr('_secret') }}",
    "{{ secrets['plain'] | attr('__init__') | attr('__globals__') }}",
    "{{ '%s' | format(secrets['plain']) | attr('__class__') }}",
    "{{ '{0.__class__}'.format(secrets['plain']) }}",
    "{{ '{0._secret.raw}'.format(secrets['plain']) }}",
    "{{ '{x._secret}'.format_map({'x': secrets['plain']}) }}",
    "{{ [secrets['plain']] | map(attribute='_secret') | list }}",
    "{{ secrets.clear() }}",
    "{{ secrets.update({'plain': 1}) }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__ }}",
    "{{ namespace() }}",
    "{{ range(10) }}",
    "{{ dict() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends '/etc/passwd' %}",
    "{{ config }}",
    "{{ request }}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
    "{{ 9 ** 99 }}",
    "{{ 'a' * 9 }}",
    "{{ [].append(1) }}",
    "{{ secrets['plain'].text | attr('format') }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_there_is_no_way_out_of_the_sandbox(template: str) -> None:
    try:
        told = render(template, VALUES).decode()
    except ContentUnfit as error:
        told = str(error)
    # Jinja gives some of these as nothing, or as the text of a method; none may show what is inside.
    for inside in (CANARY, "<class", "globals__'", "root:"):
        assert inside not in told


GREED = [
    "{% for a in secrets.big.text %}{% for b in secrets.big.text %}{% for c in secrets.big.text %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in secrets.big.text %}{{ secrets.big.text }}{% endfor %}",
    "{% set a = secrets.big.text %}" + "{% set a = a ~ a %}" * 30,
    "{{ 'x'.ljust(10000000000) }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '{:>10000000000}'.format(1) }}",
    "{{ 'x' | center(10000000000) }}",
    "{{ 'x' | indent(10000000000) }}",
    "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
    "{{ [" + "[" * 2000 + "]" * 2000 + "] }}",
]


@pytest.mark.parametrize("template", GREED)
def test_greed_ends_in_a_sentence_and_leaves_no_limit_behind(template: str) -> None:
    limits, handler = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)
    began = time.process_time()
    told = "the template "
    try:
        assert len(render(template, {"big": Value("SECRET", b"y" * 4000)})) <= MAX_OUTPUT
    except ContentUnfit as error:
        told = str(error)
    assert told.startswith("the template ")
    assert time.process_time() - began < 30
    assert resource.getrlimit(resource.RLIMIT_AS) == limits
    assert signal.getsignal(signal.SIGALRM) is handler


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("\n\n{{ secrets['none'].text }}", "names a secret 'none' at line 3"),
        ("\n{{ secrets[secrets.plain.text].text }}", "at line 2: something that it names is not there"),
        ("{{ secrets.plain.json }}", "the secret 'plain' is not JSON"),
        ("{{ secrets.bytes.text }}", "the secret 'bytes' is not text"),
        ("{{ secrets.plain.pem }}", "neither a certificate"),
        ("{{ secrets.plain.text | int / 0 }}", "fails at line 1: ZeroDivisionError"),
        ("{{ secrets.db.json[secrets.plain.text] }}", "something that it names is not there"),
        ("{{ raise(secrets.plain.text) }}", "something that it names is not there"),
        ("{{ nothing }}", "something that it names is not there"),
        ("\n{% if %}", "not well-formed at line 2"),
        ("{{ secrets.plain.text | nothing }}", "not well-formed|fails"),
        ("{{ {}[secrets.plain.text] }}", "something that it names is not there"),
    ],
)
def test_an_error_says_where_and_quotes_no_value(template: str, words: str) -> None:
    with pytest.raises(ContentUnfit, match=words) as caught:
        render(template, VALUES)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
