# SPDX-License-Identifier: Apache-2.0
"""Rotation of kernels against explicit resampling, and ARC against loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmcadformer.models.layers import AdaptiveRotatedConv2d, rotation_matrix

ANGLES = (-40.0, -23.5, -5.0, 0.0, 7.0, 31.0, 40.0)


def bilinear_sample(kernel, x, y):
    """Value of a 3x3 kernel at (x, y) in [-1, 1]^2, one tap at a time."""
    value = 0.0
    for row in range(3):
        for column in range(3):
            weight_x = max(0.0, 1 - abs(x - (column - 1)))
            weight_y = max(0.0, 1 - abs(y - (row - 1)))
            value += weight_x * weight_y * kernel[row, column]
    return value


def rotate_by_loop(kernel, theta):
    out = np.zeros((3, 3))
    for row in range(3):
        for column in range(3):
            dx, dy = column - 1, row - 1
            x = math.cos(theta) * dx - math.sin(theta) * dy
            y = math.sin(theta) * dx + math.cos(theta) * dy
            x, y = (min(1.0, max(-1.0, value)) for value in (x, y))
            out[row, column] = bilinear_sample(kernel, x, y)
    return out


@pytest.mark.parametrize('degrees', ANGLES)
def test_rotation_is_bilinear_resampling(degrees):
    theta = math.radians(degrees)
    kernel = np.random.default_rng(0).normal(size=(3, 3))
    matrix = rotation_matrix(torch.tensor(theta, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(
        (matrix @ kernel.ravel()).reshape(3, 3), rotate_by_loop(kernel, theta)
    )
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize('degrees', ANGLES)
def test_rotation_agrees_with_grid_sample(degrees):
    theta = math.radians(degrees)
    kernel = torch.randn(1, 1, 3, 3)
    cos, sin = math.cos(theta), math.sin(theta)
    affine = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])
    grid = F.affine_grid(affine, (1, 1, 3, 3), align_corners=True)
    expected = F.grid_sample(
        kernel, grid, mode='bilinear', padding_mode='border', align_corners=True
    )
    rotated = rotation_matrix(torch.tensor(theta)) @ kernel.flatten()
    torch.testing.assert_close(rotated, expected.flatten(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('sign', [1, -1])
def test_corners_mix_with_the_next_tap_in_the_direction_of_the_angle(sign):
    theta = sign * math.radians(30)
    cos, sin = math.cos(theta), math.sin(abs(theta))
    matrix = rotation_matrix(torch.tensor(theta, dtype=torch.float64))
    neighbour = 1 if sign > 0 else 3  # top middle, or left middle
    assert matrix[0, 0].item() == pytest.approx(cos - sin)
    assert matrix[0, neighbour].item() == pytest.approx(1 - (cos - sin))
    assert matrix[4, 4].item() == pytest.approx(1)  # the centre stays


def test_batch_equals_one_convolution_per_sample():
    torch.manual_seed(0)
    module = AdaptiveRotatedConv2d(6, 5, num_kernels=2).double().eval()
    module.routing.angle.weight.data *= 500  # angles that matter
    x = torch.randn(3, 6, 9, 11, dtype=torch.float64)
    weight, angle = module.routing(x)
    assert angle.abs().max() > 0.05
    for b in range(3):
        kernel = torch.zeros(5, 6, 3, 3, dtype=torch.float64)
        for n in range(2):
            for o in range(5):
                for i in range(6):
                    rotated = rotate_by_loop(
                        module.weight[n, o, i].detach().numpy(), angle[b, n].item()
                    )
                    kernel[o, i] += weight[b, n].item() * torch.from_numpy(rotated)
        expected = F.conv2d(x[b : b + 1], kernel, padding=1)
        torch.testing.assert_close(module(x)[b : b + 1], expected)


def test_angle_zero_is_a_plain_convolution():
    module = AdaptiveRotatedConv2d(4, 4).eval()
    torch.nn.init.zeros_(module.routing.angle.weight)
    x = torch.randn(2, 4, 8, 8)
    weight, angle = module.routing(x)
    assert (angle == 0).all()
    expected = F.conv2d(x, module.weight[0], padding=1) * weight[:, :, None, None]
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def test_angles_stay_within_the_bound():
    module = AdaptiveRotatedConv2d(4, 4).eval()
    module.routing.angle.weight.data.fill_(1e6)
    angle = module.routing(torch.randn(2, 4, 8, 8))[1]
    assert angle.abs().max() <= math.radians(40)


def test_routing_follows_its_definition():
    module = AdaptiveRotatedConv2d(4, 4).eval().routing.double()
    torch.nn.init.normal_(module.angle.weight)
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    features = F.conv2d(x, module.depthwise.weight, padding=1, groups=4)
    mean = features.mean(dim=1, keepdim=True)
    std = ((features - mean) ** 2).mean(dim=1, keepdim=True).add(1e-5).sqrt()
    pooled = ((features - mean) / std).clamp(min=0).mean(dim=(2, 3))
    logit = pooled @ module.weight.weight.T + module.weight.bias
    turn = pooled @ module.angle.weight.T
    weight, angle = module(x)
    torch.testing.assert_close(weight, 1 / (1 + torch.exp(-logit)))
    torch.testing.assert_close(angle, math.radians(40) * turn / (1 + turn.abs()))
