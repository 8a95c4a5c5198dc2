# Pipelines and loaders that every referring dataset shares; 480x480 as in Sec. V-A.
# Pillow's bilinear filter is antialiased, like that of the peers' pipelines.
image_size = (480, 480)
# Pictures of more than 8 bits: give the loaders a fixed value_range, such as
# value_range=(0, 2047) or two values per band; without, each picture is stretched by
# itself, and equal values look different from one to the next. bands=(4, 3, 2) chooses.
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='Resize', scale=image_size, keep_ratio=False, backend='pillow'),
    dict(type='PackReferringInputs'),
]
test_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    dict(type='Resize', scale=image_size, keep_ratio=False, backend='pillow'),
    dict(type='LoadReferringMask'),  # after Resize: the truth keeps its resolution
    dict(type='PackReferringInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', pipeline=test_pipeline, test_mode=True),
)
val_evaluator = dict(type='ReferringIoUMetric')
test_evaluator = dict(type='ReferringIoUMetric', per_category=True)
