"""Everything `manage.py run` does before it serves: each step finds its work done or does it, and may run again.

Imported by the commands only. A server process never provisions: it finds what it needs, or refuses.
"""
