# SPDX-License-Identifier: Apache-2.0
"""Where each released repository keeps its layers.

What names are known, the tables use; what follows from the description alone
(``projects/cadformer/methods.md``) is recognised by shape and by the order in which
such a network is registered. The report of a conversion says which it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from .units import Row

Setting = bool | int


@dataclass(frozen=True)
class Layout:
    """Everything known about one architecture.

    Attributes:
        rules (list[tuple[str, str]]): Certain names: pattern and our name.
        groups (list[tuple[str, list[Row]]]): Pattern of a part, and its layers.
        unused (list[tuple[str, str]]): Pattern of layers that may be there without
            a part in the result, and why.
        settings (dict[str, Setting]): Config keys, and what the released code does
            there. No weight shows them, but they change the result.
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
    rules = [(r'classifier\.conv1_1', 'decode_head.conv_seg')]
    for level in (3, 2, 1):
        block = f'decode_head.seg_blocks.{level}'
        layers = {'conv1': 0, 'bn1': 1, 'conv2': 3, 'bn2': 4}
        for name, place in layers.items():
            rules.append((rf'classifier\.{name}_{level + 1}', f'{block}.{place}'))
        if rotated:
            routing = {
                'dwc': 'depthwise',
                'norm.norm': 'norm',
                'fc_alpha': 'weight',
                'fc_theta': 'angle',
            }
            for old, new in routing.items():
                name = rf'classifier\.conv2_{level + 1}\.\w+\.{old}'
                rules.append((name, f'{block}.3.routing.{new}'))
    return rules


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


def _attention(
    target: str | None, channels: int, text: int, where: str = ''
) -> list[Row]:
    """The family's attention of pixels to words."""
    roles = [
        ('key', text, r'f_key\.0$'),
        ('query', channels, r'f_query\.0$'),
        ('value', text, r'f_value\.0$'),
        ('out', channels, r'\bW\.0$'),
    ]
    return [
        Row(
            target and f'{target}.{role}',
            'conv',
            (channels, width),
            (rf'{where}.*{name}', name),
        )
        for role, width, name in roles
    ]


def _alignment(stage: int, channels: int, text: int) -> list[Row]:
    """PWAM."""
    ours = f'backbone.fusions.{stage}.align'
    where = r'layers\.\d+\.fusion\.image_lang_att'
    shape = (channels, channels)
    return [
        Row(f'{ours}.visual_proj.0', 'conv', shape, (r'vis_project\.0$',)),
        *_attention(f'{ours}.attention', channels, text, where),
        Row(
            f'{ours}.out_proj.0',
            'conv',
            shape,
            (r'layers\.\d+\.fusion\.project_mm\.0$', r'project_mm\.0$'),
        ),
    ]


