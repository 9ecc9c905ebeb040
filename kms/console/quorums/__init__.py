"""Quorum policies: the editor of the tree, and the same in plain English."""
