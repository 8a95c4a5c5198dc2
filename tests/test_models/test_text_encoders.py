# SPDX-License-Identifier: Apache-2.0
"""TransformersTextEncoder: the same features as transformers', for every family."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

from mmcadformer.apis import ReferringInferencer
from mmcadformer.models import PhraseBertTextEncoder, TransformersTextEncoder
from mmcadformer.utils.pretrained_config import resolve_sizes

SENTENCES = [
    'the large white ship on the left of the harbor',
    'a storage tank near the upper-left corner, beside the road',
    'the red roof in the middle of the picture',
]
LONG = ' '.join(SENTENCES)
# SHA-256 of the published weights of all-MiniLM-L6-v2.
MINILM = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'
_SIZES = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2)
_WIDE = dict(_SIZES, intermediate_size=24)
FAMILIES = {
    'bert': dict(_WIDE),
    'roberta': dict(_WIDE, max_position_embeddings=66, pad_token_id=1),
    'xlm-roberta': dict(_WIDE, max_position_embeddings=66, pad_token_id=1),
    'deberta-v2': dict(
        _WIDE,
        relative_attention=True,
        pos_att_type=['p2c', 'c2p'],
        position_biased_input=False,
    ),
    'mpnet': dict(_WIDE, max_position_embeddings=66),
    'electra': dict(_WIDE, embedding_size=8),
    'distilbert': dict(dim=16, n_layers=3, n_heads=2, hidden_dim=24),
    'modernbert': dict(_WIDE, pad_token_id=0, global_attn_every_n_layers=2),
    'clip_text_model': dict(_WIDE, max_position_embeddings=64),
    'siglip_text_model': dict(_WIDE, max_position_embeddings=64),
    't5': dict(d_model=16, d_kv=8, d_ff=24, num_layers=3, num_heads=2),
}
STYLES = {
    'roberta': 'bytes',
    'xlm-roberta': 'pieces',
    'deberta-v2': 'pieces',
    't5': 'pieces',
    'siglip_text_model': 'pieces',
    'modernbert': 'bytes',
    'clip_text_model': 'ends',
}
"""How a family's tokenizer marks words; the others do as BERT does."""


