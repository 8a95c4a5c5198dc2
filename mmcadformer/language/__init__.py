# SPDX-License-Identifier: Apache-2.0
"""What the package knows of English: directions, phrases, types of expressions."""
