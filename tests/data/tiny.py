# A model that trains in seconds, for tests. They set the data_root.
_base_ = [
    '../../configs/_base_/models/cadformer_tiny.py',
    '../../configs/_base_/datasets/synthrs.py',
    '../../configs/_base_/schedules/poly_40e.py',
    '../../configs/_base_/default_runtime.py',
]
image_size = (64, 64)
# Dropout and stochastic depth on purpose: resuming has to restore them.
model = dict(
    text_encoder=dict(
        config=dict(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        )
    ),
    backbone=dict(
        pretrain_img_size=64,
        embed_dims=8,
        depths=(1, 1, 2, 1),
        num_heads=(1, 1, 2, 2),
        drop_path_rate=0.2,
        text_channels=32,
    ),
    neck=dict(in_channels=(8, 16, 32, 64), grid_size=2),
    decode_head=dict(
        in_channels=(8, 16, 32, 64),
        channels=16,
        text_channels=32,
        num_heads=2,
        feedforward_channels=16,
    ),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomBoxErasing', prob=0.5, num_boxes=(1, 3), box_size=8),
    dict(type='RandomReferringFlip', prob=0.5),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='PackReferringInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='LoadReferringMask'),
    dict(type='PackReferringInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline),
)
train_cfg = dict(max_epochs=2)
randomness = dict(seed=3)
default_hooks = dict(logger=dict(interval=1))
