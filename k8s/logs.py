"""Logs as JSON lines: an event in words, and its facts beside it. Secrets have no business in either."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_FACTS = "facts"


def event(logger: logging.Logger, level: int, text: str, **facts: Any) -> None:
    logger.log(level, text, extra={_FACTS: facts})


class JsonLines(logging.Formatter):
    """One line a record. Of an exception it keeps kind and place, not the text: that may quote what was read."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FACTS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "at": _place(record)}
        return json.dumps(line, default=str)


def _place(record: logging.LogRecord) -> str:
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def configure(level: str) -> None:
    """To standard error, as a service manager and a kubelet both collect it. Libraries' own chatter is kept down."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("k8s").setLevel(level)
