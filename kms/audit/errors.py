"""No record, no answer: what is raised when an entry could not be made durable."""


class RecordUnavailable(Exception):
    """The audit log could not be written; the call's answer must not leave."""
