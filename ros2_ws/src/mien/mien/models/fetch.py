"""Models of the catalogue as verified files in the cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mien.errors import MienError
from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder
from mien.models.catalogue import Model, catalogue, find_model


def fetch(name: str) -> Path:
    """A model's file, downloaded the first time and verified every time.

    Safe to call from several processes at once: files appear whole or not at all.

    Raises:
        MienError: there is no such model, or it cannot be fetched; the remedy says what to do.
    """
    model = find_model(name)
    if not is_fetched(model):
        # An archive may carry several models: one download serves them all.
        siblings = [other for other in catalogue() if other.archive == model.archive and not is_fetched(other)]
        extract_from_archive(model.archive, {other.path: cached_file(other) for other in siblings})
        if not is_fetched(model):
            cached_file(model).unlink(missing_ok=True)
            raise MienError(
                f"{model.name}: {model.path} of {model.archive} has another checksum than the catalogue says",
                "Do not use it: update mien",
            )
    return cached_file(model)


def cached_file(model: Model) -> Path:
    """Where a model is kept; its name holds the checksum, so versions of mien may share a cache."""
    return cache_folder() / "models" / f"{model.name}-{model.sha256[:12]}{Path(model.path).suffix}"


def is_fetched(model: Model) -> bool:
    """Whether a model is in the cache, undamaged."""
    try:
        data = cached_file(model).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == model.sha256
