# SPDX-License-Identifier: Apache-2.0
"""Every method and ablation config: builds, trains, predicts, ignores padding."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)

ROOT = Path(__file__).resolve().parents[2]
METHODS = ('lavt', 'lgce', 'rmsin', 'fianet', 'cadformer')
PROJECT = ROOT / 'projects' / 'cadformer' / 'configs'
FULL = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *(ROOT / 'configs').glob('[!c]*_swinb_*.py'),  # CADFormer's are tested apart
        *(ROOT / 'configs').glob('cadformer_swinb_rrsis[dh].py'),
        *(ROOT / 'configs').glob('cadformer_swinb_rrsishr.py'),
        *PROJECT.glob('*.py'),
    )
)
DISTINCT = [
    name
    for name in FULL
    # Not the same network for another dataset or for other tokens.
    if ('rrsishr' in name or name.replace('rrsisd', 'rrsishr') not in FULL)
    and 'tokens_' not in name
]
TINY = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *(ROOT / 'configs' / f'{method}_tiny_synthrs.py' for method in METHODS),
        *PROJECT.glob('synthrs/*.py'),
    )
)
BLIND = [
    f'projects/cadformer/configs/synthrs/{name}_standard.py'
    for name in ('none', 'vglva')
]
RELEASED = 'projects/cadformer/configs/cadformer_released_swinb_rrsisd.py'

CHANNELS = (16, 32, 64, 128)
TEXT = dict(
    hidden_size=32, num_attention_heads=2, intermediate_size=32,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
BACKBONE = dict(
    init_cfg=None, pretrain_img_size=64, embed_dims=16, depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 4), window_size=4, drop_path_rate=0.0, text_channels=32,
)  # fmt: skip
NECKS = {
    'CrossScaleInteractionNeck': dict(grid_size=2),
    'GuidedMultiScaleNeck': dict(text_channels=32, num_heads=2),
    'TextAwareMultiScaleNeck': dict(text_channels=32),
}
EXPRESSIONS = ['the red tennis court', 'a ship on the far left side of the harbor']


def shrink(cfg: Config) -> Config:
    """The same parts, a few thousand weights each."""
    model = cfg.model
    depth = model.text_encoder.get('config', {}).get('num_hidden_layers', 2)
    text_encoder = dict(
        pretrained=None,
        vocab='remote_sensing',
        config=dict(TEXT, num_hidden_layers=depth),
    )
    head = dict(in_channels=CHANNELS, channels=16)
    if 'text_channels' in model.decode_head:
        head.update(text_channels=32, num_heads=2, feedforward_channels=16)
    if not model.decode_head.get('project_text', True):
        head['channels'] = 32
    small = dict(text_encoder=text_encoder, backbone=BACKBONE, decode_head=head)
    if model.neck is not None:
        small['neck'] = dict(NECKS[model.neck.type], in_channels=CHANNELS)
    cfg.merge_from_dict(dict(model=small))
    return cfg


def build(name: str, seed: int = 0):
    init_default_scope('mmseg')
    cfg = shrink(Config.fromfile(ROOT / name))
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model, cfg


def build_without_memory(name: str, monkeypatch):
    """The full-size model on PyTorch's meta device: shapes without numbers."""
    linspace = torch.linspace  # mmseg reads its values while it builds
    monkeypatch.setattr(
        torch, 'linspace', lambda *a, **k: linspace(*a, **{**k, 'device': 'cpu'})
    )
    init_default_scope('mmseg')
    with torch.device('meta'):
        return MODELS.build(Config.fromfile(ROOT / name).model)


def loss_of(model, batch):
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    return model.parse_losses(losses)[0]


@pytest.fixture
def batch(make_samples):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=make_samples(EXPRESSIONS))


def test_the_lists_are_complete():
    for method in METHODS:
        assert f'configs/{method}_tiny_synthrs.py' in TINY
        for dataset in ('rrsisd', 'rrsishr'):
            assert f'configs/{method}_swinb_{dataset}.py' in FULL
    assert RELEASED in FULL
    assert len(TINY) == 13
    assert len(DISTINCT) >= 18


