"""Scenes against geometry of another kind: projections of solids, not rays."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from ae_jax import data
from ae_jax.data.sources import scenes
from ae_jax.data.sources.scenes import FACTOR_SIZES, HUES, render

SIZES = tuple(FACTOR_SIZES.values())
SIDE = 16
RED, CYAN = 0, 5  # no red is in cyan
draw = jax.jit(render, static_argnums=1)

# As the module's docstring and pictures have it; turned about the vertical axis.
EYE, AT, TANGENT, CORNER = np.array([0, 2.1, -5]), np.array([0, 0.75, 0]), 0.36, 3.0
SCALES, TURNS = np.linspace(0.5, 1, 8), np.deg2rad(np.linspace(-30, 30, 15))


def grid(**chosen):
    """Every combination of the chosen values of the factors, the others at 0: int32 [N, 6]."""
    axes = [np.atleast_1d(chosen.get(name, 0)) for name in FACTOR_SIZES]
    factors = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    return factors.astype(np.int32)


def images(side=SIDE, **chosen):
    return np.asarray(draw(grid(**chosen), side))


def projected(points):
    """Points [N, 3] in pixels (x, y) of an image of `SIDE`."""
    forward = (AT - EYE) / np.linalg.norm(AT - EYE)
    up = np.cross(forward, [1.0, 0, 0])
    away = points - EYE
    plane = np.stack([away[:, 0], -away @ up], axis=1) / (away @ forward)[:, None]
    return (plane / TANGENT + 1) / 2 * SIDE


def surface(shape, scale, turn):
    """Points that a solid is the convex hull of."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    ring = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    polar = np.linspace(-np.pi / 2, np.pi / 2, 37)[:, None, None]
    ball = (np.cos(polar) * ring + np.sin(polar) * np.array([0, 1, 0])).reshape(-1, 3)
    up = np.array([0, 1.0, 0])
    if shape == 0:
        corner = turn + np.pi / 4 * np.arange(1, 9, 2)  # a corner points to that of the room
        square = (
            0.8
            * np.sqrt(2)
            * np.stack([np.sin(corner - np.pi / 4), 0 * corner, np.cos(corner - np.pi / 4)], 1)
        )
        points = np.concatenate([square, square + 1.6 * up])
    elif shape == 1:
        points = np.concatenate([0.85 * ring, 0.85 * ring + 1.6 * up])
    elif shape == 2:
        points = ball + up
    else:
        points = np.concatenate([0.6 * ball + 0.6 * up, 0.6 * ball + 1.6 * up])
    return SCALES[scale] * points


def margin(hull, points):
    """How far points [N, 2] lie within a hull, in pixels; below 0 outside."""
    return -(points @ hull.equations[:, :2].T + hull.equations[:, 2]).max(axis=1)


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize(("scale", "orientation"), [(0, 0), (3, 5), (7, 14), (6, 9)])
def test_silhouettes_are_projections_of_the_solids(shape, scale, orientation):
    image = images(
        floor_hue=CYAN, wall_hue=CYAN, object_hue=RED, shape=shape, scale=scale,
        orientation=orientation,
    )[0]  # fmt: skip
    hull = ConvexHull(projected(surface(shape, scale, TURNS[orientation])))
    corners = np.stack(np.meshgrid(np.arange(SIDE + 1), np.arange(SIDE + 1)), axis=-1)
    inner = margin(hull, corners.reshape(-1, 2)).reshape(SIDE + 1, SIDE + 1)
    around = np.stack([inner[:-1, :-1], inner[:-1, 1:], inner[1:, :-1], inner[1:, 1:]])
    red, green = image[..., 0], image[..., 1]
    inside, outside = (around > 0.02).all(axis=0), (around < -1).all(axis=0)
    assert inside.any()
    assert outside.any()
    assert (red[inside] > 0.39).all()  # light from everywhere
    assert (green[inside] == 0).all()
    assert (red[outside] == 0).all()
    # a pixel at the edge has the part that its rays meet: the areas agree
    area = hull.volume
    covered = red.sum() / red[inside].mean()
    assert abs(covered - area) < 0.06 * area + 1.5


def test_the_corner_moves_as_the_room_turns():
    image = images(wall_hue=RED, floor_hue=CYAN, object_hue=CYAN, orientation=range(15), scale=0)
    top = image[:, 0, :, 0].astype(float)
    forward = (AT - EYE) / np.linalg.norm(AT - EYE)
    up = np.cross(forward, [1.0, 0, 0])
    ray = forward + (1 - 1 / SIDE) * TANGENT * up  # through the middle of the top row
    # the corner's vertical line, at the depth and side that turn it by the angle
    aside = CORNER * np.sin(TURNS) / (CORNER * np.cos(TURNS) - EYE[2]) * ray[2]
    expected = (aside / TANGENT + 1) / 2 * SIDE
    left, right = top[:, :1], top[:, -1:]
    found = SIDE - ((top - left) / (right - left)).sum(axis=1)
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert (np.diff(found) > 0.3).all()
    assert (right > left).all()  # the right wall faces the light


def test_light_comes_from_above_on_the_left():
    image = images(floor_hue=CYAN, wall_hue=CYAN, object_hue=RED, shape=2, scale=7)[0]
    red = image[..., 0]
    rows, columns = np.nonzero(red)
    brightest = np.unravel_index(red.argmax(), red.shape)
    assert brightest[0] < rows.mean() - 1
    assert brightest[1] < columns.mean() - 1


