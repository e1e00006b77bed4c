"""Measuring a bundle on labelled faces."""
