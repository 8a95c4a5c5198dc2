# SPDX-License-Identifier: Apache-2.0
"""A web page to try models in: ``python -m mmcadformer.demo CONFIG CHECKPOINT``.

Not imported with the package: it needs Gradio, and nothing else needs it.
"""
