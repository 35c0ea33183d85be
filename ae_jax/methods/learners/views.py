"""The views of what encodes and decodes."""

from collections.abc import Callable
from typing import Any

from ae_jax.core import Array, Batch, HParams, State, Views


def coded(
    encode: Callable[[State, Batch, HParams], Array],
    decode: Callable[[State, Array, HParams], Array],
    **others: Any,
) -> Views:
    """Returns the views of a method whose reconstruction is its code, decoded.

    Args:
      encode: as the view.
      decode: as the view.
      **others: further views.
    """

    def reconstruct(state: State, batch: Batch, hparams: HParams) -> Array:
        return decode(state, encode(state, batch, hparams), hparams)

    return Views(encode=encode, decode=decode, reconstruct=reconstruct, **others)
