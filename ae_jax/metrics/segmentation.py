"""How well every pixel is told what it is of.

All measures but `boundary_f1` are of a confusion matrix, whose entry [i, j] counts pixels of class
i that were taken for class j: those of several batches are added. Classes that neither data nor
predictions have are left out of means. All is computed on the host.
"""

import numpy as np

from ae_jax.core import COUNT, NOT_NEGATIVE, Array, InputError, require


def confusion(predicted: Array, labels: Array, classes: int) -> np.ndarray:
    """Counts pixels by what they are, and by what they were taken for.

    Args:
      predicted: int [...], from 0 to classes - 1.
      labels: int [...], of the same shape; pixels of a negative label do not count.
      classes: K.

    Returns:
      int [K, K].

    Raises:
      InputError: if shapes differ, numbers are not whole or of no class.
    """
    predicted, labels = _matched(predicted, labels, classes)
    counted = labels >= 0
    pairs = labels[counted] * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def segmentation_quality(counts: Array) -> dict[str, float]:
    """What a confusion matrix says in numbers.

    Args:
      counts: [K, K], of `confusion`.

    Returns:
      `global_accuracy`, the share of pixels that are right, which the largest class decides;
      `class_accuracy`, the mean over classes in the data of the share of their pixels that are
      right; `mean_iou`, the mean over classes in data or predictions of the intersection over the
      union of both.

    Raises:
      InputError: if counts are not [K, K], negative, or all 0.

    Reference:
      Badrinarayanan, Kendall and Cipolla, 2017, "SegNet: a deep convolutional encoder-decoder
      architecture for image segmentation", section 4.
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise InputError(f"counts must be [K, K], got {list(counts.shape)}")
    if not np.all(counts >= 0) or not counts.sum() > 0:
        raise InputError("counts must be 0 or more, and of one pixel at least")
    right, true, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    union = true + found - right
    return {
        "global_accuracy": float(right.sum() / counts.sum()),
        "class_accuracy": float(np.mean(right[true > 0] / true[true > 0])),
        "mean_iou": float(np.mean(right[union > 0] / union[union > 0])),
    }


def boundary_f1(
    predicted: Array, labels: Array, classes: int, tolerance: float | None = None
) -> float:
    """How well the edges of classes are found: the F1 score of their pixels within a tolerance.

    A class's boundary is those of its pixels that touch another class by a side; pixels of no known
    class, of a negative label, are in none, and nothing is touched there. Precision is the share of
    predicted boundary pixels that have a true one within the tolerance, recall the other way round;
    a class that one of both alone has scores 0, and one that fills all or nothing of
    both has no boundary and is left out.

    Args:
      predicted: int [B, H, W].
      labels: int [B, H, W].
      classes: K.
      tolerance: in pixels; 0.75% of the diagonal where None.

    Returns:
      From 0 to 1: the mean over an image's classes, and then over images with a boundary; NaN where
      there is none in any.

    Raises:
      InputError: as `confusion`; if images are not [B, H, W] or the tolerance is negative.

    Reference:
      Csurka, Larlus and Perronnin, 2013, "What is a good evaluation measure for semantic
      segmentation?", section 2.
    """
    from scipy import ndimage

    predicted, labels = _matched(predicted, labels, classes)
    if labels.ndim != 3:
        raise InputError(f"labels must be [B, H, W], got {list(labels.shape)}")
    if tolerance is None:
        tolerance = 0.0075 * float(np.hypot(*labels.shape[1:]))
    require(NOT_NEGATIVE, tolerance=tolerance)
    cross = ndimage.generate_binary_structure(2, 1)

    def boundary(inside: np.ndarray, known: np.ndarray) -> np.ndarray:
        within = ndimage.binary_erosion(inside | ~known, cross, border_value=1)
        return inside & known & ~within

    def near(edge: np.ndarray, other: np.ndarray) -> float:
        return float(np.mean(ndimage.distance_transform_edt(~other)[edge] <= tolerance))

    def scores(found: np.ndarray, true: np.ndarray) -> list[float]:
        values = []
        for k in range(classes):
            ours, theirs = boundary(found == k, true >= 0), boundary(true == k, true >= 0)
            if ours.any() and theirs.any():
                precision, recall = near(ours, theirs), near(theirs, ours)
                total = precision + recall
                values.append(2 * precision * recall / total if total else 0.0)
            elif ours.any() or theirs.any():
                values.append(0.0)
        return values

    images = [scores(*pair) for pair in zip(predicted, labels, strict=True)]
    means = [np.mean(values) for values in images if values]
    return float(np.mean(means)) if means else float("nan")


def median_frequency_weights(labels: Array, classes: int) -> np.ndarray:
    """Weights of classes by which rare ones count as much as others in a cross-entropy.

    Args:
      labels: int [N, H, W], of training images; pixels of a negative label do not count.
      classes: K.

    Returns:
      float64 [K]: the median frequency over the class's own, where a class's frequency is its
      pixels over all pixels of images that it is in; 0 for a class that is in none, which the
      median leaves out.

    Raises:
      InputError: as `confusion`; if labels are not [N, H, W] or of no class.

    Reference:
      Eigen and Fergus, 2015, "Predicting depth, surface normals and semantic labels with a common
      multi-scale convolutional architecture", section 6.3.2.
    """
    labels = _of_classes(classes, None, labels=labels)
    if labels.ndim != 3:
        raise InputError(f"labels must be [N, H, W], got {list(labels.shape)}")
    pixels = np.stack([np.sum(labels == k, axis=(1, 2)) for k in range(classes)])
    there = pixels > 0
    total = np.sum(there * np.sum(labels >= 0, axis=(1, 2)), axis=1)
    present = total > 0
    if not present.any():
        raise InputError("no pixel is of any class")
    frequency = pixels.sum(axis=1)[present] / total[present]
    weights = np.zeros(classes)
    weights[present] = np.median(frequency) / frequency
    return weights


def _matched(predicted: Array, labels: Array, classes: int) -> tuple[np.ndarray, np.ndarray]:
    predicted = _of_classes(classes, 0, predicted=predicted)
    labels = _of_classes(classes, None, labels=labels)
    if predicted.shape != labels.shape:
        raise InputError(
            f"predicted and labels must have one shape, got {list(predicted.shape)} and "
            f"{list(labels.shape)}"
        )
    return predicted, labels


def _of_classes(classes: int, least: int | None, **given: Array) -> np.ndarray:
    require(COUNT, classes=classes)
    ((name, numbers),) = given.items()
    numbers = np.asarray(numbers)
    if not np.issubdtype(numbers.dtype, np.integer) or not numbers.size:
        raise InputError(f"{name} must be integers and not empty, got {numbers.dtype}")
    low, high = int(numbers.min()), int(numbers.max())
    if high >= classes or (least is not None and low < least):
        raise InputError(f"{name} are from 0 to {classes - 1}, got {low} to {high}")
    return numbers.astype(np.int64)
