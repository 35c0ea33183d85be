"""Small data sets written in TFDS's own on-disk format, without TensorFlow."""

import numpy as np
import pytest


@pytest.fixture
def write_tfds(tmp_path):
    """A function that writes splits of examples, and returns the data directory.

    Images are given as PIL images: TFDS then writes them as PNG without TensorFlow.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import example_serializer, file_adapters

    def write(name, features, splits, version="1.0.0", suffix="array_record", **info):
        features = tfds.features.FeaturesDict(features)
        folder = tmp_path / "tfds" / name / version
        folder.mkdir(parents=True)
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name.split("/")[0], filetype_suffix=suffix
        )
        serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
        infos = []
        for split, examples in splits.items():
            records = [serializer.serialize_example(features.encode_example(e)) for e in examples]
            file = folder / f"{template.dataset_name}-{split}.{suffix}-00000-of-00001"
            file_adapters.ArrayRecordFileAdapter.write_examples(file, enumerate(records))
            infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[len(records)],
                    num_bytes=sum(map(len, records)),
                    filename_template=template.replace(split=split),
                )
            )
        tfds.folder_dataset.write_metadata(
            data_dir=folder,
            features=features,
            split_infos=infos,
            filename_template=template,
            check_data=False,  # reads them with TensorFlow
            **info,
        )
        return tmp_path / "tfds"

    return write


@pytest.fixture
def write_digits(write_tfds):
    """Writes 8x8 images of which every pixel is 255 less the number, with labels modulo 3."""
    import tensorflow_datasets as tfds
    from PIL import Image

    features = {
        "image": tfds.features.Image(shape=(8, 8, 1)),
        "label": tfds.features.ClassLabel(num_classes=3),
    }

    def write(name, sizes, **options):
        splits, start = {}, 0
        for split, size in sizes.items():
            splits[split] = [
                {"image": Image.fromarray(np.full((8, 8), 255 - i, np.uint8)), "label": i % 3}
                for i in range(start, start + size)
            ]
            start += size
        return write_tfds(name, features, splits, **options)

    return write