def _gate(target: str | None, channels: int, *where: str) -> list[Row]:
    """Two linear layers of a tanh gate, at places 0 and 2 of a sequence, no bias."""
    return [
        Row(
            target and f'{target}.mlp.{place}',
            'linear',
            (channels, channels),
            tuple(rf'{hint}\.{place}$' for hint in (*where, '')),
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
    target: dict[str, Tensor], rows_of: Callable[[int, int, int, bool], list[Row]]
) -> Iterator[tuple[str, list[Row]]]:
    """The fusion of each stage; the last one's feeds the decoder alone."""
    channels, text = _channels(target), _text_channels(target)
    for stage, width in enumerate(channels):
        used = stage < len(channels) - 1
        rows = [
            *_alignment(stage, width, text),
            *_gate(
                f'backbone.fusions.{stage}.gate' if used else None, width, *_OWN_GATE
            ),
            *rows_of(stage, width, text, used),
        ]
        yield STAGE.format(stage), rows


def _lavt(target: dict[str, Tensor]) -> Layout:
    return Layout(
        rules=[*SWIN, *BERT, *_decoder(rotated=False)],
        groups=list(_stages(target, lambda *_: [])),
        unused=POOLER,
        settings=_cut(20),
    )


def _receptive(target: str | None) -> list[Row]:
    """The receptive branch: two steps of one channel."""
    rows = []
    for step in ('step1', 'step2'):
        layers = [
            ('point.0', 'conv', (1, 1)),
            ('point.1', 'bn', (1,)),
            ('area.0.0', 'conv', (1, 1)),
            ('area.0.1', 'bn', (1,)),
            ('area.1.0', 'conv', (1, 1, 3, 3)),
            ('area.1.1', 'bn', (1,)),
            ('identity', 'bn', (1,)),
        ]
        rows += [
            Row(target and f'{target}.{step}.{name}', kind, shape)
            for name, kind, shape in layers
        ]
    return rows


def _rmsin_stage(stage: int, width: int, text: int, used: bool) -> list[Row]:
    ours = f'backbone.fusions.{stage}' if used else None
    return [
        *_receptive(ours and f'{ours}.receptive'),
        *_gate(ours and f'{ours}.visual_gate', width, *_VISUAL_GATE),
    ]


def _conv_feed_forward(target: str, channels: int) -> list[Row]:
    hidden = 2 * channels
    return [
        Row(f'{target}.layers.0', 'bn', (channels,)),
        Row(f'{target}.layers.1', 'any', (hidden, channels)),
        Row(f'{target}.layers.2', 'bn', (hidden,)),
        Row(f'{target}.layers.3', 'conv', (hidden, 2, 3, 3)),
        Row(f'{target}.layers.5', 'any', (channels, hidden)),
    ]


def _cross_scale_attention(target: str, channels: int, grid: int) -> list[Row]:
    tokens = grid**2
    smaller = sum((-(-grid // step)) ** 2 for step in (2, 3))
    return [
        Row(f'{target}.norm', 'bn', (channels,)),
        Row(f'{target}.subsample2.0', 'conv', (channels, 1, 3, 3)),
        Row(f'{target}.subsample2.1', 'bn', (channels,)),
        Row(f'{target}.subsample3.0', 'conv', (channels, 1, 5, 5)),
        Row(f'{target}.subsample3.1', 'bn', (channels,)),
        Row(f'{target}.qkv', 'any', (1024, channels)),
        Row(f'{target}.qkv_norm', 'bn', (1024,)),
        Row(f'{target}.local.1', 'conv', (512, 1, 3, 3)),
        Row(f'{target}.mix_tokens', 'any', (tokens, tokens + smaller)),
        Row(f'{target}.project', 'any', (channels, 512)),
        Row(f'{target}.out.0', 'bn', (channels,)),
        Row(f'{target}.out.2', 'conv', (channels, channels)),
    ]


def _neck_frame(target: dict[str, Tensor], blocks: list[Row]) -> list[Row]:
    """What RMSIN's and FIANet's necks share, around the blocks."""
    width, total = target['neck.reduce.weight'].shape[:2]
    rows = [Row('neck.reduce', 'conv', (width, total)), *blocks]
    rows.append(Row('neck.expand.0', 'bn', (width,), beside='neck.expand.1'))
    rows.append(Row('neck.expand.1', 'conv', (total, width)))
    for level, channels in enumerate(_channels(target)):
        gate = f'neck.gates.{level}'
        hints = {
            'local': r'local\w*(\.\w+)?$',
            'inject': r'(global_(emb|feat)|inject)\w*(\.\w+)?$',
            'gate': r'(act|sig)\w*(\.\w+)?$',
        }
        for role, hint in hints.items():
            conv = f'{gate}.{role}.0'
            rows.append(Row(conv, 'conv', (channels, channels), (hint,)))
        for role, hint in hints.items():
            rows.append(
                Row(
                    f'{gate}.{role}.1',
                    'bn',
                    (channels,),
                    (hint,),
                    after=f'{gate}.{role}.0',
                )
            )
    return rows


def _cross_scale_neck(target: dict[str, Tensor]) -> list[Row]:
    width = target['neck.reduce.weight'].shape[0]
    tokens = target['neck.attention1.mix_tokens.weight'].shape[0]
    parts = [width // 15 * share for share in (1, 2, 4, 8)]
    blocks = [
        *_cross_scale_attention('neck.attention1', width, round(tokens**0.5)),
        *chain.from_iterable(
            _conv_feed_forward(f'neck.intra_scale.feed_forwards.{i}', part)
            for i, part in enumerate(parts)
        ),
        *_cross_scale_attention('neck.attention2', width, round(tokens**0.5)),
        *_conv_feed_forward('neck.feed_forward', width),
    ]
    return _neck_frame(target, blocks)


def _rmsin(target: dict[str, Tensor]) -> Layout:
    return Layout(
        rules=[*SWIN, *BERT, *_decoder(rotated=True)],
        groups=[
            *_stages(target, _rmsin_stage),
            (NECK, _cross_scale_neck(target)),
        ],
        unused=POOLER,
        settings={**_cut(20), **RESHAPED},
    )


def _fianet_stage(stage: int, width: int, text: int, used: bool) -> list[Row]:
    ours = f'backbone.fusions.{stage}' if used else None
    block = ours and f'{ours}.object_position'
    hidden = max(1, width // 8)
    return [
        *_attention(
            block and f'{block}.object_attention', width, text, r'(obj|target)'
        ),
        *_gate(block and f'{block}.object_gate', width, *_OBJECT_GATE),
        *_attention(block and f'{block}.position_attention', width, text, r'(pos|loc)'),
        Row(block and f'{block}.position_conv', 'conv', (1, 2, 3, 3)),
        Row(ours and f'{ours}.modulation.0', 'any', (hidden, width)),
        Row(ours and f'{ours}.modulation.2', 'any', (width, hidden)),
        Row(None, 'linear', (width, width)),  # registered, never run
    ]


def _neck_depth(target: dict[str, Tensor]) -> int:
    return sum(k.endswith('attention_norm.weight') for k in target)


def _text_aware_neck(target: dict[str, Tensor]) -> list[Row]:
    width = target['neck.reduce.weight'].shape[0]
    text = _text_channels(target)
    blocks = []
    for i in range(_neck_depth(target)):
        ours = f'neck.blocks.{i}'
        where = rf'\.{i}\.'
        blocks += [
            Row(f'{ours}.attention_norm', 'ln', (width,)),
            *_attention(f'{ours}.attention', width, text, where),
            Row(f'{ours}.feed_forward.0', 'ln', (width,)),
            Row(f'{ours}.feed_forward.1', 'any', (2 * width, width)),
            Row(f'{ours}.feed_forward.3', 'any', (width, 2 * width)),
        ]
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


def _cadformer_stage(target: dict[str, Tensor]) -> Callable[..., list[Row]]:
    channels = _channels(target)

    def rows(stage: int, width: int, text: int, used: bool) -> list[Row]:
        found = [*_receptive(None), *_gate(None, width, *_VISUAL_GATE)]
        square = (text, text)
        for index, key_width in enumerate(channels):
            ours = f'backbone.fusions.{stage}.vglva' if index == stage else None
            layers = [
                ('text_proj.0', square, r'project\.0$'),
                ('attention.key', (text, key_width), r'f_key\.0$'),
                ('attention.query', square, r'f_query\.0$'),
                ('attention.value', (text, key_width), r'f_value\.0$'),
                ('attention.out', square, r'\bW\.0$'),
                ('out_proj.0', square, r'project_mm\.0$'),
            ]
            found += [
                Row(ours and f'{ours}.{name}', 'any', shape, (hint,))
                for name, shape, hint in layers
            ]
            found += _gate(ours and f'{ours}.gate', text, r'gate.*')
            found.append(Row(None, 'ln', (text,)))
        return found

    return rows


def _text_layers(target: dict[str, Tensor]) -> list[Row]:
    """PyTorch's decoder layers; each with a template that never runs."""
    width = target['decode_head.conv_seg.weight'].shape[1]
    hidden = target['decode_head.text_layers.3.linear1.weight'].shape[0]
    rows = []
    for level in (3, 2):
        for ours, where in (
            (None, r'^(?!.*\.layers\.0\.).*\.'),
            (f'decode_head.text_layers.{level}', r'\.layers\.0\.'),
        ):
            layers = [
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
            rows += [
                Row(ours and f'{ours}.{name}', kind, shape, (f'{where}{name}$',))
                for name, kind, shape in layers
            ]
    return rows


def _cadformer(target: dict[str, Tensor]) -> Layout:
    encoder = (r'text_encoder\.encoder\.', "only BERT's embedding layer runs")
    return Layout(
        rules=[
            *SWIN,
            (r'text_encoder\.(embeddings\..+)', r'text_encoder.bert.\1'),
            *_decoder(rotated=True),
        ],
        groups=[
            *_stages(target, _cadformer_stage(target)),
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
