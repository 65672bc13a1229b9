# POCUS, linear probe by gradient descent: the backbone is fixed, including its batch norms. `tools/evaluate.py
# --protocol linear` fits the same classifier to features extracted once, in seconds.
_base_ = './resnet18_1xb32-finetune3-100e_pocus-224px.py'

default_hooks = dict(freezing=dict(trainable=['head'], batch_norm='frozen'))
