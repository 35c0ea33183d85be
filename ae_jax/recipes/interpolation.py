"""What lies between two examples, as a trained model sees it."""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp

from ae_jax import training
from ae_jax.core import Array, Batch, Domain, InputError, require
from ae_jax.methods.parts.labels import require_classes
from ae_jax.methods.parts.latents import Ball, Support
from ae_jax.probability import poincare, sphere

#: Where a share of the way lies: start and end [..., Z], share [..., 1] -> [..., Z].
Way = Callable[[Array, Array, Array], Array]


def straight(start: Array, end: Array, share: Array) -> Array:
    """The shortest way in the plane."""
    return (1 - share) * start + share * end


#: The shortest ways, by where latents lie.
WAYS: Mapping[str, Way] = {"plane": straight, "sphere": sphere.geodesic}


def interpolate(
    model: training.Model,
    start: Batch,
    end: Batch,
    steps: int = 9,
    *,
    support: Support | Way = "plane",
    classes: int | Sequence[int] = 0,
    keep_label: bool = False,
) -> Array:
    """Decodes what lies between examples, at evenly spaced places on the shortest way in latents.

    Args:
      model: that encodes and decodes.
      start: B examples; with labels, for a model that is told them.
      end: as many.
      steps: S, how many places, both ends included.
      support: where the model's latents lie, as its posterior has it: in the `plane` the way is
        straight, on the `sphere` a great circle, in a `Ball` a geodesic; or, where there is another
        geometry, its shortest way, (start, end, share) -> what lies there.
      classes: those that a conditional `vae` was made with; its codes end in them, one-hot.
      keep_label: whether the start's label is kept on the whole way; blended where not.

    Returns:
      [B, S, ...], in data space; the ends are reconstructions, for `plots.walks`.

    Raises:
      InputError: if there are fewer than two places, numbers of examples differ, latents do not lie
        where they are said to, the code is not longer than the classes, or the model does not
        encode and decode.
    """
    require(Domain(2, whole=True), steps=steps)
    require_classes(classes)
    way = _way(support)
    ends = model.encode(start), model.encode(end)
    told = classes if isinstance(classes, int) else sum(classes)
    size = ends[0].shape[-1] - told
    if ends[0].shape != ends[1].shape or ends[0].ndim != 2 or size < 1:
        raise InputError(
            f"codes are {list(ends[0].shape)} and {list(ends[1].shape)}, {told} of each a label: "
            "give as many examples of both ends, and the model's own classes"
        )
    (first, given), (last, other) = (jnp.split(code, [size], axis=1) for code in ends)
    lengths = jnp.linalg.norm(jnp.concatenate([first, last]), axis=1)
    if support == "sphere" and not jnp.allclose(lengths, 1, atol=1e-3):
        raise InputError("these latents are not on the unit sphere: use support='plane'")
    if isinstance(support, Ball) and not jnp.all(support.curvature * lengths**2 < 1):
        raise InputError(f"these latents are not in the {support}: use support='plane'")
    share = jnp.linspace(0, 1, steps, dtype=first.dtype)[None, :, None]
    between = way(first[:, None], last[:, None], share)
    labels = straight(given[:, None], (given if keep_label else other)[:, None], share)
    made = model.decode(jnp.concatenate([between, labels], axis=-1).reshape(-1, size + told))
    return made.reshape(len(first), steps, *made.shape[1:])


def _way(support: Support | Way) -> Way:
    if isinstance(support, Ball):
        return functools.partial(poincare.geodesic, curvature=support.curvature)
    if callable(support):
        return support
    if not isinstance(support, str) or support not in WAYS:
        raise InputError(f"no way is known in {support}: use {' or '.join(WAYS)}, or a function")
    return WAYS[support]
