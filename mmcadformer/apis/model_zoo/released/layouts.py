# SPDX-License-Identifier: Apache-2.0
"""Where each released repository keeps its layers.

What names are known, the tables use; what follows from the description alone
(``projects/cadformer/methods.md``) is recognised by shape and by the order in which
such a network is registered. The report of a conversion says which it was.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from .units import Row

Setting = bool | int


@dataclass(frozen=True)
class Layout:
    """Everything known about one architecture.

    Attributes:
        rules: Certain names: pattern and our name.
        groups: Pattern of a part, and its layers.
        unused: Pattern of layers that may be there without a part in the result, and
            why.
        settings: Config keys, and what the released code does there. No weight shows
            them, but they change the result.
    """

    rules: list[tuple[str, str]]
    groups: list[tuple[str, list[Row]]]
    unused: list[tuple[str, str]]
    settings: dict[str, Setting]


SWIN = [
    (r'backbone\.patch_embed\.proj', 'backbone.patch_embed.projection'),
    (r'backbone\.patch_embed\.norm', 'backbone.patch_embed.norm'),
    (r'backbone\.norm(\d)', r'backbone.norm\1'),
    *(
        (rf'backbone\.layers\.(\d+)\.{old}', rf'backbone.stages.\1.{new}')
        for old, new in (
            (r'blocks\.(\d+)\.norm([12])', r'blocks.\2.norm\3'),
            (r'blocks\.(\d+)\.attn', r'blocks.\2.attn.w_msa'),
            (r'blocks\.(\d+)\.attn\.(qkv|proj)', r'blocks.\2.attn.w_msa.\3'),
            (r'blocks\.(\d+)\.mlp\.fc1', r'blocks.\2.ffn.layers.0.0'),
            (r'blocks\.(\d+)\.mlp\.fc2', r'blocks.\2.ffn.layers.1'),
            (r'downsample\.(norm|reduction)', r'downsample.\2'),
        )
    ),
]
BERT = [(r'text_encoder\.((?:embeddings|encoder)\..+)', r'text_encoder.bert.\1')]
POOLER = [(r'text_encoder\.(pooler|cls)\.', 'BERT without its pooler is used')]
RESHAPED = {'model.neck.released_layout': True}
STAGE = r'backbone\.layers\.{}\.'
NECK = r'(?!text_encoder\.|classifier\.|backbone\.layers\.)'


def _decoder(rotated: bool) -> list[tuple[str, str]]:
    """LAVT's decoder; a rotated second convolution brings its routing along."""
    layers = {
        r'conv1_{}': '0',
        r'bn1_{}': '1',
        r'conv2_{}': '3',
        r'bn2_{}': '4',
    }
    if rotated:
        layers |= {
            r'conv2_{}\.\w+\.dwc': '3.routing.depthwise',
            r'conv2_{}\.\w+\.norm.norm': '3.routing.norm',
            r'conv2_{}\.\w+\.fc_alpha': '3.routing.weight',
            r'conv2_{}\.\w+\.fc_theta': '3.routing.angle',
        }
    return [
        (r'classifier\.conv1_1', 'decode_head.conv_seg'),
        *(
            (rf'classifier\.{old.format(i + 1)}', f'decode_head.seg_blocks.{i}.{new}')
            for i in (3, 2, 1)
            for old, new in layers.items()
        ),
    ]


def _cut(tokens: int) -> dict[str, Setting]:
    """Sequences end after so many tokens; the end mark is cut off with the rest."""
    return {
        'model.text_encoder.max_tokens': tokens,
        'model.text_encoder.keep_end': False,
    }


def _channels(target: dict[str, Tensor]) -> list[int]:
    return [len(target[f'backbone.norm{i}.weight']) for i in range(4)]


def _text_channels(target: dict[str, Tensor]) -> int:
    return target['backbone.fusions.0.align.attention.key.weight'].shape[1]


def _under(ours: str | None, rows: Iterable[Row]) -> list[Row]:
    """The layers of a part of ours; if it is None they take no part in the result."""
    return [
        replace(row, target=f'{ours}.{row.target}' if ours and row.target else None)
        for row in rows
    ]


