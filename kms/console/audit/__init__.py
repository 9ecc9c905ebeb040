"""The record: what happened, shown with the proof that it is what was written; and handed to an auditor."""
