"""The card of a final model."""

import shlex

from mmengine.config import Config

from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown
from uscl.version import __version__

from .final_model import FinalModel


def model_card(model: FinalModel, cfg: Config) -> str:
    """What a final model is, what it was trained on, how good it is, and what it is not for, as Markdown.

    It names files without their folders, which may be private.

    Args:
        model: The model.
        cfg: The config of its run.
    """
    backbone = model.backbone
    facts = [
        *model.facts,
        ('kept', model.reached(cfg)),
        ('data digest', model.data_digest),
        ('backbone', f'{backbone.architecture} from {backbone.source["file"]} ({backbone.identity})'),
        ('input', f'{"RGB" if backbone.to_rgb else "BGR"}, minus {backbone.mean}, divided by {backbone.std}'),
        ('size', str(model.settings['size'] or 'see config.py')),
        ('written by', f'uscl_plugin {__version__}; config.py has the command'),
    ]
    return f"""---
library_name: {model.library}
pipeline_tag: {model.tag}
tags: [ultrasound, uscl]
---
# {model.kind.capitalize()}: {for_markdown(', '.join(model.classes))}

{markdown(['', ''], facts)}

## How good is it?

{model.judged()[1]}

The figure under *kept* is not an answer: it is of the patients that chose the epoch.

## Use

```bash
{shlex.join(['uscl', 'predict', 'model.pth', 'CLIP'])}
```

`config.py` is the config of the run, for the tools of {model.library}.

## Limits

For research. It is not a medical device, gives no diagnosis and was not validated for clinical use. It only knows the
classes above, and was trained on the patients, machines and views of one data folder: on others it may fail without a
sign. The licence of the training data may restrict its use.
"""
