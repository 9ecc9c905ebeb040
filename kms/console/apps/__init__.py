"""Apps: who they are, what they may use, and what they prove themselves with."""
