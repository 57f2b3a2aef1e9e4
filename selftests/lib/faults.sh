# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2317
#
# An agent, an application in a network namespace, and a library between the agent and
# libc (fault_shim.c) for tests of faults. Source it after tap.sh.

# shellcheck source=selftests/lib/agent.sh
. "$TOP/selftests/lib/agent.sh"
# shellcheck source=selftests/lib/shim.sh
. "$TOP/selftests/lib/shim.sh"
agent_need namespaces
BUILT=$AGENT AGENT=$WORK/agent
HERE=$TOP/selftests/agent
export PYTHONDONTWRITEBYTECODE=1
PROJECT=67e89abc123def456789abcd ID=890abcdef12345678901cdef
PREFIX=$PROJECT-$ID BASE=node-us.containers.example.com
HOST=$PREFIX-http-8000.$BASE
APP=10.83.0.2

ident() { printf '%024x' "$1"; }

faults_network() {
	local netns=hoody-faults-$$
	netns_container $netns veth-f 10.83.0.1/24 $APP/24
	ip netns exec $netns python3 "$HERE/faults_app.py" $APP 2>>"$WORK/app.log" &
	tap_cleanup "kill $!"
	tap_up $APP/8000 "$WORK/app.log"
}

# Builds the library and puts it between; shim says what it does.
faults_shim() {
	shim_build
	# The worker's environment is emptied: what all processes load first is in a file, and
	# another file is in its place for the agent's alone.
	printf '%s\n' "$WORK/shim.so" >"$WORK/preload"
	[ -e /etc/ld.so.preload ] || : >/etc/ld.so.preload
	printf '#!/bin/sh\nexec unshare --mount sh -c '\''mount --bind "$0" /etc/ld.so.preload && exec "$@"'\'' %s %s "$@"\n' "$WORK/preload" "$BUILT" >"$AGENT"
	chmod 755 "$AGENT"
}

config() { # [SED EXPRESSION]...
	cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $SOCKET
	threads = 1
	real_ip = off
	[listen]
	tls = none
	plain = 127.0.0.1:8094
	[timeouts]
	head = 5m
	keepalive = 10m
	connect = 1m
	upstream_idle = 10m
	[firewall]
	enabled = off
	CONF
	local expression
	for expression in "$@"; do sed -i "$expression" "$WORK/agent.conf"; done
}

field() { hoody status --json | jq -r "$1"; }
worker() { field .worker.pid; }
# Also one that nobody has waited for.
gone() { ! readlink "/proc/$1/exe"; }

register() {
	hoody containers register --id $ID --project $PROJECT --address $APP >/dev/null && hoody containers start $ID >/dev/null ||
		tap_bail "the container cannot be registered: $(tail -5 "$WORK/log")"
}
status_of_request() { curl -s --max-time 60 -o /dev/null -w '%{http_code}' --connect-to ::127.0.0.1:8094 "http://$HOST/"; }
served() { [ "$(status_of_request)" = 200 ]; }
open_requests_are() { [ "$(field .worker.counters.requests_open)" = "$1" ]; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# api METHOD PATH [JSON]: status and body.
api() {
	local data=()
	[ $# -lt 3 ] || data=(-H 'Content-Type: application/json' --data-binary "$3")
	printf '%s ' "$(curl -s --max-time 60 --unix-socket "$SOCKET" -X "$1" "${data[@]}" -o "$WORK/body" -w '%{http_code}' "http://agent$2")"
	cat "$WORK/body"
}
