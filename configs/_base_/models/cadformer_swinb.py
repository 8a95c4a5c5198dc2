# Public weights; give a local file by
# --cfg-options model.backbone.init_cfg.checkpoint=PATH model.text_encoder.pretrained=DIR
swin_weights = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth'  # noqa: E501
model = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    text_encoder=dict(
        type='BertTextEncoder',
        pretrained='bert-base-uncased',
        max_tokens=20,
        trainable=10,
    ),
    backbone=dict(
        type='CADFormerSwin',
        init_cfg=dict(type='Pretrained', checkpoint=swin_weights),
        pretrain_img_size=384,
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3,
        text_channels=768,
    ),
    neck=dict(type='CrossScaleInteractionNeck', in_channels=(128, 256, 512, 1024)),
    decode_head=dict(
        type='TCMDHead',
        in_channels=(128, 256, 512, 1024),
        channels=512,
        text_channels=768,
        # MMSegmentation's DiceLoss, but for pixels that are to be ignored. It squares
        # the denominators unless `naive_dice`, and over both classes at once its
        # softmax form has a constant denominator, so it is told to leave out the
        # background: the plain Dice of the target.
        loss_decode=[  # Eq. (13)
            dict(type='CrossEntropyLoss', loss_weight=0.9, loss_name='loss_ce'),
            dict(
                type='MaskedDiceLoss',
                use_sigmoid=False,
                naive_dice=True,
                ignore_index=0,
                loss_weight=0.1,
                loss_name='loss_dice',
            ),
        ],
    ),
    test_cfg=dict(mode='whole'),
)
