# SPDX-License-Identifier: Apache-2.0
"""Hooks of training and testing."""
