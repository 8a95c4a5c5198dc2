# SPDX-License-Identifier: Apache-2.0
"""Mixed precision in inference, from the option to the results."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmcadformer.apis import ReferringInferencer
from mmcadformer.utils.precision import choose_amp, describe_amp, has_bfloat16

EXPRESSIONS = ['the left pool', 'a red court above the large white tank']


class Types(TorchDispatchMode):
    """Collects the types that products give."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ('addmm', 'mm', 'convolution'):
            self.seen.add(result.dtype)
        return result


@pytest.fixture(scope='module')
def image(tiny_data):
    folder = tiny_data / 'images/synthrs/JPEGImages'
    return str(next(iter(sorted(folder.glob('*test*')))))


@pytest.fixture(scope='module')
def plain(tiny_config, tiny_checkpoint):
    return ReferringInferencer(tiny_config, tiny_checkpoint, 'cpu')


@pytest.mark.parametrize('count', [1, 2])
def test_bfloat16_finds_nearly_the_same(
    plain, tiny_config, tiny_checkpoint, image, count
):
    mixed = ReferringInferencer(tiny_config, tiny_checkpoint, 'cpu', amp='bf16')
    with Types() as types:
        found = mixed(image, EXPRESSIONS[:count])
    # But for what turns kernels by sines and cosines.
    assert torch.bfloat16 in types.seen
    for result, expected in zip(found, plain(image, EXPRESSIONS[:count]), strict=True):
        assert result.precision == result.record()['precision'] == 'bf16'
        assert expected.record()['precision'] == 'float32'
        difference = np.abs(result.probability - expected.probability)
        assert 0 < difference.max() < 0.05
    assert mixed.precision == 'precision: bf16 (mixed)'
    assert plain.precision == 'precision: float32'


def test_a_config_may_ask_for_it(tiny_config, tiny_checkpoint, image):
    options = {'model.test_cfg.amp': 'bf16'}
    inferencer = ReferringInferencer(
        tiny_config, tiny_checkpoint, 'cpu', cfg_options=options
    )
    assert inferencer(image, EXPRESSIONS[0])[0].precision == 'bf16'
    with pytest.raises(ValueError, match=r"test_cfg\.amp='int8'"):
        ReferringInferencer(
            tiny_config, None, 'cpu', cfg_options={'model.test_cfg.amp': 'int8'}
        )


def test_auto_is_what_the_processor_computes_in():
    flags = Path('/proc/cpuinfo')
    if not flags.exists():
        pytest.skip('needs Linux')
    known = any(f in flags.read_text() for f in ('avx512_bf16', 'amx_bf16'))
    assert has_bfloat16('cpu') == known
    assert choose_amp('auto', 'cpu') == choose_amp(True, 'cpu')
    assert choose_amp('auto', 'cpu') == ('bf16' if known else None)
    said = 'bf16 (mixed)' if known else 'float32, as this processor has no'
    assert said in describe_amp('auto', 'cpu')
    assert choose_amp(None, 'cpu') is choose_amp(False, 'cpu') is None
    with pytest.raises(ValueError, match="'int8' is unknown"):
        choose_amp('int8', 'cpu')
