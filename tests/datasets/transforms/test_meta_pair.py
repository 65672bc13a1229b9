import numpy as np
from mmengine.dataset import Compose

import uscl_plugin  # noqa: F401
from uscl_plugin.datasets.transforms import AddMetaPair


def test_the_first_frame_comes_twice_after_the_views_and_in_memory_of_its_own():
    frames = np.random.default_rng(0).integers(0, 256, (6, 10, 12), dtype=np.uint8)
    views = [np.zeros((10, 12, 3), np.uint8), np.ones((10, 12, 3), np.uint8)]
    item = dict(frames=frames, frame_inds=np.array([3, 4, 5]), imgs=['kept'], img=views)
    found = AddMetaPair()(item)
    assert found['img'][:2] == views and found['imgs'] == ['kept']
    assert found['frame_inds'].tolist() == [3, 4, 5]
    for image in found['img'][2:]:
        np.testing.assert_array_equal(image, np.dstack([frames[0]] * 3))
    assert not np.shares_memory(*found['img'][2:])


def test_the_pipeline_mixes_more_of_the_other_frame_than_of_the_anchor(root):
    """x = (1 - α) f1 + α f2 with α from Beta(3, 5), as a mean over draws."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    (path,) = (root / 'configs' / 'baselines').glob('meta-uscl_*.py')
    init_default_scope('mmpretrain')
    pipeline = Compose(Config.fromfile(path).train_dataloader.dataset.pipeline[:4])
    frames = np.stack([np.full((4, 4), 20 * k, np.uint8) for k in range(3)])
    np.random.seed(0)
    shares = []
    for _ in range(400):
        item = pipeline(dict(frames=frames))
        first, second, meta, _ = (image[0, 0, 0] for image in item['img'])
        assert item['frame_inds'].tolist() == [0, 1, 2] and meta == 0
        shares += [first / 20, 2 - second / 20]  # of the anchor, the middle frame
    assert np.mean(shares) == np.float64(shares).mean() and abs(np.mean(shares) - 3 / 8) < 0.03
    assert abs(np.std(shares) - np.sqrt(15 / 64 / 9)) < 0.03
    for count in (1, 2):  # the pair unmixed, or one frame twice
        item = pipeline(dict(frames=frames[3 - count :]))
        values = [int(image[0, 0, 0]) for image in item['img']]
        assert values == {1: [40, 40, 40, 40], 2: [20, 40, 20, 20]}[count]
