# Faster R-CNN with a ResNet-18 and FPN: MMDetection's own with the backbone and the input of r18_fpn.py.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './r18_fpn.py']

model = dict(**_base_.r18_fpn, roi_head=dict(bbox_head=dict(num_classes=1)))
