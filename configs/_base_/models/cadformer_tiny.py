# A CADFormer that learns from scratch on two CPU cores: same parts, small widths.
_base_ = './cadformer_swinb.py'
model = dict(
    text_encoder=dict(
        pretrained=None,
        vocab='remote_sensing',
        config=dict(
            hidden_size=128,
            num_hidden_layers=2,
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
        pretrain_img_size=128,
        embed_dims=32,
        depths=(2, 2, 2, 2),
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
    ),
)
