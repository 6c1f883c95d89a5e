"""CIFAR-10: the loader on files in the original format, which the tests write; views of its images."""

import numpy as np
import pytest

from minidl import nn
from minidl.data import DataError, cifar, registry


def write(folder, n=4):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, n, 3, 32, 32), np.uint8), rng.integers(0, 10, (6, n), np.uint8)
    for name, own, label in zip((*cifar.TRAIN, cifar.TEST), images, labels, strict=True):
        with open(folder / name, "wb") as file:
            for image, k in zip(own, label, strict=True):
                file.write(bytes([k]) + image.tobytes())
    return images, labels


def test_images_and_labels_are_those_of_the_files(tmp_path, monkeypatch):
    images, labels = write(tmp_path / "cifar10")
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    for found in (cifar.cifar10(), cifar.cifar10(tmp_path), cifar.cifar10(tmp_path / "cifar10")):
        np.testing.assert_array_equal(found.train_images * 255, images[:5].reshape(-1, 3, 32, 32))
        np.testing.assert_array_equal(found.train_labels, labels[:5].ravel())
        np.testing.assert_array_equal(found.test_labels, labels[5])
        assert found.test_images.dtype == np.float32 and found.test_images.max() <= 1
    assert registry.missing("cifar10") is None and registry.fetch("cifar10") == tmp_path / "cifar10"


def test_what_is_missing_or_damaged_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    assert "there is no such file" in registry.missing("cifar10")
    write(tmp_path / "cifar10")
    path = tmp_path / "cifar10" / "data_batch_3.bin"
    whole = path.read_bytes()
    for data, sentence in (
        (whole[:-1], "records of 3073 bytes"),
        (b"", "0 bytes"),
        (b"\x0a" + whole[1:], r"a label of 10.*labels in 0\.\.9"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=sentence):
            cifar.cifar10(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_3.bin.*there is no such file.*MINIDL_DATA"):
        cifar.cifar10(tmp_path)


# ---- views ----------------------------------------------------------------------------------------------------------


@pytest.mark.source("fedavg:cifar-cnn")
def test_without_a_generator_the_middle_is_whitened():
    x = np.random.default_rng(0).random((3, 3, 32, 32))
    middle = x[:, :, 4:28, 4:28]
    y = nn.DistortedImages(24)(x).data
    mean, deviation = middle.mean((1, 2, 3), keepdims=True), middle.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(y, (middle - mean) / deviation)
    grey = nn.DistortedImages(24)(np.full((1, 3, 32, 32), 0.3)).data
    np.testing.assert_allclose(grey, 0, atol=1e-9)  # divided by a bound, not by nothing


@pytest.mark.source("fedavg:cifar-cnn")
def test_a_view_is_a_crop_or_its_mirror_image_brighter_and_with_more_or_less_contrast():
    size, x = 5, np.random.default_rng(1).random((40, 2, 8, 7))
    layer = nn.DistortedImages(size, brightness=0.2, contrast=0.5)
    y = layer.drawn(x, np.random.default_rng(2))
    assert y.shape == (40, 2, size, size)
    found = []
    for own, view in zip(x, y, strict=True):
        fits = []
        for top in range(4):
            for left in range(3):
                crop = own[:, top : top + size, left : left + size]
                for mirrored, c in enumerate((crop, crop[:, :, ::-1])):
                    mean = c.mean((1, 2), keepdims=True)
                    factor = ((view - view.mean((1, 2), keepdims=True)) * (c - mean)).sum() / ((c - mean) ** 2).sum()
                    brighter = view.mean((1, 2)) - mean[:, 0, 0]
                    if abs((c - mean) * factor + mean + brighter[0] - view).max() < 1e-12:
                        fits.append((top, left, mirrored, factor, brighter[0]))
        assert len(fits) == 1
        found.append(fits[0])
    top, left, mirrored, factor, brighter = np.array(found).T
    assert set(top) == {0, 1, 2, 3} and set(left) == {0, 1, 2} and 8 <= mirrored.sum() <= 32
    assert factor.min() > 0.5 and factor.max() < 1.5 and factor.std() > 0.1
    assert abs(brighter).max() < 0.2 and brighter.std() > 0.05


def test_views_are_noise_like_any_other():
    x = np.random.default_rng(0).random((4, 3, 32, 32)).astype(np.float32)
    layer = nn.DistortedImages()
    np.testing.assert_array_equal(layer(x, rng=3).data, layer(x, rng=3).data)
    assert (layer(x, rng=3).data != layer(x, rng=4).data).any() and layer(x, rng=3).dtype == np.float32
    with pytest.raises(ValueError, match="expects images .* of at least 24 x 24, got"):
        layer(x[:, :, :20])
    with pytest.raises(ValueError, match="brightness and contrast must lie in"):
        nn.DistortedImages(contrast=2)