@pytest.mark.parametrize('name', DISTINCT + TINY)
def test_trains_and_predicts(name, batch):
    """Two steps and a prediction; the gradient reaches every parameter.

    Only the floor of the ablations may ignore the expression.
    """
    model, cfg = build(name)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: v.clone() for k, v in model.named_parameters()}
    for step in range(2):
        loss = loss_of(model, batch)
        assert loss.isfinite()
        if step == 0:
            loss.backward()
            trainable = {k: p for k, p in model.named_parameters() if p.requires_grad}
            assert not [k for k, p in trainable.items() if p.grad is None]
            assert all(p.grad.isfinite().all() for p in trainable.values())
        optim_wrapper.update_params(loss_of(model, batch))
    changed = {
        name.split('.')[0]
        for name, p in model.named_parameters()
        if not torch.equal(p, before[name])
    }
    assert changed >= {'backbone', 'decode_head'}
    model.eval()
    with torch.no_grad():
        for sample in model.test_step(batch):
            assert sample.pred_sem_seg.data.shape == (1, 64, 64)
            assert sample.seg_logits.data.isfinite().all()
        image = torch.randn(1, 3, 64, 64)
        logits = [
            model(image, **model.text_encoder.tokenize([text])) for text in EXPRESSIONS
        ]
    assert torch.equal(*logits) == (name in BLIND)


@pytest.mark.parametrize('name', DISTINCT)
def test_builds_at_full_size(name, monkeypatch):
    model = build_without_memory(name, monkeypatch)
    assert 170e6 < sum(p.numel() for p in model.parameters()) < 280e6


