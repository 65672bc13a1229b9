"""Every conversion keeps others out of its folder, and says what to do where it cannot write."""

import cv2
import numpy as np
import pytest

from uscl.clips.source_findings import SourceFindings
from uscl.convert.lesions.lesion_conversion import convert_lesions
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.convert.output_folder import output_folder
from uscl.convert.pocus.pocus_folds import convert_folds
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.errors import FolderInUseError, SourceError
from uscl.core.folder_lock import LOCK, lock_folder


def convert_pairs(out):
    for folder in ('images', 'masks'):
        path = out.parent / 'src' / folder / 'a.png'
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.pad(np.full((20, 20), 255, np.uint8), 6))
    return convert_lesions(out.parent / 'src', out, LesionSettings('pairs'))


@pytest.mark.parametrize(
    'convert',
    [
        lambda out: convert_sources(SourceFindings([]), out, StoreSettings()),
        lambda out: convert_folds([], out, StoreSettings()),
        convert_pairs,
    ],
)
def test_a_folder_that_is_taken_is_not_touched(convert, tmp_path):
    with lock_folder(tmp_path / 'out', 'converting'):
        with pytest.raises(FolderInUseError, match=r'out is in use by process \d+ on '):
            convert(tmp_path / 'out')
        assert [path.name for path in (tmp_path / 'out').iterdir()] == [LOCK]


def test_what_cannot_be_written_names_the_folder_and_the_remedy(tmp_path):
    with (
        pytest.raises(SourceError, match=rf'cannot write to {tmp_path} \(.*No space left.*\): free some space'),
        output_folder(tmp_path),
    ):
        raise OSError(28, 'No space left on device')
    with (
        pytest.raises(
            SourceError, match=rf'cannot write to {tmp_path} \(.*Read-only file system.*\): check its rights'
        ),
        output_folder(tmp_path),
    ):
        raise OSError(30, 'Read-only file system')
    with pytest.raises(BrokenPipeError), output_folder(tmp_path):  # standard output is not the folder
        raise BrokenPipeError
