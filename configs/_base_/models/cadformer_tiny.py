# A CADFormer that learns from scratch on two CPU cores: the same parts, narrow. It has
# no time to find positions and words by itself, so positions enter as sines, and the
# two losses weigh the same.
_base_ = './cadformer_swinb.py'
model = dict(
    text_encoder=dict(
        pretrained=None,
        vocab='remote_sensing',
        config=dict(
            hidden_size=128,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=128,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        max_tokens=40,
        trainable='all',
    ),
    backbone=dict(
        init_cfg=None,
        pretrain_img_size=64,
        use_abs_pos_embed=True,
        embed_dims=32,
        depths=(1, 1, 2, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
        drop_path_rate=0.0,
        text_channels=128,
    ),
    neck=dict(in_channels=(32, 64, 128, 256), grid_size=4),
    decode_head=dict(
        in_channels=(32, 64, 128, 256),
        channels=64,
        text_channels=128,
        num_heads=4,
        feedforward_channels=128,
        dropout=0.0,
        loss_decode=[  # Eq. (13)
            dict(type='CrossEntropyLoss', loss_weight=0.5, loss_name='loss_ce'),
            dict(
                type='MaskedDiceLoss',
                use_sigmoid=False,
                naive_dice=True,
                ignore_index=0,
                loss_weight=0.5,
                loss_name='loss_dice',
            ),
        ],
    ),
)