def millions(module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


LAST = 1024  # channels of the last stage
GATE = 2 * LAST**2
ATTENTION = 2 * (LAST**2 + LAST) + 2 * (768 * LAST + LAST)
DEAD = {
    'lavt': GATE,
    'rmsin': 2 * GATE + 2 * (1 + 1 + 9 + 4 * 2),
    # gate; object-position block: two attentions, a gate, the 3x3 convolution;
    # modulation; and in every stage a linear layer C_i x C_i that never runs.
    'fianet': GATE
    + (2 * ATTENTION + GATE + 18)
    + (2 * LAST * LAST // 8 + LAST // 8 + LAST)
    + sum(c**2 for c in (128, 256, 512, 1024)),
}
"""Parameters that the released code registers and never uses; left out here."""


@pytest.mark.parametrize(
    ('method', 'dataset', 'published', 'with_text'),
    [
        ('lavt', 'rrsisd', 118.85, False),
        ('rmsin', 'rrsisd', 240.04, True),
        ('fianet', 'rrsisd', 256.17, True),
        ('fianet', 'refsegrs', 251.92, True),
    ],
)
def test_parameters_match_the_published_count(
    method, dataset, published, with_text, monkeypatch
):
    """Table VI, plus or minus what rounds to its two digits."""
    name = f'configs/{method}_swinb_{dataset}.py'
    model = build_without_memory(name, monkeypatch)
    text = 0 if with_text else millions(model.text_encoder)
    count = millions(model) - text + DEAD[method] / 1e6
    assert count == pytest.approx(published, abs=0.006)


def cross_scale(low: int, high: int) -> int:
    """LGCE's exchange: two changes of width, there and back, and an attention each."""
    norms = 2 * 2 * (low + high)
    linear = 2 * (low * high + high) + 2 * (high * low + low)
    attention = sum(4 * c**2 + c + 2 * c for c in (low, high))
    return norms + linear + attention


def embeddings(low: int, high: int) -> int:
    return 3 * 8**2 * low + low + 3 * 16**2 * high + high


def test_lgce_parameters_match_the_published_count(monkeypatch):
    """What its authors register and never use, or use without effect, is told apart."""
    model = build_without_memory('configs/lgce_swinb_rrsisd.py', monkeypatch)
    built = millions(model) - millions(model.text_encoder)
    assert built == pytest.approx(145.2235, abs=0.0001)

    def block(c: int) -> int:  # qkv without bias, projection, MLP of ratio 2, norms
        return 3 * c**2 + (c**2 + c) + (4 * c**2 + 3 * c) + 4 * c

    pairs = [(512, 1024), (256, 512), (128, 256)]
    unused = GATE + sum(769 * c for c in (128, 256))  # guides of the finer levels
    unused += sum(cross_scale(*pair) + embeddings(*pair) for pair in pairs)
    unused += sum(block(a) + 3 * block(b) for a, b in pairs[1:])
    assert built + unused / 1e6 == pytest.approx(167.366, abs=0.0005)


def test_lgce_variant_with_the_exchange_is_near_the_published_count(monkeypatch):
    name = 'configs/lgce_exchange_swinb_rrsisd.py'
    model = build_without_memory(name, monkeypatch)
    count = millions(model) - millions(model.text_encoder) + GATE / 1e6
    assert count == pytest.approx(167.37, rel=0.005)


def test_released_cadformer_has_what_reaches_the_output(monkeypatch):
    """202.2 M of the released 359.25 M parameters affect the output."""
    model = build_without_memory(RELEASED, monkeypatch)
    assert millions(model) == pytest.approx(202.2, abs=0.05)


@pytest.mark.parametrize('name', [f'configs/{m}_tiny_synthrs.py' for m in METHODS])
def test_padding_and_batch_composition_change_no_logit(name):
    model, _ = build(name)
    model.eval()
    images = torch.randn(2, 3, 64, 64)
    tokens = model.text_encoder.tokenize(EXPRESSIONS)
    with torch.no_grad():
        together = model(images, **tokens)
        alone = model(images[:1], **model.text_encoder.tokenize(EXPRESSIONS[:1]))
        padded = {
            'input_ids': torch.nn.functional.pad(tokens['input_ids'], (0, 9), value=7),
            'text_mask': torch.nn.functional.pad(tokens['text_mask'], (0, 9)),
        }
        longer = model(images, **padded)
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(longer, together, rtol=1e-3, atol=1e-5)


def test_tensor_mode_takes_a_plain_mask():
    """Token ids and a mask (B, N) are enough, also where phrases are split."""
    for method in METHODS:
        model, _ = build(f'configs/{method}_tiny_synthrs.py')
        model.eval()
        tokens = model.text_encoder.tokenize(EXPRESSIONS)
        plain = tokens['input_ids'] != model.text_encoder.bert.config.pad_token_id
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(
                model(images, input_ids=tokens['input_ids'], text_mask=plain),
                model(images, **tokens),
            )


def test_released_cadformer_depends_on_padding():
    """The defect that the release variant is there to show."""
    model, _ = build(RELEASED)
    model.eval()
    tokens = model.text_encoder.tokenize(EXPRESSIONS)
    assert tokens['input_ids'].shape == (2, 20)
    images = torch.randn(2, 3, 64, 64)
    shorter = {key: value[:, :15] for key, value in tokens.items()}
    with torch.no_grad():
        difference = model(images, **tokens) - model(images, **shorter)
    assert difference.abs().max() > 1e-4


def test_released_cadformer_decays_all_but_norms_and_tables_of_its_backbone():
    model, cfg = build(RELEASED)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {
        id(parameter): group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    kinds = set()
    for prefix, module in model.named_modules():
        part = prefix.split('.')[0]
        norm = type(module).__name__ in ('LayerNorm', 'BatchNorm2d', 'BatchNorm1d')
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            table = name == 'relative_position_bias_table'
            fixed = part == 'backbone' and (norm or table)
            kinds.add((part, norm, name == 'bias'))
            assert decay[id(parameter)] == (0 if fixed else 0.01), f'{prefix}.{name}'
    parts = ('backbone', 'neck', 'decode_head')
    assert kinds == {(p, n, b) for p in parts for n in (0, 1) for b in (0, 1)}
