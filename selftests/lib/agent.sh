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
