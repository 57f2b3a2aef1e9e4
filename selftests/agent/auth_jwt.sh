#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Tokens that an independent implementation made (Python's cryptography), good
# ones and every kind of bad one, against the agent's evaluation. The checking
# program prints the TAP.
. "$(dirname "$0")/../lib/tap.sh"

python3 -c 'import cryptography' 2>/dev/null || tap_skip_all "python3-cryptography is not installed"
check=$HOODY_BUILD/selftests/agent/auth_jwt_check
[ -x "$check" ] || tap_bail "$check is not built"
python3 "$TOP/selftests/agent/auth_jwt_vectors.py" >"$WORK/vectors" || tap_bail "no tokens could be made"
[ "$(wc -l <"$WORK/vectors")" -ge 100 ] || tap_bail "too few tokens were made"
"$check" "$WORK/vectors"
