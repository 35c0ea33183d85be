"""Ways between examples, by a model whose codes are the examples and whose images are the codes."""

import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from ae_jax.core import InputError, Method, Views
from ae_jax.methods.parts.latents import Ball
from ae_jax.probability import poincare
from ae_jax.recipes.interpolation import interpolate

VIEWS = Views(
    encode=lambda state, batch, hparams: batch["image"],
    decode=lambda state, latent, hparams: 2 * latent[:, None],
)
MODEL = training.Model({}, Method({}, None, None, None, VIEWS), (), {})


def between(a, b, *arguments, **options):
    ends = ({"image": jnp.asarray(end, jnp.float32)} for end in (a, b))
    return np.asarray(interpolate(MODEL, *ends, *arguments, **options)) / 2


A, B = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[3.0, 2.0], [4.0, -4.0]])


def test_a_straight_way_is_of_even_steps():
    made = between(A, B, 5)
    assert made.shape == (2, 5, 1, 2)  # pairs, places, and what a decoder makes
    t = np.linspace(0, 1, 5)[None, :, None]
    np.testing.assert_allclose(made[:, :, 0], (1 - t) * A[:, None] + t * B[:, None], atol=1e-6)
    assert between(A, B).shape[1] == 9


def test_on_a_sphere_the_way_is_a_great_circle():
    angles = np.array([0.3, 2.5])
    a, b = (np.stack([np.cos(x), np.sin(x), 0 * x], axis=1) for x in (0 * angles, angles))
    made = between(a, b, 4, support="sphere")[:, :, 0]
    at = np.linspace(0, 1, 4)[None] * angles[:, None]
    np.testing.assert_allclose(made, np.stack([np.cos(at), np.sin(at), 0 * at], -1), atol=1e-6)
    # the straight way is too short in the middle
    assert np.linalg.norm(between(a, b, 3)[1, 1]) < 0.4


def test_in_a_ball_the_way_is_a_geodesic():
    a, b = A / 4, B / 8
    made = jnp.asarray(between(a, b, 3, support=Ball(0.7))[:, :, 0])
    first, last, whole = (
        poincare.distance(*ends, 0.7)
        for ends in ((made[:, 0], made[:, 1]), (made[:, 1], made[:, 2]), (made[:, 0], made[:, 2]))
    )
    np.testing.assert_allclose(first, whole / 2, rtol=1e-5)
    np.testing.assert_allclose(last, whole / 2, rtol=1e-5)
    np.testing.assert_allclose(made[:, 2], b, rtol=1e-5, atol=1e-6)


def test_another_geometry_brings_its_own_way():
    made = between(A, B, 3, support=lambda start, end, share: start + share**2 * (end - start))
    np.testing.assert_allclose(made[:, 1, 0], A + (B - A) / 4, rtol=1e-6)


def test_labels_are_blended_or_kept():
    a, b = (
        np.concatenate([x, label], axis=1) for x, label in ((A, np.eye(2)), (B, np.eye(2)[::-1]))
    )
    blended = between(a, b, 3, classes=2)[:, 1, 0]
    np.testing.assert_allclose(blended, np.concatenate([(A + B) / 2, np.full((2, 2), 0.5)], 1))
    kept = between(a, b, 3, classes=(1, 1), keep_label=True)[:, :, 0]
    np.testing.assert_allclose(kept[:, -1], np.concatenate([B, np.eye(2)], axis=1))
    # on a sphere the latent alone is turned
    a, b = (np.concatenate([[x], [[1.0, 0.0]]], axis=1) for x in ([1.0, 0.0], [0.0, 1.0]))
    middle = between(a, b, 3, support="sphere", classes=2)[0, 1, 0]
    np.testing.assert_allclose(middle, [np.sqrt(0.5), np.sqrt(0.5), 1, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((A, B, 1), "steps is 1: use a whole number, 2 or more"),
        ((A, B[:1]), r"codes are \[2, 2\] and \[1, 2\], 0 of each a label: give as many"),
        ((A, B, 3, "line"), "no way is known in line: use plane or sphere, or a function"),
        ((A, B, 3, "sphere"), "these latents are not on the unit sphere"),
        ((A, B, 3, "plane", 2), "2 of each a label"),
        ((A, B, 3, "plane", -1), "classes is -1: use a whole number, 0 or more"),
        ((A, B, 3, Ball(0.1)), "these latents are not in the ball of curvature -0.1: use"),
        ((A, B, 3, ["plane"]), r"no way is known in \['plane'\]"),
    ],
)
def test_what_has_no_way_between_is_refused(given, message):
    a, b, *others = given
    names = dict(zip(("steps", "support", "classes"), others, strict=False))
    with pytest.raises(InputError, match=message):
        between(a, b, **names)
