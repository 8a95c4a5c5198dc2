# FIANet on RefSegRS, with CADFormer's schedule: one block in the neck, the dataset's own
# categories.
_base_ = [
    './_base_/models/fianet_swinb.py',
    './_base_/datasets/refsegrs.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(
    text_encoder=dict(
        categories=(
            'road',
            'vehicle',
            'car',
            'van',
            'building',
            'truck',
            'trailer',
            'bus',
            'road marking',
            'bikeway',
            'sidewalk',
            'tree',
            'low vegetation',
            'impervious surface',
        ),
    ),
    neck=dict(num_blocks=1),
)
