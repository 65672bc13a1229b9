"""A stand-in for a clone of the released code: the same files, names and signatures, with a network of one layer."""

FILES = {
    'simclr.py': """
import numpy as np
import torch
from models.resnet_simclr import ResNetSimCLR
from loss.nt_xent import NTXentLoss

apex_support = False
torch.manual_seed(2)
np.random.seed(5)
seen = []


def _save_config_file(folder):
    raise OSError('no such home')


class SimCLR:
    def __init__(self, dataset, config, lumbda, number):
        print('The configurations of this model')
        self.dataset, self.config = dataset, config

    def train(self):
        train_loader, valid_loader = self.dataset.get_data_loaders()
        model = ResNetSimCLR(**self.config['model'])
        optimizer = torch.optim.Adam(model.parameters(), 3e-4)
        _save_config_file('/home/authors')
        for epoch in range(self.config['epochs']):
            for i, (xis, labelis, xjs, labeljs, imgis, imgjs) in enumerate(train_loader, 1):
                seen.append((tuple(xis.shape), tuple(xjs.shape), labelis.tolist()))
                optimizer.zero_grad()
                NTXentLoss()(model(xis), model(xjs)).backward()
                optimizer.step()
                print(i, len(train_loader))
            if self._validate(model, valid_loader) < np.inf:
                raise OSError('no such home')
""",
    'config.yaml': """
batch_size: 32
epochs: 300
fp16_precision: True
model: {out_dim: 4}
dataset: {s: 1, input_shape: "(224,224,3)", num_workers: 4, valid_size: 0.20}
""",
    'data_aug/dataset_wrapper_Ultrasound_Video_Mixup.py': """
import os
from PIL import Image
from torchvision import transforms


class USDataset_video:
    def __init__(self, data_dir, transform=None, LabelList=None, DataList=None, Checkpoint_Num=None):
        self.label_name = {'Reg': 0, 'Cov': 1}
        self.folders = sorted(os.listdir(data_dir))
        self.data_dir, self.transform, self.LabelList = data_dir, transform, LabelList
        assert list(DataList) == list(range(len(self.folders)))

    def __len__(self):
        return len(self.folders)

    def __getitem__(self, index):
        folder = os.path.join(self.data_dir, self.folders[index])
        names = [name for name in os.listdir(folder) if name.endswith('.jpg')][:3]
        paths = [os.path.join(folder, name) for name in names]
        a, b, c = self.transform([Image.open(path).convert('RGB') for path in paths])
        label = self.label_name[paths[0][35:38]] if index in self.LabelList else 9999
        return (a + b) / 2, label, (b + c) / 2, label, a, b


class DataSetWrapper:
    def __init__(self, batch_size, LabelList, DataList, Checkpoint_Num, num_workers, valid_size, input_shape, s):
        self.input_shape = eval(input_shape)

    def _get_simclr_pipeline_transform(self):
        return transforms.Compose([transforms.Resize(self.input_shape[:2]), transforms.ToTensor()])


class SimCLRDataTransform:
    def __init__(self, transform):
        self.transform = transform

    def __call__(self, sample):
        return tuple(self.transform(image) for image in sample)
""",
    'models/resnet_simclr.py': """
from torch import nn


class ResNetSimCLR(nn.Sequential):
    def __init__(self, out_dim):
        super().__init__(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, out_dim))
""",
    'loss/nt_xent.py': """
from torch import nn


class NTXentLoss(nn.Module):
    def forward(self, first, second):
        return (first - second).pow(2).mean()
""",
}


def write_clone(folder):
    for name, text in FILES.items():
        path = folder / 'train_USCL' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
