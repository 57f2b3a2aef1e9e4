# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What a script that runs a whole agent begins with: its programs, its user, where its
# control socket will be. Source it after tap.sh, then call agent_need.
#
# shellcheck disable=SC2034  # names for the scripts that source this

# shellcheck source=selftests/lib/netns.sh
. "$TOP/selftests/lib/netns.sh"

AGENT=$HOODY_BUILD/bin/hoody-agent HOODY=$HOODY_BUILD/bin/hoody
SOCKET=$WORK/control.sock
export HOODY_API=unix:$SOCKET

hoody() { "$HOODY" "$@"; }

agent_need() { # [WHAT]: why root is needed, beside the worker's user
	[ "$(id -u)" = 0 ] || tap_skip_all "needs root: ${1:+$1, }another user for the worker"
	[ -x "$AGENT" ] && [ -x "$HOODY" ] || tap_bail "$AGENT or $HOODY is missing: make"
	id hoody >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin hoody
	# The worker reads its certificate here.
	chmod 755 "$WORK"
}

AGENT_PID=
serving() { [ "$(hoody status --json 2>/dev/null | jq -r .worker.state)" = serving ]; }

# start_agent [COMMAND...]: by COMMAND, with $WORK/agent.conf; its log goes on in $WORK/log.
# It ends with the test, before what was to end with it so far.
start_agent() {
	[ -n "$AGENT_PID" ] || tap_cleanup 'tap_end $AGENT_PID'
	"$@" "$AGENT" --config "$WORK/agent.conf" 2>>"$WORK/log" &
	AGENT_PID=$!
	tap_wait 120 eval 'serving || ! kill -0 $AGENT_PID'
	serving || tap_bail "the agent does not serve: $(tail -20 "$WORK/log")"
}

stop_agent() { kill "-${1:-TERM}" "$AGENT_PID" && wait "$AGENT_PID" 2>/dev/null; } # [SIGNAL]

# self_signed FILE TYPE:NAME...: FILE.key and FILE.crt for these names.
self_signed() {
	local file=$1 names
	shift
	names=$(printf ',%s' "$@")
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$(basename "$file")" \
		-addext "subjectAltName=${names#,}" -keyout "$file.key" -out "$file.crt" 2>/dev/null
}
