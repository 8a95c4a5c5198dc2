# CADFormer as its released code runs it, instead of as the paper describes it. Every
# key below is one of the differences (projects/cadformer/methods.md lists them all).
_base_ = '../../../configs/cadformer_swinb_rrsisd.py'
model = dict(
    # Only BERT's embedding layer runs, and nothing of it is trained; the sequence is
    # cut without its end mark, and padding to 20 tokens takes part in the result.
    text_encoder=dict(
        config=dict(num_hidden_layers=0),
        trainable='none',
        max_tokens=20,
        keep_end=False,
        pad_to_max=True,
    ),
    # Query from V_i, decoder reads before the gate, VGLVA on the stage's input, its
    # mask used as a multiplier, instance norm over tokens.
    backbone=dict(type='ReferringSwin', fusion=dict(type='ReleasedSMGAM')),
    neck=dict(released_layout=True),
    # As wide as the text, which is therefore not projected; padding is attended to.
    decode_head=dict(
        channels=768,
        project_text=False,
        attend_to_padding=True,
        loss_decode=[
            dict(
                type='CrossEntropyLoss',
                class_weight=[0.9, 1.1],
                loss_weight=0.9,
                loss_name='loss_ce',
            ),
            dict(type='SummedDiceLoss', loss_weight=0.1),
        ],
    ),
)
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomBoxErasing', prob=0.2, num_boxes=(20, 60), box_size=32),
    dict(type='Resize', scale=(480, 480), keep_ratio=False, backend='pillow'),
    dict(type='PackReferringInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# Only the backbone's norms and position tables don't decay: norms of neck and decoder
# do, and so do all biases. The longest key that occurs in a name decides.
optim_wrapper = dict(
    optimizer=dict(lr=3e-5),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            'norm': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'neck.': dict(decay_mult=1.0),
            'decode_head.': dict(decay_mult=1.0),
        },
    ),
)
