# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A worker without control (selftests/bench/worker_driver) for test scripts, and
# servers to stand behind it. Source it after tap.sh. Sets DRIVER, WORKER (process
# id), PREFIX and DOMAIN: host names are $PREFIX-http-PORT.$DOMAIN.

# shellcheck disable=SC2034
DRIVER=$HOODY_BUILD/selftests/bench/worker_driver
# shellcheck disable=SC2034
PREFIX=aaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb
DOMAIN=node-t.containers.test

[ -x "$DRIVER" ] || tap_bail "$DRIVER is missing: make tests"

# ---- the worker, spoken to through two pipes ----

driver_start() { # OPTION...: sets WORKER
	mkfifo "$WORK/in" "$WORK/out"
	"$DRIVER" "$@" <"$WORK/in" >"$WORK/out" 2>>"$WORK/worker.log" &
	driver_pid=$!
	exec 8>"$WORK/in" 9<"$WORK/out"
	rm "$WORK/in" "$WORK/out"
	read -r -t 30 -u 9 word WORKER && [ "$word" = ready ] || tap_bail "worker: $(cat "$WORK/worker.log")"
	export WORKER
}

driver() { # COMMAND...: prints what it answers
	local line
	printf '%s\n' "$*" >&8
	while read -r -t 60 -u 9 line; do
		printf '%s\n' "$line"
		case $line in ok* | failed*) return 0 ;; esac
	done
	return 1
}

driver_stop() {
	exec 8>&- 9<&-
	wait "$driver_pid"
}

counter() { driver stats | sed -n "s/^$1 //p"; }

# ---- servers ----

certificate() { # FILE
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test \
		-addext "subjectAltName=DNS:*.$DOMAIN" -keyout "$1.key" -out "$1.crt" 2>/dev/null &&
		cat "$1.crt" "$1.key" >"$1"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

serve() { # PORT CMD...: in the background, until the test ends
	local port=$1
	shift
	"$@" >>"$WORK/server-$port.log" 2>&1 &
	tap_cleanup "kill $!"
	tap_up "127.0.0.1/$port" "$WORK/server-$port.log"
}
