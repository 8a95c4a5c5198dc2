# SPDX-License-Identifier: Apache-2.0
"""What files of images are called."""

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jp2'}
