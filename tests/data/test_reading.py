"""Examples in the hand."""

import numpy as np

from ae_jax import data


def test_the_head_the_images_and_their_vectors_are_those_of_the_data():
    image = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4, 1)
    dataset = data.stored(image, np.array([2, 0, 1]))
    np.testing.assert_array_equal(data.head(dataset, 2)["label"], [2, 0])
    np.testing.assert_array_equal(data.head(dataset, 9)["label"], [2, 0, 1])
    np.testing.assert_allclose(data.all_images(dataset), image / 255, rtol=1e-6)
    np.testing.assert_allclose(
        data.vectors(data.head(dataset, 2)), image[:2].reshape(2, 8) / 255, rtol=1e-6
    )