def _attention(channels: int, text: int, where: str = '') -> list[Row]:
    """The family's attention of pixels to words."""
    return [
        Row(role, 'conv', (channels, width), (rf'{where}.*{name}', name))
        for role, width, name in (
            ('key', text, r'f_key\.0$'),
            ('query', channels, r'f_query\.0$'),
            ('value', text, r'f_value\.0$'),
            ('out', channels, r'\bW\.0$'),
        )
    ]


def _alignment(channels: int, text: int) -> list[Row]:
    """PWAM."""
    fusion = r'layers\.\d+\.fusion\.'
    shape, project = (channels, channels), r'project_mm\.0$'
    return [
        Row('visual_proj.0', 'conv', shape, (r'vis_project\.0$',)),
        *_under('attention', _attention(channels, text, f'{fusion}image_lang_att')),
        Row('out_proj.0', 'conv', shape, (f'{fusion}{project}', project)),
    ]


def _gate(channels: int, *where: str) -> list[Row]:
    """Two linear layers of a tanh gate, at places 0 and 2 of a sequence, no bias."""
    shape = (channels, channels)
    hints = (*where, '')
    return [
        Row(
            f'mlp.{place}',
            'linear',
            shape,
            tuple(rf'{hint}\.{place}$' for hint in hints),
            bias=False,
        )
        for place in (0, 2)
    ]


def _gate_of(words: str, *others: str) -> tuple[str, str]:
    """Hints for one of a stage's gates: what the name says, then that it is a gate.

    LAVT's name for its only gate, ``res_gate``, says nothing where there are two.
    """
    not_of_others = ''.join(rf'(?!.*({other}))' for other in others)
    return (rf'layers\.\d+\.{not_of_others}.*({words}).*', r'gate\w*')


_LANGUAGE, _VISUAL, _OBJECT = 'lang|text|txt', 'vis|rec|vr', 'obj|target'
_OWN_GATE = _gate_of(_LANGUAGE, _VISUAL, _OBJECT)
_VISUAL_GATE = _gate_of(_VISUAL, _LANGUAGE)
_OBJECT_GATE = _gate_of(_OBJECT, _LANGUAGE)


def _stages(
    target: dict[str, Tensor],
    rows_of: Callable[[int, int], list[Row]],
    last: bool = False,
) -> Iterator[tuple[str, list[Row]]]:
    """The fusion of each stage; the last one's feeds the decoder alone.

    Args:
        target: State dict of our model.
        rows_of: From the width of a stage and that of the text to the layers that a
            method has besides LAVT's.
        last: Whether these are used at the last stage, too.
    """
    channels, text = _channels(target), _text_channels(target)
    for stage, width in enumerate(channels):
        ours = f'backbone.fusions.{stage}'
        used = ours if stage < len(channels) - 1 else None
        rows = [
            *_under(f'{ours}.align', _alignment(width, text)),
            *_under(used and f'{ours}.gate', _gate(width, *_OWN_GATE)),
            *_under(ours if last else used, rows_of(width, text)),
        ]
        yield STAGE.format(stage), rows


def _lavt(target: dict[str, Tensor]) -> Layout:
    return Layout(
        rules=[*SWIN, *BERT, *_decoder(rotated=False)],
        groups=list(_stages(target, lambda *_: [])),
        unused=POOLER,
        settings=_cut(20),
    )


def _receptive() -> list[Row]:
    """The receptive branch: two steps of one channel."""
    layers = [
        Row('point.0', 'conv', (1, 1)),
        Row('point.1', 'bn', (1,)),
        Row('area.0.0', 'conv', (1, 1)),
        Row('area.0.1', 'bn', (1,)),
        Row('area.1.0', 'conv', (1, 1, 3, 3)),
        Row('area.1.1', 'bn', (1,)),
        Row('identity', 'bn', (1,)),
    ]
    return [*_under('step1', layers), *_under('step2', layers)]


def _rmsin_stage(width: int, text: int) -> list[Row]:
    return [
        *_under('receptive', _receptive()),
        *_under('visual_gate', _gate(width, *_VISUAL_GATE)),
    ]


def _conv_feed_forward(channels: int) -> list[Row]:
    hidden = 2 * channels
    return [
        Row('layers.0', 'bn', (channels,)),
        Row('layers.1', 'any', (hidden, channels)),
        Row('layers.2', 'bn', (hidden,)),
        Row('layers.3', 'conv', (hidden, 2, 3, 3)),
        Row('layers.5', 'any', (channels, hidden)),
    ]