def test_a_sphere_casts_its_shadow_on_the_floor():
    """Where the line from the floor to the light comes nearer to its centre than its radius."""
    cyan = dict.fromkeys(("floor_hue", "wall_hue", "object_hue"), CYAN)
    floor, wall, solid = (
        images(shape=2, scale=6, **cyan | {part: RED})[0, ..., 0] for part in cyan
    )
    forward = (AT - EYE) / np.linalg.norm(AT - EYE)
    up = np.cross(forward, [1.0, 0, 0])
    across = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1) * TANGENT
    rays = forward + across[None, :, None] * [1.0, 0, 0] - across[:, None, None] * up
    points = EYE - EYE[1] / rays[..., 1:2] * rays
    light = np.array([-0.55, 0.75, -0.5]) / np.linalg.norm([-0.55, 0.75, -0.5])
    centre = np.array([0, SCALES[6], 0])
    distance = np.linalg.norm(np.cross(points - centre, light), axis=-1) / SCALES[6]
    only = (solid == 0) & (wall == 0)
    dark, lit = only & (distance < 0.75), only & (distance > 1.25)
    assert dark.sum() >= 3
    bright = 0.4 + 0.6 * light[1]
    np.testing.assert_allclose(floor[lit], bright, atol=0.003)
    np.testing.assert_allclose(floor[dark], 0.6 * bright, atol=0.003)


def test_hues_are_those_of_colorsys():
    import colorsys

    expected = [colorsys.hsv_to_rgb(k / 10, 1, 1) for k in range(10)]
    np.testing.assert_allclose(HUES / 5, expected, atol=1e-9)


def test_every_factor_is_seen_whatever_the_hues():
    """All 480 geometries differ where everything is of one hue; and all hues of each part."""
    for hue in (0, 7):
        same = images(
            floor_hue=hue, wall_hue=hue, object_hue=hue, scale=range(8), shape=range(4),
            orientation=range(15),
        )  # fmt: skip
        assert len(np.unique(same.reshape(480, -1), axis=0)) == 480
    for name in ("floor_hue", "wall_hue", "object_hue"):
        for shape in range(4):
            parts = images(**{name: range(10)}, shape=shape, orientation=7)
            assert len(np.unique(parts.reshape(10, -1), axis=0)) == 10
            away = np.abs(parts[:, None] - parts[None]).max(axis=(2, 3, 4)) + np.eye(10)
            assert away.min() > 0.1


def test_a_random_part_of_the_grid_is_all_different():
    some = np.random.default_rng(0).choice(480_000, 5000, replace=False)
    factors = np.stack(np.unravel_index(some, SIZES), axis=1).astype(np.int32)
    assert len(np.unique(np.asarray(draw(factors, SIDE)).reshape(5000, -1), axis=0)) == 5000


def test_images_are_the_same_in_any_program_and_precision():
    factors = np.random.default_rng(0).integers(0, SIZES, (60, 6)).astype(np.int32)
    expected = np.asarray(draw(factors, SIDE))
    assert 0 <= expected.min() < expected.max() <= 1
    np.testing.assert_array_equal(render(jnp.asarray(factors), SIDE), expected)
    one = functools.partial(render, resolution=SIDE)
    np.testing.assert_array_equal(jax.jit(jax.vmap(one))(factors), expected)
    np.testing.assert_array_equal(jax.lax.map(one, factors), expected)
    with jax.enable_x64(True):
        wide = render(jnp.asarray(factors), SIDE)
        assert wide.dtype == jnp.float64
        np.testing.assert_allclose(wide, expected, rtol=2e-7)
        whole = np.asarray(wide) * 255 * 16 * 40 * 5
        np.testing.assert_allclose(whole, np.rint(whole), atol=1e-6)


def test_the_images_never_change():
    factors = [[0, 3, 7, 0, 0, 0], [9, 1, 4, 7, 1, 14], [2, 5, 8, 3, 2, 7], [6, 6, 1, 5, 3, 10]]
    drawn = np.asarray(draw(np.array(factors, np.int32), SIDE)).astype(float)
    np.testing.assert_array_equal(
        np.rint(drawn * 255 * 16 * 40 * 5).sum(axis=(1, 2)),
        [
            [85219570, 74297000, 10179200],
            [114666725, 66910640, 47952755],
            [65889684, 128610105, 80174400],
            [17702400, 62363968, 129356320],
        ],
    )


def test_a_finer_image_averages_to_a_coarser_one():
    """Rays are twice as many along a side: their means are near to those of fewer."""
    fine = images(2 * SIDE, floor_hue=2, wall_hue=6, object_hue=9, scale=7, shape=range(4))
    means = fine.reshape(4, SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4))
    away = np.abs(means - images(floor_hue=2, wall_hue=6, object_hue=9, scale=7, shape=range(4)))
    assert away.mean() < 0.005
    assert away.max() < 0.2


@pytest.mark.parametrize(("name", "side"), [("scenes", 64), ("scenes32", 32), ("scenes16", 16)])
def test_the_grid_is_in_the_order_of_3d_shapes(name, side):
    whole = data.load(name, "all")
    assert whole.size == 480_000
    assert list(whole.factor_sizes) == [
        "floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation",
    ]  # fmt: skip
    assert tuple(whole.factor_sizes.values()) == (10, 10, 10, 8, 4, 15)
    assert whole.spec["image"].shape == (side, side, 3)
    assert [data.load(name, split).size for split in ("train", "test")] == [460_000, 10_000]
    if name == "scenes16":
        index = np.array([0, 1, 15, 60, 480, 4800, 48_000, 479_999])
        batch = jax.jit(whole.fetch)(whole.arrays, index)
        expected = np.eye(6, dtype=int)[::-1]
        np.testing.assert_array_equal(batch["factors"], [[0] * 6, *expected, [9, 9, 9, 7, 3, 14]])
        np.testing.assert_array_equal(batch["image"], draw(batch["factors"], 16))
        assert scenes.render(batch["factors"][0], 16).shape == (16, 16, 3)
