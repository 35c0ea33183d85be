"""What the library trains, as estimators of scikit-learn's, which is imported with the first."""

import importlib
from typing import Any

_WHERE = {"AnomalyDetector": "detection", "DeepClustering": "clustering"}

__all__ = ["AnomalyDetector", "DeepClustering"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
