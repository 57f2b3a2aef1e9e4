#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What testssl.sh thinks of the door: nothing of medium severity or worse in the
# versions and the kinds of ciphers that are offered. Its other checks take minutes.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"

command -v testssl >/dev/null || tap_skip_all "testssl.sh is not installed"
TLS=${TLS:-18643}
HOST=$PREFIX-http-19300.$DOMAIN FOUND=$WORK/found.json

scan() { # It counts what it could not do in its status, up to 200; more is a fault of its own.
	timeout 570 testssl --quiet --color 0 --warnings off --nodns none --ip 127.0.0.1 --openssl /usr/bin/openssl \
		--jsonfile "$FOUND" -p -s "$HOST:$TLS" </dev/null >"$WORK/testssl.log" 2>&1
	[ $? -lt 124 ] && jq -e 'length > 10' "$FOUND" >/dev/null
}
finding() { jq -r --arg id "$1" '.[] | select(.id == $id) | .finding' "$FOUND"; }

tap_plan 7
certificate "$WORK/pem"
driver_start -L 127.0.0.1:$TLS -c "$WORK/pem" -a 127.0.0.1

tap_run testssl_runs_to_its_end scan
tap_is testssl_finds_nothing_bad \
	"$(jq -r '.[] | select(.severity | IN("MEDIUM", "HIGH", "CRITICAL", "FATAL")) | .id' "$FOUND" 2>&1)" ''
tap_is testssl_old_versions "$(for id in SSLv2 SSLv3 TLS1 TLS1_1; do finding $id; done | sort | uniq -c | tr -s ' ')" ' 4 not offered'
tap_like testssl_tls12_is_offered "$(finding TLS1_2)" '^offered'
tap_like testssl_tls13_is_offered "$(finding TLS1_3)" '^offered'
tap_like testssl_http2_is_offered "$(finding ALPN_HTTP2)" '^h2'
tap_is testssl_forward_secrecy_is_offered "$(finding cipherlist_STRONG_FS)" offered
driver_stop
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 60 "$WORK/testssl.log")"
tap_done