def make_tokenizer(style: str, begin: bool = True) -> PreTrainedTokenizerFast:
    """A real tokenizer of a kind, trained on the sentences."""
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]']
    if style == 'words':
        tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]'))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = WordPieceTrainer(vocab_size=160, special_tokens=special)
    elif style == 'bytes':
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = BpeTrainer(vocab_size=160, special_tokens=special)
    elif style == 'ends':
        tokenizer = Tokenizer(models.BPE(unk_token='[UNK]', end_of_word_suffix='</w>'))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = BpeTrainer(
            vocab_size=160, special_tokens=special, end_of_word_suffix='</w>'
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = UnigramTrainer(
            vocab_size=160, special_tokens=special, unk_token='[UNK]'
        )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.train_from_iterator(SENTENCES * 20, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single='[CLS] $A [SEP]' if begin else '$A [SEP]',
        special_tokens=[('[CLS]', 2), ('[SEP]', 3)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token='[PAD]')


def model_class(kind: str):
    names = {
        't5': 'T5EncoderModel',
        'clip_text_model': 'CLIPTextModel',
        'siglip_text_model': 'SiglipTextModel',
    }
    return getattr(transformers, names.get(kind, 'AutoModel'))


@pytest.fixture(params=FAMILIES)
def saved(request, tmp_path):
    """Model type, and a folder as `save_pretrained` writes it."""
    kind = request.param
    torch.manual_seed(0)
    tokenizer = make_tokenizer(STYLES.get(kind, 'words'), begin=kind != 't5')
    settings = dict(FAMILIES[kind], vocab_size=len(tokenizer))
    if kind == 'siglip_text_model':
        config = transformers.SiglipTextConfig(**settings)
        model = transformers.SiglipTextModel(config)
    elif kind in ('t5', 'clip_text_model'):
        config = transformers.AutoConfig.for_model(kind, **settings)
        model = model_class(kind)(config)
    else:
        config = transformers.AutoConfig.for_model(kind, **settings)
        model = transformers.AutoModel.from_config(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return kind, tmp_path


def make(folder, **kwargs):
    encoder = TransformersTextEncoder(pretrained=str(folder), **kwargs)
    encoder.init_weights()
    return encoder


@torch.no_grad()
def test_features_are_those_of_transformers(saved):
    kind, folder = saved
    encoder = make(folder, max_tokens=60).eval()
    tokens = encoder.tokenize(SENTENCES)
    source = model_class(kind).from_pretrained(folder).eval()
    expected = source(
        input_ids=tokens['input_ids'], attention_mask=tokens['text_mask'].long()
    ).last_hidden_state
    features = encoder(**tokens)
    assert features.shape[2] == encoder.out_channels == 16
    assert torch.equal(features, expected)
    # The tokens are those of the family's own tokenizer.
    own = transformers.AutoTokenizer.from_pretrained(folder)(SENTENCES)['input_ids']
    assert [
        ids[mask].tolist() for ids, mask in zip(*tokens.values(), strict=True)
    ] == own


@torch.no_grad()
def test_padding_leaks_nothing(saved):
    encoder = make(saved[1], max_tokens=60).eval()
    together = encoder(**encoder.tokenize(SENTENCES))
    for features, sentence in zip(together, SENTENCES, strict=True):
        alone = encoder(**encoder.tokenize([sentence]))[0]
        torch.testing.assert_close(features[: len(alone)], alone, rtol=0, atol=1e-5)


def test_what_is_too_long_is_cut_before_the_end_mark(saved):
    encoder = make(saved[1], max_tokens=12)
    ids = encoder.tokenize([LONG])['input_ids'][0].tolist()
    whole = encoder.tokenizer.encode(LONG).ids
    assert ids == [*whole[:11], whole[-1]]
    assert (encoder.num_truncated, encoder.num_expressions) == (1, 1)
    read = encoder.read_part(LONG)
    assert LONG.startswith(read) and 0 < len(read) < len(LONG)


def test_more_tokens_than_positions_are_refused(saved):
    kind, folder = saved
    if kind == 't5':
        assert make(folder, max_tokens=600).max_tokens == 600
        return
    with pytest.raises(ValueError, match='positions'):
        TransformersTextEncoder(str(folder), max_tokens=9000)
    if 'max_position_embeddings' in FAMILIES[kind]:
        with pytest.raises(ValueError, match='has 64 positions'):
            TransformersTextEncoder(str(folder), max_tokens=65)


def test_trained_saved_resumed_without_the_folder(saved):
    """The sizes travel in the config, tokenizer and weights in the checkpoint."""
    _, folder = saved
    encoder = make(folder, max_tokens=60)
    optimizer = torch.optim.SGD(encoder.parameters(), 0.1)
    target = torch.linspace(-1, 1, encoder.out_channels)
    encoder(**encoder.tokenize(SENTENCES)).mul(target).sum().backward()
    # Nothing that trains is left without a gradient: DDP looks for none.
    lacking = [n for n, p in encoder.named_parameters() if p.grad is None]
    assert lacking == []
    optimizer.step()
    cfg = dict(type='TransformersTextEncoder', pretrained=str(folder), max_tokens=60)
    resolve_sizes(dict(text_encoder=cfg))  # as a training does before it begins
    shutil.rmtree(folder)
    fresh = MODELS.build(cfg)
    fresh.load_state_dict(encoder.state_dict())
    encoder.eval(), fresh.eval()
    with torch.no_grad():
        expected = encoder(**encoder.tokenize(SENTENCES))
        assert torch.equal(fresh(**fresh.tokenize(SENTENCES)), expected)


# The rest of them where the backbones are tested, tools/run_backbone_tests.sh.
RUNS = ['roberta', 't5']
if os.environ.get('MMCADFORMER_NEED_HOSTS'):
    RUNS = list(FAMILIES)


@pytest.mark.parametrize('saved', RUNS, indirect=True)
def test_checkpoints_change_no_gradient(saved):
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        encoder = make(saved[1], max_tokens=60, with_cp=with_cp).train()
        again = []
        _, layers = encoder._layers(encoder.network)
        linear = next(m for m in layers[0].modules() if isinstance(m, torch.nn.Linear))
        linear.register_forward_pre_hook(lambda *_, again=again: again.append(1))
        torch.manual_seed(1)
        features = encoder(**encoder.tokenize(SENTENCES))
        features.mul(torch.linspace(-1, 1, 16)).sum().backward()
        assert len(again) == 1 + with_cp  # once more, backwards
        gradients.append({n: p.grad for n, p in encoder.named_parameters()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


@pytest.mark.parametrize('saved', RUNS, indirect=True)
def test_a_run_is_resumed_and_segments_without_the_folder(
    saved, tiny_config, tmp_path_factory
):
    _, folder = saved
    runs = tmp_path_factory.mktemp('runs')
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.model.text_encoder = dict(
        type='TransformersTextEncoder', pretrained=str(folder), max_tokens=40
    )
    resolve_sizes(cfg.model)
    cfg.model.backbone.text_channels = cfg.model.decode_head.text_channels = 16
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.default_hooks.checkpoint.save_best = None
    states = []
    for part in ('whole', 'resumed'):
        cfg.work_dir, cfg.experiment_name = str(runs / part), runs.name + part
        if states:
            cfg.load_from, cfg.resume = str(runs / 'whole/epoch_1.pth'), True
        runner = Runner.from_cfg(cfg)
        runner.train()
        states.append(runner.model.state_dict())
    shutil.rmtree(folder)
    inferencer = ReferringInferencer(cfg, runs / 'resumed/epoch_2.pth', 'cpu')
    for name, value in inferencer.model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, states[0][name]), name
    (result,) = inferencer(np.zeros((64, 64, 3), np.uint8), SENTENCES[0])
    assert result.mask.shape == (64, 64)


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [(dict(trainable=1), {0}), (dict(trainable_last=2), {1, 2})],
)
def test_trainable_layers(saved, kwargs, expected):
    encoder = make(saved[1], **kwargs)
    _, layers = encoder._layers(encoder.network)
    found = {
        i for i, layer in enumerate(layers) if any_trains(layer) and all_train(layer)
    }
    assert found == expected
    trained = sum(any_trains(layer) for layer in layers)
    assert trained == len(expected)
    inside = {id(p) for layer in layers for p in layer.parameters()}
    assert not any(p.requires_grad for p in encoder.parameters() if id(p) not in inside)


def any_trains(layer) -> bool:
    return any(p.requires_grad for p in layer.parameters())


def all_train(layer) -> bool:
    return all(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize('style', ['words', 'bytes', 'pieces', 'ends'])
def test_phrases_with_every_kind_of_tokenizer(style, tmp_path):
    tokenizer = make_tokenizer(style)
    tokenizer.save_pretrained(tmp_path)
    encoder = PhraseBertTextEncoder(
        categories=('ship', 'storage tank'),
        pretrained=None,
        vocab=str(tmp_path / 'tokenizer.json'),
        config=_WIDE,
        max_tokens=60,
    )
    tokens = encoder.tokenize(SENTENCES[:2])
    expected = [('ship', 'ontheleft'), ('storagetank', None)]
    for row, (thing, place) in enumerate(expected):
        marked = []
        for part in (1, 2):
            ids = tokens['input_ids'][row][tokens['text_mask'][row, part]].tolist()
            text = ''.join(encoder.tokenizer.id_to_token(i) for i in ids)
            for mark in ('##', '\u0120', '\u2581', '</w>'):
                text = text.replace(mark, '')
            marked.append(text)
        assert marked[0] == thing
        assert place is None or marked[1] == place


def test_settings_that_contradict_are_refused(tmp_path):
    make_tokenizer('words').save_pretrained(tmp_path)
    args = dict(
        vocab=str(tmp_path / 'tokenizer.json'), config=dict(_WIDE, model_type='bert')
    )
    for kwargs, message in (
        (dict(trainable=2, trainable_last=1), 'contradict'),
        (dict(config=dict(_WIDE)), 'model_type'),
        (dict(config=dict(_WIDE, model_type='bertha')), "model_type='bertha'"),
        (dict(config=dict(_WIDE, model_type='bert', vocab_size=5)), 'vocab_size'),
    ):
        with pytest.raises(ValueError, match=message):
            TransformersTextEncoder(**{**args, **kwargs})


@pytest.fixture(scope='module')
def minilm() -> Path:
    """all-MiniLM-L6-v2 as its folder is published; for who has it."""
    folder = os.environ.get('MMCADFORMER_TEST_MINILM')
    if folder is None:
        pytest.skip('MMCADFORMER_TEST_MINILM names no folder of all-MiniLM-L6-v2')
    weights = (Path(folder) / 'model.safetensors').read_bytes()
    assert hashlib.sha256(weights).hexdigest() == MINILM
    return Path(folder)


@torch.no_grad()
def test_a_real_pretrained_encoder(minilm):
    encoder = make(minilm, max_tokens=64).eval()
    assert (encoder.out_channels, encoder.vocab_size) == (384, 30522)
    tokens = encoder.tokenize(SENTENCES)
    own = transformers.AutoTokenizer.from_pretrained(minilm)(
        SENTENCES, padding=True, return_tensors='pt'
    )
    assert torch.equal(tokens['input_ids'], own['input_ids'])
    source = transformers.AutoModel.from_pretrained(minilm).eval()
    expected = source(**own).last_hidden_state
    assert torch.equal(encoder(**tokens), expected)
    # It knows what words mean: the mean of a sentence is near to that of its kind.
    pairs = ['a big ship', 'a large vessel', 'a tennis court']
    tokens = encoder.tokenize(pairs)
    mask = tokens['text_mask'].unsqueeze(2)
    means = (encoder(**tokens) * mask).sum(1) / mask.sum(1)
    near, far = torch.cosine_similarity(means[:1], means[1:])
    assert near > far + 0.2
