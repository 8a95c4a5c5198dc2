# SPDX-License-Identifier: Apache-2.0
"""Starts the page."""

from .command import main

if __name__ == '__main__':
    main()
