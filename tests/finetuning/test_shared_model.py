"""What is shared of a final model names no folder of the machine."""

import pytest
import torch
from mmengine.config import Config

from uscl.core.config_literals import read_literals
from uscl_plugin.finetuning.shared_model import write_shared_model
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


def texts(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


FOLDERS = ['/home/jane doe/data', '//jane/share', 'C:\\Users\\jane\\data', 'C:/jane/data', '\\\\jane\\share']


@pytest.mark.parametrize('folder', FOLDERS)
def test_names_stay_and_folders_go(tmp_path, folder):
    cfg = {
        'model': {'type': 'ResNet', 'depth': 18, 'init_cfg': {'checkpoint': f'{folder}/backbone.pth'}},
        'loaders': [({'data_root': f'{folder}/', 'rate': 1e-3, 'scale': (1, 2)},)],
        'finetuning': {'command': f"uscl finetune '{folder}' --out x"},
        'classes': ['a/b', 'c'],
    }
    meta = {'cfg': Config(cfg).pretty_text, 'dataset_meta': {'ann_file': f'{folder}/train.json', 'classes': ['a/b']}}
    meta['uscl'] = {'seen': {'signatures': ['/a/b+c', 'd/e']}}  # base64, which only looks like paths
    state = {'w': torch.ones(3)}
    content = {
        'meta': meta,
        'state_dict': state,
        'optimizer': {'x': 1},
        'message_hub': {'last_ckpt': folder},
        'kept': 1,
    }
    torch.save(content, tmp_path / 'run.pth')
    write_shared_model(tmp_path / 'run.pth', tmp_path / 'model.pth', ['finetuning'])
    found = load_plain_checkpoint(tmp_path / 'model.pth')
    assert found.keys() == {'meta', 'state_dict', 'kept'} and torch.equal(found['state_dict']['w'], state['w'])
    values = read_literals(found['meta']['cfg'])
    assert values['model'] == {'type': 'ResNet', 'depth': 18, 'init_cfg': {'checkpoint': 'backbone.pth'}}
    assert (
        values['loaders'][0][0]['scale'] == (1, 2) and values['classes'] == ['a/b', 'c'] and 'finetuning' not in values
    )
    assert found['meta']['dataset_meta'] == {'ann_file': 'train.json', 'classes': ['a/b']}
    assert found['meta']['uscl'] == meta['uscl']
    assert not [text for text in texts(found) if 'jane' in text]
