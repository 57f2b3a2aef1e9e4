#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Records of TLS 1.3, which are the agent's own once OpenSSL has shaken hands: all that
# clients may do with them, and what they may not, by tls13_check.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"

certificate "$WORK/pem"
serve 19201 python3 "$(dirname "$0")/proxy_app.py" 19201 "$WORK/record"
serve 19202 node -e 'require("http").createServer((q, r) => r.end("x")).listen(19202, "127.0.0.1")'
driver_start -L 127.0.0.1:18443 -c "$WORK/pem" -a 127.0.0.1 -t 1

memory() { awk '$1 == "Anonymous:" { print $2 * 1024 }' "/proc/$WORKER/smaps_rollup"; }
hold() { # COUNT: that many idle clients; prints the worker's memory then
	coproc clients { "$HOODY_BUILD/selftests/bench/tls_hold" 127.0.0.1 18443 "$PREFIX-http-19202.$DOMAIN" "$1"; }
	# shellcheck disable=SC2154 # coproc sets it
	local pid=$clients_PID word=
	read -r -t 60 -u "${clients[0]}" word
	[ "$word" = ready ] && memory
	eval "exec ${clients[1]}>&-"
	wait "$pid"
}
# What the first ones cost stays.
few=$(hold 20)
many=$(hold 420)

# The plan and the points are the program's.
"$HOODY_BUILD/selftests/agent/tls13_check" 18443 "$PREFIX-http-19201.$DOMAIN" \
	$(((many - few) / 400)) \
	"$("$HOODY_BUILD/selftests/bench/tls_shake" connect 127.0.0.1 18443 "$PREFIX-http-19201.$DOMAIN" 0.2 resumed)"
status=$?
driver_stop
exit $status
