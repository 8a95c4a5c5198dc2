# RMSIN: LAVT with a receptive branch in each stage, the cross-scale neck, rotated
# convolutions in the decoder and a Dice term that is summed over samples and classes.
_base_ = './lavt_swinb.py'
model = dict(
    backbone=dict(fusion=dict(type='RMSINFusion')),
    # As the authors have it: their code mixes up tokens and channels in the neck. It
    # is the method that was published and compared, so it is the default here; for
    # a sound layout set released_layout=False and train anew.
    neck=dict(
        _delete_=True,
        type='CrossScaleInteractionNeck',
        in_channels=(128, 256, 512, 1024),
        released_layout=True,
    ),
    decode_head=dict(
        rotated=True,
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
