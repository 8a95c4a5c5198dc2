# SPDX-License-Identifier: Apache-2.0
"""Models that others have released, in the form of this package."""
