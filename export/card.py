"""The model card: what a person should know of a bundle before using it, as README.md inside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mien.bundle import Accuracy, File, Manifest
from mien.models.build_bundle import describe_bundle
from mien.models.fetch import fetch
from mien.models.own_networks import NOTICE, OWN, ExpressionCard, LandmarksCard
from mien.models.yunet import yunet_detector
from trainer.stages.material import names_renders

_USE = (
    "**Meant for** robots and programs that react to what a face shows, among people who know that it is at work, and "
    "for research. **Not meant for** deciding about people (work, school, credit, insurance, police, borders, health), "
    "for telling lies from truth, for watching people who do not know of it, or for telling who or of what kind "
    "somebody is."
)
_LAW = (
    "It judges what a face shows, not what a person feels. People must be told that it is at work. In the European "
    "Union emotion recognition is banned at work and in education, except for medical or safety reasons (AI Act, "
    "Article 5), and is a high-risk use elsewhere. Whether it serves all groups of people alike was not measured "
    "unless a figure above says so."
)
_UNCROPPED = "It was trained on whole pictures: in a camera's image it sees the scene, not one face."
_RENDERED = (
    "It has last learned from rendered faces only, which differ from real ones. Figures on renders say nothing of real "
    "faces: without one on real faces above it is for trying things out, and no product."
)
_PRECISIONS = {
    "fp32": "as it was trained",
    "fp16": "convolutions in half precision, means over maps in fp32",
    "int8": "values in 8 bits between Q/DQ pairs, as TensorRT wants them",
}


def model_card(manifest: Manifest) -> bytes:
    """Write the card of a bundle, Markdown, from its manifest; the same text for the same manifest."""
    backbone, crop = manifest.backbone, manifest.backbone.crop
    spec = backbone.input
    kind = {"uncropped": "the whole picture", "box": "the square around the detector's box"}.get(
        crop.kind, f"the square around the {crop.kind} landmarks"
    )
    rows = [
        [f"`{file.path}`", what, file.licence, file.source, f"`{file.sha256[:12]}`"] for what, file in _files(manifest)
    ]
    sections = [
        f"# {manifest.name}",
        manifest.description,
        f"- **Learned from**: {manifest.lineage}\n- **Data**: {', '.join(manifest.data_sets)}\n"
        f"- **Tells**: {_tells(manifest)}\n"
        f"- **Sees**: {kind}, wider by {crop.margin:.0%}, as {spec.width}x{spec.height} pixels ({spec.channels}), "
        f"(value − {_numbers(spec.mean)}) · {_numbers(spec.scale)}\n- **Licence**: {manifest.licence}",
        f"## Measured\n\n{_measured(manifest.accuracy)}",
        f"## Files\n\n{_table(('file', 'what', 'licence', 'source', 'sha256'), rows)}",
        f"## Use\n\n{_USE}",
        "## Limits",
        *([_RENDERED] if _has_learned_from_renders(manifest.lineage) else []),
        _LAW,
        *([_UNCROPPED] if crop.kind == "uncropped" else []),
        "No engine of TensorRT has been run for this card. `mien-export verify` compares the files with each other; "
        "`mien bench` measures them on a machine.",
    ]
    return ("\n\n".join(sections) + "\n").encode()


def default_model_card(expression: ExpressionCard, landmarks: LandmarksCard) -> bytes:
    """Write the card of the default bundle, were these its networks; it ends with others' licences.

    Raises:
        MienError: its detector cannot be fetched.
    """
    _, detector = yunet_detector(fetch("yunet"))
    return model_card(describe_bundle(detector, expression, landmarks)) + b"\n#" + (OWN / NOTICE).read_bytes()


def _has_learned_from_renders(lineage: str) -> bool:
    """Whether the last stage of one of the networks has seen nothing else."""
    return any(names_renders(network.rpartition(" → ")[2]) for network in lineage.split("; "))


def _tells(manifest: Manifest) -> str:
    affect = manifest.valence_arousal
    sources = {
        "head": "outputs of its own",
        "circumplex": "from the expressions, by coordinates cited in the manifest",
    }
    told = [", ".join(manifest.labels)] if manifest.labels else []
    told += [f"valence and arousal ({sources[affect.source]})"] if affect is not None else []
    return "; ".join(told)


def _files(manifest: Manifest) -> list[tuple[str, File]]:
    found = [("face detector", manifest.detector.file)]
    found += [
        (f"network up to its embedding, {name}: {_PRECISIONS[name]}", file)
        for name, file in manifest.backbone.files.items()
    ]
    found.append(("dense layers", manifest.head.file))
    optional = (("68 landmarks", manifest.landmarks), ("identity", manifest.identity))
    return found + [(what, part.file) for what, part in optional if part is not None]


def _measured(figures: Sequence[Accuracy]) -> str:
    if not figures:
        return "Nothing is recorded."
    rows = [
        [one.metric, f"{one.value:.3f}", one.data, one.split, f"{one.people or '?'}", f"{one.faces}", one.note]
        for one in figures
    ]
    return _table(("figure", "value", "data", "split", "people", "faces", "note"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in dict.fromkeys(values))