def _cross_scale_attention(channels: int, grid: int) -> list[Row]:
    tokens = grid**2
    smaller = sum((-(-grid // step)) ** 2 for step in (2, 3))
    return [
        Row('norm', 'bn', (channels,)),
        Row('subsample2.0', 'conv', (channels, 1, 3, 3)),
        Row('subsample2.1', 'bn', (channels,)),
        Row('subsample3.0', 'conv', (channels, 1, 5, 5)),
        Row('subsample3.1', 'bn', (channels,)),
        Row('qkv', 'any', (1024, channels)),
        Row('qkv_norm', 'bn', (1024,)),
        Row('local.1', 'conv', (512, 1, 3, 3)),
        Row('mix_tokens', 'any', (tokens, tokens + smaller)),
        Row('project', 'any', (channels, 512)),
        Row('out.0', 'bn', (channels,)),
        Row('out.2', 'conv', (channels, channels)),
    ]


def _neck_frame(target: dict[str, Tensor], blocks: list[Row]) -> list[Row]:
    """What RMSIN's and FIANet's necks share, around the blocks."""
    width, total = target['neck.reduce.weight'].shape[:2]
    rows = [
        Row('neck.reduce', 'conv', (width, total)),
        *_under('neck', blocks),
        Row('neck.expand.0', 'bn', (width,), beside='neck.expand.1'),
        Row('neck.expand.1', 'conv', (total, width)),
    ]
    hints = {
        'local': r'local\w*(\.\w+)?$',
        'inject': r'(global_(emb|feat)|inject)\w*(\.\w+)?$',
        'gate': r'(act|sig)\w*(\.\w+)?$',
    }
    for level, channels in enumerate(_channels(target)):
        parts = {f'neck.gates.{level}.{role}': hint for role, hint in hints.items()}
        rows += [
            Row(f'{part}.0', 'conv', (channels, channels), (hint,))
            for part, hint in parts.items()
        ]
        rows += [
            Row(f'{part}.1', 'bn', (channels,), (hint,), after=f'{part}.0')
            for part, hint in parts.items()
        ]
    return rows


def _cross_scale_neck(target: dict[str, Tensor]) -> list[Row]:
    width = target['neck.reduce.weight'].shape[0]
    tokens = target['neck.attention1.mix_tokens.weight'].shape[0]
    attention = _cross_scale_attention(width, round(tokens**0.5))
    blocks = _under('attention1', attention)
    for i, share in enumerate((1, 2, 4, 8)):
        rows = _conv_feed_forward(width // 15 * share)
        blocks += _under(f'intra_scale.feed_forwards.{i}', rows)
    blocks += _under('attention2', attention)
    blocks += _under('feed_forward', _conv_feed_forward(width))
    return _neck_frame(target, blocks)


def _rmsin(target: dict[str, Tensor]) -> Layout:
    return Layout(
        rules=[*SWIN, *BERT, *_decoder(rotated=True)],
        groups=[*_stages(target, _rmsin_stage), (NECK, _cross_scale_neck(target))],
        unused=POOLER,
        settings={**_cut(20), **RESHAPED},
    )


def _fianet_stage(width: int, text: int) -> list[Row]:
    hidden = max(1, width // 8)
    branch = [
        *_under('object_attention', _attention(width, text, r'(obj|target)')),
        *_under('object_gate', _gate(width, *_OBJECT_GATE)),
        *_under('position_attention', _attention(width, text, r'(pos|loc)')),
        Row('position_conv', 'conv', (1, 2, 3, 3)),
    ]
    return [
        *_under('object_position', branch),
        Row('modulation.0', 'any', (hidden, width)),
        Row('modulation.2', 'any', (width, hidden)),
        Row(None, 'linear', (width, width)),  # registered, never run
    ]


def _neck_depth(target: dict[str, Tensor]) -> int:
    return sum(k.endswith('attention_norm.weight') for k in target)


def _text_aware_neck(target: dict[str, Tensor]) -> list[Row]:
    width, text = target['neck.reduce.weight'].shape[0], _text_channels(target)
    blocks = []
    for i in range(_neck_depth(target)):
        layers = [
            Row('attention_norm', 'ln', (width,)),
            *_under('attention', _attention(width, text, rf'\.{i}\.')),
            Row('feed_forward.0', 'ln', (width,)),
            Row('feed_forward.1', 'any', (2 * width, width)),
            Row('feed_forward.3', 'any', (width, 2 * width)),
        ]
        blocks += _under(f'blocks.{i}', layers)
    return _neck_frame(target, blocks)


def _fianet(target: dict[str, Tensor]) -> Layout:
    # One block is the network for RefSegRS, three the one for RRSIS-D.
    tokens = 20 if _neck_depth(target) == 1 else 22
    return Layout(
        rules=[*SWIN, *BERT, *_decoder(rotated=False)],
        groups=[*_stages(target, _fianet_stage), (NECK, _text_aware_neck(target))],
        unused=POOLER,
        settings=_cut(tokens),
    )


def _cadformer_stage(channels: list[int]) -> Callable[[int, int], list[Row]]:
    """Each stage has layers for every stage's width; those of its own are used."""

    def rows(width: int, text: int) -> list[Row]:
        unused = [*_receptive(), *_gate(width, *_VISUAL_GATE)]
        found = _under(None, unused)
        square = (text, text)
        for key_width in channels:
            layers = [
                Row('text_proj.0', 'any', square, (r'project\.0$',)),
                Row('attention.key', 'any', (text, key_width), (r'f_key\.0$',)),
                Row('attention.query', 'any', square, (r'f_query\.0$',)),
                Row('attention.value', 'any', (text, key_width), (r'f_value\.0$',)),
                Row('attention.out', 'any', square, (r'\bW\.0$',)),
                Row('out_proj.0', 'any', square, (r'project_mm\.0$',)),
                *_under('gate', _gate(text, r'gate.*')),
            ]
            found += _under('vglva' if key_width == width else None, layers)
            found.append(Row(None, 'ln', (text,)))
        return found

    return rows


def _text_layers(target: dict[str, Tensor]) -> list[Row]:
    """PyTorch's decoder layers; each with a template that never runs."""
    width = target['decode_head.conv_seg.weight'].shape[1]
    hidden = target['decode_head.text_layers.3.linear1.weight'].shape[0]
    layers: list[tuple[str, str, tuple[int, ...]]] = [
        ('self_attn', 'other', (3 * width, width)),
        ('self_attn.out_proj', 'linear', (width, width)),
        ('multihead_attn', 'other', (3 * width, width)),
        ('multihead_attn.out_proj', 'linear', (width, width)),
        ('linear1', 'linear', (hidden, width)),
        ('linear2', 'linear', (width, hidden)),
        ('norm1', 'ln', (width,)),
        ('norm2', 'ln', (width,)),
        ('norm3', 'ln', (width,)),
    ]
    rows = []
    for level in (3, 2):
        for ours, where in (
            (None, r'^(?!.*\.layers\.0\.).*\.'),
            (f'decode_head.text_layers.{level}', r'\.layers\.0\.'),
        ):
            for name, kind, shape in layers:
                rows += _under(ours, [Row(name, kind, shape, (f'{where}{name}$',))])
    return rows


def _cadformer(target: dict[str, Tensor]) -> Layout:
    encoder = (r'text_encoder\.encoder\.', "only BERT's embedding layer runs")
    stages = _stages(target, _cadformer_stage(_channels(target)), last=True)
    return Layout(
        rules=[
            *SWIN,
            (r'text_encoder\.(embeddings\..+)', r'text_encoder.bert.\1'),
            *_decoder(rotated=True),
        ],
        groups=[
            *stages,
            (r'classifier\.', _text_layers(target)),
            (NECK, _cross_scale_neck(target)),
        ],
        unused=[*POOLER, encoder],
        settings={
            **_cut(20),
            **RESHAPED,
            'model.text_encoder.pad_to_max': True,
            'model.decode_head.attend_to_padding': True,
        },
    )


LAYOUTS: dict[str, Callable[[dict[str, Tensor]], Layout]] = {
    'lavt': _lavt,
    'rmsin': _rmsin,
    'fianet': _fianet,
    'cadformer': _cadformer,
}
"""Layout of each method for the state dict of our model."""
