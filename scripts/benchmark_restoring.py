"""What `benchmark.py` times of whole photographs: a step is a megapixel."""

from collections.abc import Callable, Iterator
from typing import Any

#: (H, W, C) of the photograph.
SHAPE = (512, 512, 3)
#: Of the network's levels.
CHANNELS = (16, 32, 64)


def restored(method: Any) -> Iterator[float]:
    """Restores a photograph tile by tile at each `next`, as `restore.py apply` does.

    Args:
      method: what `restore.py train` trains to denoise. It is not trained: that takes no longer.
    """
    import jax
    import numpy as np
    import restore

    from ae_jax.training import Model

    photo, hparams = restore.Photo(_pixels(), None, {}), dict(method.hparams)
    batch = {"image": np.zeros((1, 64, 64, SHAPE[-1]), np.float32)}
    state = jax.jit(method.init)(jax.random.key(0), batch, hparams)
    network = restore.restorer("denoise", Model({}, method, state, hparams))
    by = restore.MadeBy("denoise", SHAPE[-1], len(CHANNELS), network)
    return _repeated(lambda: restore.restored(photo, by))


def filtered() -> Iterator[float]:
    """Takes the median of 3x3 pixels by scipy: a scale for the time, no peer in what it does."""
    from scipy import ndimage

    pixels = _pixels()
    return _repeated(lambda: ndimage.median_filter(pixels, size=(3, 3, 1)))


def _pixels() -> Any:
    """The same random bytes for everyone."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)


def _repeated(once: Callable[[], Any]) -> Iterator[float]:
    """Does it at each `next`, and gives the megapixels."""
    while True:
        once()
        yield SHAPE[0] * SHAPE[1] / 1e6
