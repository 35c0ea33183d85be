"""What the library trains, as scikit-learn's estimators, which is imported with it."""

from ae_jax.estimators.detection import AnomalyDetector

__all__ = ["AnomalyDetector"]
