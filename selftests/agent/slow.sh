#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Clients that are slow on purpose (slowhttptest): heads, bodies and reading that take
# for ever. All others are served meanwhile, and the slow ones are ended by the
# worker's own clock.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/worker.sh
. "$(dirname "$0")/../lib/worker.sh"
command -v slowhttptest >/dev/null || tap_skip_all "there is no slowhttptest"

PLAIN=18082 HOST=$PREFIX-http-19201.$DOMAIN
cat >"$WORK/app.js" <<-'JS'
	const large = Buffer.alloc(20000000);
	require('http').createServer((q, r) => {
		q.resume();
		q.on('end', () => r.end(q.url === '/small' ? 'small' : large));
	}).listen(19201, '127.0.0.1');
JS
serve 19201 node "$WORK/app.js"
# slowhttptest asks the name of its URL.
cp /etc/hosts "$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts && tap_cleanup "umount /etc/hosts"
echo "127.0.0.1 $HOST" >>"$WORK/hosts"
driver_start -l 127.0.0.1:$PLAIN -a 127.0.0.1 -t 2 -o head_timeout=500 -o body_timeout=500

tap_plan 10
ended() { [ "$(counter timeouts_client)" -ge "$1" ]; }
idle() { [ "$(counter requests_open)" = 0 ]; }
test_slow() { # NAME OPTION...: a hundred slow clients
	local name=$1 before pid
	shift
	before=$(counter timeouts_client)
	slowhttptest -c 100 -r 100 -i 1 -l 60 -p 10 -u "http://$HOST:$PLAIN/large" "$@" >"$WORK/slow.log" 2>&1 &
	pid=$!
	tap_cleanup "kill $pid"
	tap_run "slow_${name}_ended" tap_wait 30 ended $((before + 50))
	[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 12 "$WORK/slow.log")"
	tap_is "slow_${name}_others_are_served" "$(curl -s --max-time 60 -H "Host: $HOST" "http://127.0.0.1:$PLAIN/small")" small
	kill $pid 2>/dev/null
	wait $pid
	tap_run "slow_${name}_leaves_nothing" tap_wait 60 idle
}
test_slow heads -H
test_slow bodies -B -s 100000
# A byte a second of twenty millions, through a window of a kilobyte.
test_slow reading -X -w 512 -y 1024 -n 1 -z 1
tap_run slow_worker_lives kill -0 "$WORKER"
driver_stop
tap_done
