"""Writes the reference that the converted network is tested against: Keras and TensorFlow Lite on real faces.

    python tools/keras_reference.py ../shared/real_faces/manifest.csv

The faces of the manifest are cut out by mien's own code; then, in an environment of its own that this script makes in
the cache folder, Keras runs the package's .hdf5 and LiteRT its quantised .tflite. The result holds numbers and
checksums only, no picture: per face the checksum of its 64×64 crop, seven logits, and the class that the .tflite
names. A few patterns computed from a formula allow the same test without any picture.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "tests" / "data" / "keras_logits.json"
# Keras on jax is the smallest of its backends; LiteRT is the runtime of .tflite without TensorFlow.
PACKAGES = ["keras==3.15.1", "jax==0.10.2", "ai-edge-litert==2.3.0", "h5py==3.16.0", "numpy==2.4.6"]
PATTERNS = [(3 * k + 1, 7 * k + 5, k) for k in range(8)]
"""(a, b, c) of pictures with the grey value (a·column + b·row + c·column·row) mod 256."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()

    # Not from the folder of this script, and not at the top: the second environment has neither.
    sys.path[0] = str(ROOT)
    from mien.models.fetch import fetch

    rows, crops = cut(arguments.manifest)
    python = reference_environment()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "crops.npy"
        with pictures.open("wb") as file:
            import numpy as np

            np.save(file, np.concatenate([patterns(), crops]))
        print(f"Keras and LiteRT on {len(crops)} faces …", flush=True)
        weights = [str(fetch("mini_xception")), str(fetch("mini_xception_quantised"))]
        command = [str(python), str(Path(__file__).resolve()), "--reference", str(pictures), *weights]
        answers = json.loads(subprocess.check_output(command, env={**os.environ, "KERAS_BACKEND": "jax"}, text=True))
    result = {
        "manifest_sha256": hashlib.sha256(arguments.manifest.read_bytes()).hexdigest(),
        "made_with": PACKAGES,
        "patterns": [{"abc": abc, **answer} for abc, answer in zip(PATTERNS, answers, strict=False)],
        "faces": [
            {"row": row, "crop_sha256": hashlib.sha256(crop.tobytes()).hexdigest(), **answer}
            for row, crop, answer in zip(rows, crops, answers[len(PATTERNS) :], strict=True)
        ],
    }
    arguments.output.write_text(one_entry_a_line(result))
    print(f"{arguments.output}: {len(rows)} faces, {len(PATTERNS)} patterns")


def cut(manifest: Path) -> tuple[list[int], Any]:
    """Row numbers, and uint8 (N, 64, 64) grey crops as the robot cuts them."""
    import numpy as np

    from mien.bundle import open_bundle
    from mien.expression.recogniser import Recogniser
    from mien.models.default_bundle import built_bundle
    from mien.runtime.backend import BackendOptions
    from trainer.evaluate.evaluation import cut_faces
    from trainer.evaluate.faces import read_face_manifest

    bundle = open_bundle(built_bundle("fer2013"))
    faces, batch, left_out = cut_faces(Recogniser(bundle, BackendOptions()), read_face_manifest(manifest))
    if left_out:
        sys.exit(f"keras_reference: {len(left_out)} faces cannot be had: {left_out[0][1]}")
    spec = bundle.manifest.backbone.input
    return [face.row for face in faces], np.rint(batch[:, 0] / spec.scale[0] + spec.mean[0]).astype(np.uint8)


def patterns() -> Any:
    """uint8 (patterns, 64, 64)."""
    import numpy as np

    row, column = np.mgrid[:64, :64]
    return np.stack([(a * column + b * row + c * column * row) % 256 for a, b, c in PATTERNS]).astype(np.uint8)


def reference_environment() -> Path:
    """The interpreter of the environment with Keras and LiteRT, made when it is missing or has other versions."""
    from mien.models.cache import cache_folder

    folder = cache_folder() / "keras-reference"
    python, stamp = folder / "bin" / "python", folder / "packages.json"
    if not stamp.is_file() or json.loads(stamp.read_text()) != PACKAGES:
        print("making an environment with Keras and LiteRT (about a minute, 0.8 GB) …", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.check_call([python, "-m", "pip", "install", "--quiet", *PACKAGES])
        stamp.write_text(json.dumps(PACKAGES))
    return python


def reference(pictures: Path, hdf5: Path, tflite: Path) -> list[dict[str, Any]]:
    """Logits of Keras and class of LiteRT for each picture; runs in the second environment."""
    import keras
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    # As the package prepares a face: to 0…1, then to −1…1.
    inputs = ((np.load(pictures).astype(np.float32) / 255.0 - 0.5) * 2.0)[..., None]
    model = keras.models.load_model(hdf5, compile=False)
    logits = keras.Model(model.inputs, model.layers[-1].input).predict(inputs, verbose=0)
    interpreter = Interpreter(model_path=str(tflite))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for picture, values in zip(inputs, logits, strict=True):
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        named = int(interpreter.get_tensor(target)[0].argmax())
        answers.append({"logits": [round(float(value), 6) for value in values], "tflite": named})
    return answers


def one_entry_a_line(result: dict[str, Any]) -> str:
    """JSON with one line per face, so that changes can be read."""
    parts = []
    for key, value in result.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            lines = ",\n".join("  " + json.dumps(entry) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reference"]:
        print(json.dumps(reference(*(Path(argument) for argument in sys.argv[2:]))))
    else:
        main()
