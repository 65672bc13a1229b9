"""MMDetection's COCO dataset, with errors where it would otherwise train on nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from uscl.core.digest import file_digest
from uscl.core.sample_seed import SampleSeeder
from uscl.data.coco_file import read_coco, repair_coco
from uscl_plugin.datasets.pipeline_settings import apply_steps

from .coco_index import index_coco

_REMEDY = 'convert your images and masks with tools/dataset_converters/lesions_to_coco.py KIND SRC --out DIR'


@DATASETS.register_module()
class LesionDataset(CocoDataset):
    """A folder written by ``lesions_to_coco.py``: ``images/`` and COCO files in ``annotations/``.

    MMDetection silently drops annotations whose category is not in the config, or that it cannot use. Here the
    categories in the file and the config's classes must be the same, and the whole file and its images are checked
    before training, see :func:`uscl.data.coco_file.read_coco`; unambiguous faults are repaired in memory, with a line
    in the log. The file's path is stored in the dataset's ``metainfo`` (``ann_file``), where :class:`LesionCocoMetric`
    finds it, so that a config names its data folder only once for a loader and its metric.

    In training, the draws of an image depend only on (run seed, epoch, image, occurrence), see ``SampleSeedHook``.

    Args:
        pipeline: The transforms.
        steps: Changes to the transforms by type, ``dict(Resize=dict(scale=(512, 256)))``; see
            :func:`~uscl_plugin.datasets.pipeline_settings.apply_steps`.
        *args: Arguments of :class:`mmdet.datasets.CocoDataset`.
        **kwargs: Arguments of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        FileNotFoundError: The annotation file is missing.
        ValueError: ``steps`` names a step that the pipeline does not have; the annotation file is not a COCO file, has
            faults (the first of each kind is named), has other categories than ``metainfo['classes']`` or in another
            order, or contains no images or, for training, no lesions.
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
        pipeline = apply_steps(pipeline, steps)
        self._needs_masks = any(isinstance(step, dict) and step.get('with_mask', False) for step in pipeline)
        super().__init__(*args, pipeline=pipeline, **kwargs)

    def set_epoch(self, epoch: int, run_seed: int, num_epochs: int = 0) -> None:
        """Set the epoch for the following draws, in this process and its workers."""
        self._seeder.set(run_seed, epoch, num_epochs)

    def set_occurrence(self, occurrence: int) -> None:
        """Set how often the next image has already come in this epoch, in this process only."""
        self._seeder.occurrence = occurrence

    def sample_key(self, info: dict) -> str:
        """What the draws of an image depend on, besides run seed, epoch and occurrence."""
        return str(info['img_id'])

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one image with its own seed."""
        if self.test_mode:
            return super().prepare_data(idx)
        info = self.get_data_info(idx)
        with self._seeder(self.sample_key(info), len(self)):
            data = super().prepare_data(idx)
        if data is None:  # MMEngine would substitute another image
            raise ValueError(
                f'{info["img_path"]}: a pipeline step returned None, such as a crop without a lesion: set its '
                f'allow_negative_crop, or remove the step.'
            )
        return data

    def provenance(self) -> dict[str, Any]:
        """Data facts for checkpoints: the digest of the annotation file; nothing is known about the images."""
        return {'settings': None, 'data_digest': file_digest(self.ann_file), 'entries': None}

    def load_data_list(self) -> list[dict]:
        """Check the annotation file and the images, then read it as MMDetection does."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise _no_file(path)
        content = read_coco(path, self.data_prefix['img'], self._needs_masks)
        categories = [category['name'] for category in content['categories']]
        classes = self.metainfo['classes']
        if categories != list(classes):  # MMDetection numbers them in file order
            raise ValueError(
                f'{self.ann_file} has the categories {", ".join(categories)}, but the config has the classes '
                f'{", ".join(classes)}: set metainfo.classes and num_classes to those of the file, or convert with '
                f'another --classes.'
            )
        for done in repair_coco(content):
            print_log(f'{self.ann_file}: {done}', logger='current')
        self._metainfo['ann_file'] = str(path.resolve())
        self.COCOAPI = lambda _: index_coco(content)  # MMDetection would read the file again
        images = super().load_data_list()
        del self.COCOAPI
        if not images or (not self.test_mode and not any(image['instances'] for image in images)):
            what = 'image' if not images else 'lesion'
            raise ValueError(f'{self.ann_file} has no {what}: {_REMEDY}, with a smaller --min-area or other splits.')
        return images


def _no_file(path: Path) -> FileNotFoundError:
    folder = path.parents[1]
    inside = ', '.join(sorted(entry.name for entry in folder.iterdir())[:6]) if folder.is_dir() else 'no such folder'
    return FileNotFoundError(
        f'{path} does not exist (expected images/ and annotations/ in {folder}, found: {inside}): {_REMEDY}.'
    )
