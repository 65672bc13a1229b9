"""MMDetection's COCO dataset, with errors where it would train on nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from uscl.core.digest import file_digest
from uscl.core.sample_seed import SampleSeeder
from uscl_plugin.datasets.pipeline_settings import apply_steps

_REMEDY = 'convert your images and masks with tools/dataset_converters/lesions_to_coco.py KIND SRC --out DIR'


@DATASETS.register_module()
class LesionDataset(CocoDataset):
    """A folder that ``lesions_to_coco.py`` wrote: ``images/`` and COCO files in ``annotations/``.

    MMDetection silently leaves out annotations whose category the config does not name. Here the categories of the file
    and the config's classes must be the same. The file's path goes into the dataset's ``metainfo`` (``ann_file``),
    where :class:`LesionCocoMetric` finds it, so that a config names its data folder once for a loader and its metric.

    In training, the draws of an image depend on (run seed, epoch, image) alone; ``SampleSeedHook`` sets seed and epoch.

    Args:
        pipeline: The transforms.
        steps: Changes to them by type, ``dict(Resize=dict(scale=(512, 256)))``; see
            :func:`~uscl_plugin.datasets.pipeline_settings.apply_steps`.
        *args: Those of :class:`mmdet.datasets.CocoDataset`.
        **kwargs: Those of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        FileNotFoundError: There is no annotation file.
        ValueError: ``steps`` names what the pipeline does not have; the annotation file is no COCO file, has other
            categories than ``metainfo['classes']``, or another order of them, or holds no image or, for training, no
            lesion.
    """

    METAINFO = {'classes': ('lesion',), 'palette': [(220, 60, 20), (20, 120, 220)]}  # noqa: RUF012 (MMDetection's)

    def __init__(
        self,
        *args: Any,
        pipeline: Sequence = (),
        steps: Mapping[str, Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._seeder = SampleSeeder()
        super().__init__(*args, pipeline=apply_steps(pipeline, steps), **kwargs)

    def set_epoch(self, epoch: int, run_seed: int) -> None:
        """Say which epoch's draws come next, in this process and in its workers."""
        self._seeder.set(run_seed, epoch)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one image under its own seed."""
        if self.test_mode:
            return super().prepare_data(idx)
        info = self.get_data_info(idx)
        with self._seeder(str(info['img_id']), len(self)):
            data = super().prepare_data(idx)
        if data is None:  # MMEngine would take another image
            raise ValueError(
                f'{info["img_path"]}: a step of the pipeline gave None, such as a crop without a lesion: set its '
                f'allow_negative_crop, or leave the step out.'
            )
        return data

    def provenance(self) -> dict[str, Any]:
        """What a checkpoint says of the data: the digest of the annotation file; of the images nothing is known."""
        return {'settings': None, 'data_digest': file_digest(self.ann_file), 'sha256s': None}

    def load_data_list(self) -> list[dict]:
        """Check the annotation file, then read it as MMDetection does."""
        categories = _categories(Path(self.ann_file))
        classes = self.metainfo['classes']
        if list(categories) != list(classes):  # MMDetection numbers them in the order of the file
            raise ValueError(
                f'{self.ann_file} has the categories {", ".join(categories)}, the config the classes '
                f'{", ".join(classes)}: set metainfo.classes and num_classes to those of the file, or convert with '
                f'another --classes.'
            )
        self._metainfo['ann_file'] = str(Path(self.ann_file).resolve())
        images = super().load_data_list()
        if not images or (not self.test_mode and not any(image['instances'] for image in images)):
            what = 'image' if not images else 'lesion'
            raise ValueError(f'{self.ann_file} holds no {what}: {_REMEDY}, with a smaller --min-area or other splits.')
        return images


def _categories(path: Path) -> list[str]:
    if not path.is_file():
        folder = path.parents[1]
        inside = (
            ', '.join(sorted(entry.name for entry in folder.iterdir())[:6]) if folder.is_dir() else 'no such folder'
        )
        raise FileNotFoundError(
            f'{path} does not exist (expected images/ and annotations/ in {folder}, found: {inside}): {_REMEDY}.'
        )
    try:
        content: Any = json.loads(path.read_text(encoding='utf-8'))
        found = [category['name'] for category in content['categories']]
        content['images'], content['annotations']
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        is_clusters = b'"VideoClusters"' in path.read_bytes()[:500]
        other = ' (these are video clusters, for pretraining)' if is_clusters else ''
        raise ValueError(
            f'{path} is not a COCO file with images, annotations and categories{other}: {_REMEDY}.'
        ) from error
    return found
