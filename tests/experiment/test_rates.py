"""What codecs are said to take, and that all of them see the same images."""

import numpy as np
import pytest

from ae_jax import coding
from ae_jax.experiment import rates

RNG = np.random.default_rng(0)
#: Smooth, so that there is something to save.
WAVES = np.add.outer(np.arange(12), 3 * np.arange(10))[None, ..., None]
IMAGES = np.uint8(127 + 100 * np.sin(WAVES / 9 + np.arange(7)[:, None, None, None]))


def test_the_cosines_are_an_orthonormal_basis_whose_first_is_constant():
    basis = rates.cosines((3, 2, 3))
    np.testing.assert_allclose(basis @ basis.T, np.eye(18), atol=1e-12)
    np.testing.assert_allclose(basis[0], 18**-0.5)
    x = RNG.standard_normal((3, 2, 3))
    # 2 cos(pi (2 n + 1) k / 2 N), of the second coefficient down, none across and of colours
    wave = np.cos(np.pi * (2 * np.arange(3) + 1) * 2 / 6) * np.sqrt(2 / 3) / np.sqrt(6)
    assert basis[12] @ x.ravel() == pytest.approx(np.sum(x * wave[:, None, None]))


def test_a_fine_quantiser_is_the_image_and_a_coarse_one_its_mean():
    tiles = IMAGES[:, :4, :5]
    mean = tiles.reshape(7, -1).mean(axis=0) / 255
    basis = rates.cosines((4, 5, 1))
    fine = rates.of_transform(basis, mean, 1e-3, tiles, IMAGES)
    assert fine["psnr"] > 100
    coarse = rates.of_transform(basis, mean, 1e3, tiles, IMAGES)
    tiled = np.rint(255 * np.tile(mean.reshape(4, 5, 1), (3, 2, 1)))
    error = np.mean((IMAGES - tiled) ** 2) / 255**2
    assert coarse["psnr"] == pytest.approx(-10 * np.log10(error))
    assert coarse["bits"] < 32 < fine["bits"]


def test_a_codec_of_the_means_of_tiles():
    def encode(tiles):
        return np.rint(255 * tiles.mean(axis=(1, 2, 3)))[:, None].astype(np.int64)

    def decode(codes):
        return np.broadcast_to(codes[..., None, None] / 255, (len(codes), 4, 5, 1))

    blocks = IMAGES.reshape(7, 3, 4, 2, 5)
    means = np.rint(blocks.mean(axis=(2, 4)))
    tables = coding.counted(means.reshape(-1, 1).astype(np.int64))
    found = rates.of_model(coding.Codec((4, 5, 1), encode, decode, tables, b""), IMAGES)
    content = coding.encode(tables, means.reshape(-1, 1).astype(np.int64))
    assert found["bits"] == pytest.approx(8 * len(content) / 7)
    assert found["file_bits"] - found["bits"] == pytest.approx(8 * coding.HEADER_BYTES / 7)
    error = np.mean((blocks - means[:, :, None, :, None]) ** 2) / 255**2
    assert found["psnr"] == pytest.approx(-10 * np.log10(error))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", rates.FORMATS)
def test_formats_see_all_images_in_one_file(name, channels):
    images = np.repeat(IMAGES, channels, axis=-1)
    settings = (15, 45) if name == "JPEG 2000" else (5, 100)
    low, high = (rates.of_format(name, setting, images) for setting in settings)
    assert low["psnr"] < high["psnr"]
    assert 0 < low["bits"] < high["bits"]
    assert high["psnr"] > 35
    header = 7 * (high["file_bits"] - high["bits"])
    assert header == pytest.approx(8 * round(header / 8))
    assert 8 * 20 < header < 8 * 1000
    black = rates.of_format(name, settings[1], np.zeros((1, 8, 8, channels), np.uint8))
    assert black["bits"] == 0
    assert black["file_bits"] == pytest.approx(header)


def rows(codec, scale, seed=None, points=(10, 20, 40)):
    return [
        {"codec": codec, "seed": seed, "bits": scale * bits, "psnr": 10 * np.log10(bits)}
        for bits in points
    ]


def test_what_is_said_of_curves():
    given = [*rows("ours", 1, 0), *rows("ours", 1, 1), *rows("PCA", 2), {"codec": "ours"}]
    at, against = rates.compared([*given, *rows("JPEG", 9, points=(10,))], "ours", "PCA", [11.0])
    assert at == f"bits at 11 dB: ours {10**1.1:.1f} ± 0.0, PCA {2 * 10**1.1:.1f}, JPEG -; " + (
        "ours by PCA 0.50."
    )
    assert "(BD-rate, %): PCA -50.0 ± 0.0, JPEG -." in against
    at, against = rates.compared(rows("PCA", 2), "ours", "PCA", [40.0])
    assert at == "bits at 40 dB: ours -, PCA -; ours by PCA -."
    assert "PCA -." in against
