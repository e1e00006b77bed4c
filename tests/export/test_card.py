"""The model card's limits."""

from __future__ import annotations

import msgspec
import pytest

from export.card import model_card
from mien.bundle import open_bundle
from mien.models.default_bundle import default_bundle


@pytest.mark.parametrize(
    ("lineage", "is_said"),
    [
        ("IN → rendered wild", True),
        ("rendered objects → rendered lab_a + rendered wild", True),
        ("IN → AffectNet; IN → rendered wild", True),
        ("rendered wild → AffectNet", False),
        ("rendered wild + AffectNet", False),
        ("FER2013", False),
    ],
)
def test_what_has_seen_renders_only_is_called_no_product(lineage: str, is_said: bool) -> None:
    manifest = msgspec.structs.replace(open_bundle(default_bundle()).manifest, lineage=lineage)
    limits = model_card(manifest).decode().partition("## Limits")[2]
    assert ("it is for trying things out, and no product" in limits) == is_said
