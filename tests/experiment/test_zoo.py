import jax
import numpy as np
import pytest

from ae_jax.experiment import zoo

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(40, 2, 2, 1)).astype(np.float32)


def test_codes_that_tell_the_class_and_those_that_do_not():
    label = np.arange(40) % 2
    train, test = {"image": IMAGES, "label": label}, {"image": IMAGES[:10], "label": label[:10]}
    codes = np.stack([label, RNG.normal(size=40)], axis=1)
    found = zoo.coded([codes, codes[:10]], (train, test), IMAGES[:10] + 0.5)
    assert found == pytest.approx({"squared_error": 4 * 0.25, "probe": 100.0})
    plain = {"image": IMAGES}, {"image": IMAGES[:10]}
    assert set(zoo.coded([codes, codes[:10]], plain, IMAGES[:10])) == {"squared_error"}


def test_every_density_of_codes_is_decoded_and_the_wrong_one_is_far():
    codes = RNG.normal(size=(200, 2)) + 5
    made = zoo.decoded(jax.random.key(0), codes, 2, 300, lambda z: z.reshape(-1, 1, 2, 1))
    assert set(made) == set(zoo.SAMPLERS[1:])
    real = RNG.normal(size=(300, 1, 2, 1)) + 5
    found = zoo.distances({**made, "prior": real - 5}, real)
    nearest = found.pop("kernel_prior") / 20
    assert all(abs(distance) < nearest for distance in found.values())


def test_what_codes_do_not_allow_is_left_out_alone(capsys):
    codes = RNG.normal(size=(20, 2))
    made = zoo.decoded(jax.random.key(0), codes, 21, 3, lambda z: z)
    assert set(made) == {"gaussian", "kernels"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mixture is not fitted: a mixture of 21 components needs 21 codes that")


def test_images_are_drawn_as_zeros_and_ones_always_the_same():
    first, again = (zoo.binary({"image": IMAGES})["image"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert set(np.unique(first)) == {0, 1}
