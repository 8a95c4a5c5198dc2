# Only BERT's embedding layer, trained; no word sees another before the image.
_base_ = '../../../configs/cadformer_swinb_rrsishr.py'
model = dict(text_encoder=dict(config=dict(num_hidden_layers=0), trainable='all'))
