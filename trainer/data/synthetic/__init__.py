"""Rendered faces: unlimited, with exact labels, from CC0 data."""
