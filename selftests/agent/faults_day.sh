#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A day of registrations, renewals and rotations, its clock moved on a minute at a time:
# memory, descriptors and files stay what they were. Takes some minutes, and is run when
# it is asked for ("make check T=faults_day").
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/faults.sh
. "$(dirname "$0")/../lib/faults.sh"

faults_network
faults_shim
cat >"$WORK/renew" <<-RENEW
	#!/bin/sh
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$WORK/new.key" \
		-out "$WORK/new.pem" -subj /CN=test -addext "subjectAltName=DNS:*.$BASE" 2>/dev/null &&
		mv "$WORK/new.key" "$WORK/server.key" && mv "$WORK/new.pem" "$WORK/server.pem"
RENEW
sh "$WORK/renew"
config 's/^tls = none/tls = 127.0.0.1:8494/'
cat >>"$WORK/agent.conf" <<-CONF
	[tls]
	certificate = $WORK/server.pem
	key = $WORK/server.key
	[audit]
	size_max = 1M
CONF
tap_plan 2
start_agent
register
tap_run day_is_lived_through_flat python3 "$HERE/faults_day.py" "$WORK/shim.so.state" "$SOCKET" 127.0.0.1:8094 "$PREFIX" "$BASE" $AGENT_PID "sh $WORK/renew" "${HOURS:-24}"
tap_note "$(<"$WORK/tap_run")"
stop_agent
start_agent
tap_is day_is_remembered "$(field .containers.registered)" 51
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 30 "$WORK/log")"
tap_done
