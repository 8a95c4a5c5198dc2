# The quickstart with a small text encoder that has read before, frozen: does it help to
# know the language? From a folder: --cfg-options model.text_encoder.pretrained=DIR
_base_ = './cadformer_tiny_synthrs.py'
model = dict(
    text_encoder=dict(
        _delete_=True,
        type='TransformersTextEncoder',
        pretrained='sentence-transformers/all-MiniLM-L6-v2',
        config=dict(
            model_type='bert',
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
        ),
        max_tokens=40,
        trainable='none',
    ),
    backbone=dict(text_channels=384),
    decode_head=dict(text_channels=384),
)
