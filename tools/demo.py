#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Opens a web page to try models in; see ``demo.py --help`` and docs/demo.md."""

from mmcadformer.demo.command import main

if __name__ == '__main__':
    main()
