# A small CADFormer for scenes that are mostly without the object: it learns from windows
# that cut objects, as tiles do (docs/generalised.md, with a second training). The data:
# python tools/dataset_converters/synthrs.py data_source --difficulty generalised
#     --max-sentences 1 --image-size 96 --train 4000 --val 300 --test 1
# python projects/cadformer/gating_scene.py windows data_source --out data_windows
_base_ = './cadformer_tiny_synthrs_generalised.py'
model = dict(backbone=dict(steady_language=True))
_resize = dict(type='Resize', scale={{_base_.image_size}}, keep_ratio=False)
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomReferringFlip', prob=0.5),
    dict(type='RandomReferringRotate90', prob=0.5),
    _resize,
    dict(type='PackReferringInputs'),
]
_dataset = dict(type='ReferringJsonDataset', data_root='data_windows')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_dataset))
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
train_cfg = dict(max_epochs=3)
default_hooks = dict(checkpoint=dict(save_best='AUROC'))
