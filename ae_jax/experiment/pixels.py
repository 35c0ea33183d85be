"""What experiments on pixels' classes share: ways without a network, colours, and risk."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ae_jax import data, metrics
from ae_jax.core import Array, InputError
from ae_jax.experiment.splits import Splits

#: Images [N, H, W, C] -> int [N, H, W], of each pixel its class.
Labeller = Callable[[Array], np.ndarray]
#: Training images that are enough to draw pixels from.
SOME = 1000
#: Of Okabe and Ito (2008): black, and colours that all people tell apart.
_COLOURS = "000000", "e69f00", "56b4e9", "cc79a7", "009e73", "f0e442", "0072b2", "d55e00"


def count_classes(name: str, splits: Splits) -> int:
    """Returns how many classes masks have: one more than the highest number in any split.

    Args:
      name: the data set's.
      splits: with masks.

    Raises:
      InputError: if those to train on have one class.
    """
    parts = [np.asarray(data.head(part, part.size)["mask"]) for part in splits]
    if len(np.unique(parts[0][parts[0] >= 0])) < 2:
        raise InputError(f"{name} has masks of one class to train on: give two or more")
    return 1 + max(int(part.max()) for part in parts)


def largest_class(masks: Array) -> Labeller:
    """Takes every pixel for the class that most pixels of some masks are of."""
    masks = np.asarray(masks)
    most = int(np.argmax(np.bincount(masks[masks >= 0])))
    return lambda images: np.full(np.shape(images)[:3], most, np.int32)


def logistic_regression(
    images: Array, masks: Array, window: int, count: int, weights: Sequence[float] | None
) -> Labeller:
    """Fits a logistic regression of a pixel's class on the pixels around it.

    Args:
      images: [N, H, W, C].
      masks: int [N, H, W], below 0 where no class is known.
      window: the side of what is around a pixel; odd.
      count: pixels that are drawn at random to learn from.
      weights: of the classes; all 1 where None.

    Raises:
      InputError: if what is drawn is of one class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    masks = np.asarray(masks)
    known = np.stack(np.nonzero(masks >= 0))
    at = tuple(known[:, np.random.default_rng(0).integers(0, known.shape[1], count)])
    if len(found := np.unique(masks[at])) < 2:
        raise InputError(f"all {count} pixels that are drawn are of class {found[0]}: draw more")
    balance = None if weights is None else dict(enumerate(weights))
    logistic = LogisticRegression(C=1.0, max_iter=500, class_weight=balance)
    fitted = make_pipeline(StandardScaler(), logistic)
    fitted.fit(windows(images, window)[at].reshape(count, -1), masks[at])

    def regression(images: Array) -> np.ndarray:
        found = []
        for image in np.asarray(images):
            around = windows(image[None], window)[0]
            found.append(fitted.predict(around.reshape(-1, around[0, 0].size)))
        return np.reshape(found, np.shape(images)[:3]).astype(np.int32)

    return regression


def windows(images: Array, side: int) -> np.ndarray:
    """The pixels around each one, [N, H, W, C, side, side]; edges are mirrored."""
    half = side // 2
    padded = np.pad(np.asarray(images), ((0, 0), (half, half), (half, half), (0, 0)), "reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))


def quality(found: Array, masks: Array, classes: int, tolerance: float) -> dict[str, float]:
    """How well pixels, and edges, are told: `segmentation_quality` and `boundary_f1`."""
    counts = metrics.confusion(found, masks, classes)
    edges = metrics.boundary_f1(found, masks, classes, tolerance)
    return {**metrics.segmentation_quality(counts), "boundary_f1": edges}


def error_auroc(found: Array, masks: Array, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How well uncertainty tells wrong pixels from right ones, `NAME_auroc` by each score's name.

    Args:
      found: int [N, H, W], what pixels are taken for.
      masks: int [N, H, W]; pixels of no known class do not count.
      scores: by name, [N, H, W], higher where it is less sure.

    Returns:
      By name the AUROC; nothing where all pixels are right, or all wrong.
    """
    known = np.asarray(masks) >= 0
    wrong = (np.asarray(found) != np.asarray(masks))[known]
    if wrong.all() or not wrong.any():
        return {}
    return {f"{name}_auroc": metrics.auroc(score[known], wrong) for name, score in scores.items()}


def at_errors(found: Array, masks: Array, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The mean of each score over wrong pixels, `NAME_wrong`, and over right ones, `NAME_right`."""
    known = np.asarray(masks) >= 0
    wrong = (np.asarray(found) != np.asarray(masks))[known]
    kinds = {"wrong": wrong, "right": ~wrong}
    return {
        f"{name}_{kind}": float(np.mean(score[known][where]))
        for name, score in scores.items()
        for kind, where in kinds.items()
        if where.any()
    }


def risk(
    found: Array, masks: Array, score: np.ndarray, count: int = 20
) -> tuple[np.ndarray, np.ndarray, None]:
    """The share of wrong pixels among those that are surest, as `plots.lines` draws it.

    Args:
      found: int [N, H, W], what pixels are taken for.
      masks: int [N, H, W]; pixels of no known class do not count.
      score: [N, H, W], higher where it is less sure.
      count: how many shares, from a twentieth of the pixels to all.
    """
    known = np.asarray(masks) >= 0
    wrong = (np.asarray(found) != np.asarray(masks))[known]
    wrong = wrong[np.argsort(score[known], kind="stable")]
    shares = np.linspace(0.05, 1, count)
    kept = np.maximum(np.rint(shares * len(wrong)).astype(int), 1)
    return shares, np.cumsum(wrong)[kept - 1] / kept, None


def colours(classes: int) -> np.ndarray:
    """Colours of classes [K + 1, 3], the last one, at -1, a light grey for what is not known."""
    import colorsys

    own = [tuple(int(name[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name in _COLOURS]
    more = max(0, classes - len(own))
    own += [colorsys.hsv_to_rgb(i / more, 0.6, 0.6) for i in range(more)]
    return np.array([*own[:classes], (0.8, 0.8, 0.8)])
