# A small CADFormer for a small data set of your own, any folder in the RefCOCO layout:
# python tools/train.py configs/cadformer_tiny_refcoco.py --data-root DIR --data-name NAME
# Begin with what the quickstart's model knows of sentences, which a few hundred of your
# own don't teach: --cfg-options load_from=work_dirs/quickstart/train/best_oIoU_epoch_4.pth
_base_ = './cadformer_tiny_synthrs.py'
# Near the size of the images: texture tells a pond from a meadow, and small objects
# vanish where images shrink. Time grows with the square.
image_size = (240, 240)
_resize = dict(type='Resize', scale=image_size, keep_ratio=False)
# What a small model learns by heart from few images is colours and places. Each step
# changes those, and leaves the sentence true or rewrites it.
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomReferringCrop', prob=0.5, scale=(0.5, 1.0)),
    dict(type='RandomReferringFlip', prob=0.5),
    dict(type='RandomReferringRotate90', prob=0.5),
    _resize,
    dict(type='PhotoMetricDistortion'),
    dict(type='PackReferringInputs'),
]
test_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    _resize,
    dict(type='LoadReferringMask'),
    dict(type='PackReferringInputs'),
]
_dataset = dict(type='ReferringSegDataset', data_root='data', name='refcoco')
train_dataloader = dict(
    batch_size=4,  # many small steps get further in the same time
    dataset=dict(
        pipeline=train_pipeline,
        # What the category looks like, at once. Name the objects as your users will.
        # Set it to [] if images hold objects that are not annotated.
        category_expressions=['every {category}', 'all of the {category} objects'],
        **_dataset,
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **_dataset))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **_dataset))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_epochs=180, val_interval=15)
default_hooks = dict(checkpoint=dict(interval=15), logger=dict(interval=10))
# Validation sees, and checkpoints hold, the mean of the weights of about 200 steps: with
# few images one step more or less changes a lot.
custom_hooks = [
    dict(type='EpochSeedHook'),
    dict(type='FiniteStepsHook', interval=10, max_in_row=10),
    dict(type='TruncationReportHook'),
    dict(type='EMAHook', momentum=0.005),
]
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=0.9, by_epoch=True, convert_to_iter_based=True),
]
