"""Approvals: what waits for whom, what exactly would run, and saying yes or no to it."""
