"""Templates of whoever writes the pod's annotations, over that pod's own secrets and nothing else.

The sandbox reaches no file, module or attribute beyond a value's forms; output, time and memory are bounded. It must
not know files or how a secret is fetched. An error's text is never Jinja's own at run time: that quotes values.
"""

from __future__ import annotations

import base64
import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from k8s.agent.formats import ContentUnfit
from k8s.agent.values import Value, ValueUnfit, json_of

MAX_OUTPUT = 1024 * 1024  # as a Kubernetes Secret's
_SECONDS = 2.0
_MEMORY = 64 * 1024 * 1024
_FORMS = frozenset({"value", "text", "base64", "hex", "pem", "json"})
_PLAIN = (str, bytes, list, tuple, dict, int, float, bool)


class _TooLong(BaseException):
    """The template ran out of its time. Nothing on the way takes it for an error of its own."""


class _Shown:
    """One secret as a template sees it."""

    __slots__ = ("_key", "_secret")

    def __init__(self, key: str, secret: Value) -> None:
        self._key, self._secret = key, secret

    @property
    def value(self) -> bytes:
        return self._secret.raw

    def __getattr__(self, name: str) -> Any:
        if name not in _FORMS:
            raise AttributeError(name)
        try:
            return getattr(self._secret, name)
        except ValueUnfit as error:
            raise ContentUnfit(f"the secret {self._key!r} {error}") from None


class _Sandbox(ImmutableSandboxedEnvironment):
    # Numbers and texts that grow beyond all bounds; no template for a file needs them.
    intercepted_binops = frozenset({"**", "*"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        raise SecurityError(operator)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, _Shown):
            return attr in _FORMS
        return isinstance(obj, _PLAIN) and super().is_safe_attribute(obj, attr, value)


def _environment() -> _Sandbox:
    made = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    made.globals.clear()
    made.filters.update(b64encode=_b64encode, tojson=json_of)
    return made


def _b64encode(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def render(text: str, values: Mapping[str, Value]) -> bytes:
    """ContentUnfit when it cannot be done, with the line where that is known."""
    environment = _environment()
    shown = {key: _Shown(key, value) for key, value in values.items()}
    try:
        with _bounded():
            tree = environment.parse(text)
            _check_names(tree, values)
            return _joined(environment.from_string(tree).generate(secrets=shown))
    except ContentUnfit:
        raise
    except TemplateSyntaxError as error:  # about the template's own text
        raise ContentUnfit(f"the template is not well-formed at line {error.lineno}: {error.message}") from None
    except _TooLong:
        raise ContentUnfit(f"the template took more than {_SECONDS:.0f} seconds") from None
    except MemoryError:
        raise ContentUnfit(f"the template needs more than {_MEMORY >> 20} MiB of memory") from None
    except SecurityError as error:
        raise ContentUnfit(f"the template does what is not allowed here{_line(error)}") from None
    except Exception as error:  # a template may raise whatever Python raises
        kind = "something that it names is not there" if isinstance(error, TemplateError) else type(error).__name__
        raise ContentUnfit(f"the template fails{_line(error)}: {kind}") from None


def _check_names(tree: nodes.Template, values: Mapping[str, Value]) -> None:
    """Keys that the template writes out; those that it makes at run time are not to be quoted."""
    tested = {node for test in tree.find_all((nodes.If, nodes.CondExpr)) for node in test.find_all(nodes.Getitem)}
    for item in tree.find_all(nodes.Getitem):
        named = isinstance(item.node, nodes.Name) and item.node.name == "secrets" and isinstance(item.arg, nodes.Const)
        if not named or item in tested:
            continue
        key = item.arg.value  # type: ignore[attr-defined]  # a Const's
        if key not in values:
            raise ContentUnfit(f"the template names a secret {key!r} at line {item.lineno}, which is not there")


def _joined(parts: Iterator[str]) -> bytes:
    made, size = [], 0
    for part in parts:
        made.append(part.encode())
        size += len(made[-1])
        if size > MAX_OUTPUT:
            raise ContentUnfit(f"the template makes more than {MAX_OUTPUT} bytes")
    return b"".join(made)


@contextmanager
def _bounded() -> Iterator[None]:
    """In the main thread, where signals arrive; the agent has no other."""
    before = signal.signal(signal.SIGALRM, _out_of_time)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    bound = _address_space() + _MEMORY
    soft = bound if limits[0] == resource.RLIM_INFINITY else min(bound, limits[0])
    resource.setrlimit(resource.RLIMIT_AS, (soft, limits[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


def _out_of_time(_number: int, _frame: FrameType | None) -> None:
    raise _TooLong


def _address_space() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _line(error: Exception | None) -> str:
    """Jinja gives frames of a template the template's own lines."""
    trace, line = None if error is None else error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" at line {line}" if line else ""
