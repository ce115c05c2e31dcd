"""Embedding in host shells: our fragments and frame page for them, and which shells may frame us."""
