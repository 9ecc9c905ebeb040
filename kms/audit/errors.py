"""No record, no answer: what is raised when an entry could not be made durable."""


class RecordUnavailable(Exception):
    """The audit log could not be written; the call's answer must not leave."""


class RecordUntrusted(Exception):
    """The record's rows are not those that this server sealed; nothing is served on them. The message says why."""
