# SPDX-License-Identifier: Apache-2.0
"""Where scripts find the framework parts."""
