"""Glyphs: factors against moments of what is drawn, and pairs against drawings of their own."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ae_jax import data
from ae_jax.core import InputError
from ae_jax.data.sources import glyphs
from ae_jax.data.sources.glyphs import CHARACTERS, FACES

SANS, BOLD = "DejaVuSans", "DejaVuSerif-Bold"
UPRIGHT = [4, 4, 2, 2]  # of rotation, scale, x, y: as large as can be, in the middle


def everything(dataset):
    batch = dataset.fetch(dataset.arrays, np.arange(dataset.size))
    return {name: np.asarray(entry) for name, entry in batch.items()}


def cells(dataset):
    """Letter and place, without the face."""
    return {tuple(row) for row in np.delete(everything(dataset)["factors"], 1, axis=1)}


def centre(images):
    """Mean (x, y) of the light [N, 2], in pixels from the top left corner."""
    light, at = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None], np.arange(48) + 0.5
    return np.stack([light.sum(axis=axis) @ at for axis in (1, 2)], axis=1)


def drawn(*rows, face=SANS, letters="A", size=48, rendering="filled"):
    return glyphs.render(np.array(rows), [face], letters, size, rendering).astype(float)


def test_all_faces_have_all_characters_and_all_differ():
    rows = np.array([[i, j, *UPRIGHT] for i in range(len(CHARACTERS)) for j in range(len(FACES))])
    images = glyphs.render(rows, FACES, CHARACTERS, 16)
    assert len({image.tobytes() for image in images}) == len(rows)
    # what a font lacks is drawn as a box, which would be the same for all that it lacks
    missing = {f: ImageFont.truetype(glyphs.font(f, 64).path, 64).getmask("\uffff") for f in FACES}
    for face in FACES:
        found = glyphs.font(face, 64)
        assert all(bytes(found.getmask(c)) != bytes(missing[face]) for c in CHARACTERS)


def test_upright_and_unmoved_it_is_what_pillow_writes():
    size, finer = 48, 16
    for letter in "Rq":
        found = drawn([0, 0, *UPRIGHT], letters=letter, size=size)[0, ..., 0]
        font = ImageFont.truetype(glyphs.font(SANS, 9).path, 0.55 * size * finer)
        whole = Image.new("L", (size * finer,) * 2)
        ImageDraw.Draw(whole).text((0, 0), letter, 255, font)
        box = whole.getbbox()
        width, height = box[2] - box[0], box[3] - box[1]
        start = round((size * finer - width) / 2), round((size * finer - height) / 2)
        middle = Image.new("L", whole.size)
        middle.paste(whole.crop(box), start)
        expected = np.asarray(middle.reduce(finer), float)
        assert abs(found - expected).mean() < 0.7
        assert abs(found - expected[:, ::-1]).mean() > 3


def test_factors_turn_scale_and_move():
    places = [[0, 0, 4, 4, x, y] for x, y in ((0, 0), (4, 0), (0, 4), (2, 2))]
    at = centre(drawn(*places))
    step = 48 / 16
    np.testing.assert_allclose(at[1] - at[0], [2 * step, 0], atol=0.02)
    np.testing.assert_allclose(at[2] - at[0], [0, 2 * step], atol=0.02)
    np.testing.assert_allclose(at[3] - at[0], [step, step], atol=0.02)
    light = drawn(*([0, 0, 4, scale, 2, 2] for scale in range(5))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(light / light[-1], np.linspace(0.75, 1, 5) ** 2, rtol=0.01)
    images = drawn(*([0, 0, turn, 4, 2, 2] for turn in range(9)), letters="I")[..., 0]
    rows, columns = np.mgrid[:48, :48] - 23.5
    along, across, mixed = (
        (images * moment).sum(axis=(1, 2)) for moment in (rows**2, columns**2, rows * columns)
    )
    # the long axis of an upright stroke, counter-clockwise; rows count downwards
    angle = np.rad2deg(np.arctan2(2 * mixed, along - across)) / 2
    np.testing.assert_allclose(angle, np.linspace(-20, 20, 9), atol=0.2)


@pytest.mark.parametrize("rendering", ["filled", "outline"])
def test_nothing_is_cut_off(rendering):
    """As far as can be from the middle, the widest letters of all faces are what they are in it."""
    turned = [[i, j, r, 4] for i in range(2) for j in range(len(FACES)) for r in (0, 8)]
    middle, corner = (
        glyphs.render(np.array([[*row, at, at] for row in turned]), FACES, "WM", 32, rendering)
        for at in (2, 4)
    )
    rim = np.ones((32, 32), bool)
    rim[2:-2, 2:-2] = False
    assert not middle[:, rim].any()
    np.testing.assert_array_equal(corner[:, 2:, 2:], middle[:, :-2, :-2])


def test_renderings_are_of_the_same_places():
    row = [0, 0, 6, 3, 1, 3]
    filled, outline, dark = (
        drawn(row, face=BOLD, letters="R", rendering=rendering)[0, ..., 0]
        for rendering in glyphs.RENDERINGS
    )
    ring = np.pad(filled, 2)  # what is within two pixels of the letter
    near = np.max([np.roll(ring, (i, j), (0, 1)) for i in range(-2, 3) for j in range(-2, 3)], 0)
    assert outline[near[2:-2, 2:-2] < 8].max() < 8
    assert outline[filled == 255].max() < 128
    assert (filled + outline)[filled > 64].min() > 150  # no gap between a letter and its line
    squares = np.add.outer(np.arange(48) // 6, np.arange(48) // 6) % 2
    np.testing.assert_array_equal(dark, np.where(squares, 191, 255) * (255 - filled) // 255)


def test_factors_are_those_of_the_images():
    dataset = data.glyphs(40, (SANS, BOLD), "XAb3", 16, split="validation", skip=7)
    batch = everything(dataset)
    sizes = {"letter": 4, "face": 2, "rotation": 9, "scale": 5, "x": 5, "y": 5}
    assert dataset.factor_sizes == sizes
    assert dataset.spec["image"].shape == (16, 16, 1)
    assert dataset.arrays["image"].dtype == np.uint8
    np.testing.assert_array_equal(batch["label"], batch["factors"][:, 0])
    again = glyphs.render(batch["factors"], (SANS, BOLD), "XAb3", 16)
    np.testing.assert_array_equal(batch["image"], again * np.float32(1 / 255))
    for column, other in ((0, 4), (1, 2)):  # another letter, or another face, is another image
        wrong = batch["factors"].copy()
        wrong[:, column] = (wrong[:, column] + 1) % other
        images = glyphs.render(wrong, (SANS, BOLD), "XAb3", 16)
        assert (images != again).any(axis=(1, 2, 3)).all()
    whole = everything(data.glyphs(47, (SANS, BOLD), "XAb3", 16, split="validation"))
    np.testing.assert_array_equal(whole["factors"][7:], batch["factors"])


def test_splits_share_no_letter_in_a_place_in_any_face():
    held_out = 26 * 112
    sizes = {"train": 26 * 901, "validation": held_out, "test": held_out}
    found = {
        split: glyphs._factors(1, CHARACTERS[:26], size, split, 0) for split, size in sizes.items()
    }
    rows = np.concatenate(list(found.values()))
    assert len(np.unique(rows, axis=0)) == len(rows) == 26 * 9 * 5 * 5 * 5
    some = cells(data.glyphs(90, (SANS, BOLD), "QA", 8, split="train"))
    assert not some & cells(data.glyphs(90, BOLD, "QA", 8, split="test"))
    # which split a letter's place is in does not depend on the other letters
    train = {tuple(row) for row in found["train"]}
    assert {(16 * (not row[0]), 0, *row[1:]) for row in some} <= train


def test_the_default_is_drawn_once_and_the_same_everywhere():
    dataset = data.load("glyphs", "test")
    assert dataset.size == 1000
    assert dataset.spec["image"].shape == (32, 32, 1)
    assert data.load("glyphs", "test").arrays["image"] is dataset.arrays["image"]
    factors = everything(dataset)["factors"]
    assert (factors.max(axis=0) + 1).tolist() == list(dataset.factor_sizes.values())
    assert np.bincount(factors[:, 0]).min() > 20
    code = "from ae_jax import data; print(data.load('glyphs', 'test').digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == dataset.digest


@pytest.mark.parametrize(
    "styles",
    [
        {"faces": (SANS, BOLD)},
        {"renderings": ("filled", "outline")},
        {"faces": (SANS, BOLD), "renderings": ("dark", "filled")},
    ],
)
def test_pairs_differ_in_face_or_rendering_only(styles):
    batch = everything(data.glyph_pairs(30, letters="ABC", size=16, split="test", **styles))
    faces = styles.get("faces", (SANS, SANS))
    renderings = styles.get("renderings", ("filled", "filled"))
    for name, face, rendering in zip(("image", "target"), faces, renderings, strict=True):
        expected = glyphs.render(batch["factors"], [face], "ABC", 16, rendering)
        np.testing.assert_array_equal(batch[name], expected * np.float32(1 / 255))


def test_domains_share_no_letter_in_a_place():
    domains = data.glyph_domains(100, (SANS, BOLD), letters="AB", size=16, split="train")
    batch = everything(domains)
    assert set(batch) == {"image", "label", "factors", "other", "other_label"}
    first = data.glyphs(100, SANS, "AB", 16, split="train")
    second = data.glyphs(100, BOLD, "AB", 16, split="train", skip=100)
    assert not cells(first) & cells(second)
    np.testing.assert_array_equal(batch["image"], everything(first)["image"])
    others = [
        sorted(map(bytes, images)) for images in (batch["other"], everything(second)["image"])
    ]
    assert others[0] == others[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"faces": "Arial"}, "there is no face 'Arial': choose from DejaVuSans, "),
        ({"faces": ()}, "each face is named once, and at least one"),
        ({"faces": (SANS, SANS)}, "each face is named once"),
        ({"letters": "AÄ"}, "there is no letter 'Ä': choose from A to Z"),
        ({"letters": ""}, "each letter is named once, and at least one"),
        ({"letters": "AA"}, "each letter is named once"),
        ({"rendering": "bold"}, "unknown rendering 'bold': choose from filled, outline, dark"),
        ({"split": "valid"}, "unknown split 'valid'; choose from train"),
        ({"size": 7}, "glyphs are 8 to 256 pixels a side, not 7"),
        ({"size": 16.0}, "glyphs are 8 to 256 pixels a side, not 16.0"),
        ({"count": 0}, "whole numbers from 1 and 0, got 0 and 0"),
        ({"count": True}, "whole numbers from 1 and 0"),
        ({"skip": -1}, "whole numbers from 1 and 0, got 5 and -1"),
        ({"letters": "A", "faces": SANS, "split": "test", "skip": 110}, "112 images of split"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        data.glyphs(**{"count": 5} | arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build", [data.glyph_pairs, data.glyph_domains])
def test_a_pair_needs_two_styles(build):
    for styles in ({}, {"faces": (SANS, SANS)}, {"faces": (SANS,)}, {"faces": FACES}):
        with pytest.raises(InputError, match="two faces or two renderings are compared"):
            build(5, **styles)
