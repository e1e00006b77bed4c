"""Run in a process of its own: print what a TensorRT binding offers, as JSON.

Each name leads to what is in it; functions and properties lead to their documentation, which holds the signature.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from typing import Any


def contents(value: Any) -> Any:
    if not inspect.isclass(value):
        return inspect.getdoc(value) or ""
    names = {*dir(value), *getattr(value, "__members__", {})} - {"__class__"}
    return {name: contents(getattr(value, name)) for name in sorted(names)}


def main() -> None:
    spec = importlib.util.spec_from_file_location("tensorrt_bindings.tensorrt", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print(json.dumps({name: contents(value) for name, value in vars(module).items() if not name.startswith("_")}))


if __name__ == "__main__":
    main()
