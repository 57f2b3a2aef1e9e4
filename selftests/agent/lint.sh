#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The static checks that take a minute or two ("make lint" has all).
exec "$(dirname "$0")/../lint" quick
