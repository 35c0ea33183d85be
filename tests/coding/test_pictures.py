"""Files of pictures: of any size, whole, and of the model that wrote them."""

import numpy as np
import pytest

from ae_jax import coding
from ae_jax.core import InputError

RNG = np.random.default_rng(0)


def flat(tile, step=5, digest=b"a model!"):
    """Codes are pixels in steps of so many levels."""

    def encode(images):
        levels = np.rint(images.reshape(len(images), -1) * (255 / step))
        return levels.astype(int)

    def decode(codes):
        return (codes * (step / 255)).reshape(-1, *tile)

    size = int(np.prod(tile))
    tables = coding.counted(RNG.integers(0, 255 // step, size=(50, size)))
    return coding.Codec(tile, encode, decode, tables, digest)


GREY, COLOUR = flat((4, 3, 1)), flat((3, 4, 3))


@pytest.mark.parametrize("codec", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("shape", [(4, 3, 1), (9, 7, 1), (9, 7, 3), (1, 1, 3), (130, 140, 3)])
def test_any_size_comes_back(codec, shape):
    pixels = RNG.integers(0, 256, shape).astype(np.uint8)
    seen = []
    content = coding.compress(codec, pixels, lambda batches: seen.append(len(batches)) or batches)
    found = coding.decompress(codec, content)
    assert (found.shape, found.dtype) == (shape, np.uint8)
    np.testing.assert_array_equal(found, coding.to_bytes(np.rint(pixels / 5) * (5 / 255)))
    planes = 3 if (codec, shape[2]) == (GREY, 3) else 1
    tiles = planes * -(-shape[0] // codec.tile[0]) * -(-shape[1] // codec.tile[1])
    assert seen == [-(-tiles // 1024)]
    assert content == coding.compress(codec, pixels)
    assert len(content) == coding.HEADER_BYTES + len(coding.unpack(content).payload)


CONTENT = coding.compress(GREY, np.full((9, 7, 1), 100, np.uint8))


def altered(place, value):
    return CONTENT[:place] + bytes([value]) + CONTENT[place + 1 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no compressed picture"),
        (b"\x89PNG\r\n", "no compressed picture"),
        (CONTENT[:20], "cut short: copy it again"),
        (CONTENT[:-1], "cut short: copy it again"),
        (altered(4, 2), "of version 2, and 1 can be read"),
        (altered(13, 200), "damaged"),  # the height
        (altered(len(CONTENT) - 3, CONTENT[-3] ^ 1), "damaged"),
        (CONTENT + b"more", "damaged"),
    ],
    ids=["empty", "png", "header", "end", "version", "height", "bit", "more"],
)
def test_files_that_cannot_be_read(content, words):
    with pytest.raises(InputError, match=words):
        coding.decompress(GREY, content)


def test_another_models_file_is_refused():
    other = flat((4, 3, 1), digest=b"another!")
    with pytest.raises(InputError, match="another model wrote it"):
        coding.decompress(other, CONTENT)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((4, 3, 1)), "got float64"),
        (np.zeros((4, 3), np.uint8), r"got uint8 \[4, 3\]"),
        (np.zeros((4, 3, 4), np.uint8), r"got uint8 \[4, 3, 4\]"),
        (np.zeros((0, 3, 1), np.uint8), "no pixels"),
    ],
)
def test_refuses_what_is_no_picture(pixels, words):
    with pytest.raises(InputError, match=words):
        coding.compress(GREY, pixels)


def test_a_codec_that_could_not_read_its_own_files():
    tables = coding.counted(np.arange(4)[:, None])
    codec = coding.Codec(
        (2, 2, 1),
        lambda x: np.zeros((len(x), 1), int),
        lambda z: np.full((len(z), 2, 2, 1), np.nan, np.float32),
        tables,
        b"12345678",
    )
    picture = np.zeros((3, 3, 1), np.uint8)
    with pytest.raises(InputError, match="a digest of 3 bytes"):
        coding.compress(codec._replace(digest=b"123"), picture)
    content = coding.compress(codec, picture)
    for decode in (codec.decode, lambda z: np.zeros((len(z), 1, 2, 1), np.float32)):
        with pytest.raises(InputError, match=r"its codec says \[2, 2, 1\]"):
            coding.decompress(codec._replace(decode=decode), content)
    for read_by, count, words in ((tables, -1, "count is -1"), ((), 1, "no tables")):
        with pytest.raises(InputError, match=words):
            coding.decode(read_by, b"", count)
