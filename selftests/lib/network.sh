# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A host in one network namespace: veth pairs to namespaces that stand for containers
# and for the world, a counter out there, and the agent with its firewall and without
# the module. Source tap.sh first, then call network_need.
#
# shellcheck disable=SC2034  # names for the scripts that source this

# shellcheck source=selftests/lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

A=aaaaaaaaaaaaaaaaaaaaaaaa B=bbbbbbbbbbbbbbbbbbbbbbbb PROJECT=cccccccccccccccccccccccc
PINS=/sys/fs/bpf/hoody-$(basename "$0" .sh)-$$
SOCKET=$WORK/run/control.sock
export HOODY_API=unix:$SOCKET

network_need() { # WHAT: why root is needed
	agent_need "${1:-namespaces, BPF}"
	mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
}

in_ns() { netns_exec "$@"; }

# watch_for NS RULE...: counts in NS what matches one of these rules.
watch_for() {
	local ns=$1 rule
	shift
	{
		printf 'table inet watch {\ncounter straight {}\nchain in {\ntype filter hook prerouting priority -300\n'
		for rule in "$@"; do printf '%s counter name straight\n' "$rule"; done
		printf '}\n}\n'
	} | in_ns "$ns" nft -f - || tap_bail "no counter in $ns"
	WATCHED="${WATCHED:-} $ns"
}

straight() { # what was counted so far
	local ns sum=0
	for ns in $WATCHED; do
		sum=$((sum + $(in_ns "$ns" nft -j list counter inet watch straight |
			jq '.nftables[] | .counter? // empty | .packets')))
	done
	echo $sum
}
# nothing_straight NAME: since mark.
nothing_straight() { tap_is "$1" "$(straight)" "$STRAIGHT"; }
mark() { STRAIGHT=$(straight); }

# agent_conf [LINE]...: agent.conf, with these lines at its end.
agent_conf() {
	self_signed "$WORK/agent" "DNS:*.node-us.containers.example.com"
	cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $SOCKET
threads = 1
real_ip = off
[listen]
plain = 127.0.0.1:8080
[tls]
certificate = $WORK/agent.crt
key = $WORK/agent.key
[firewall]
enabled = on
pins = $PINS
flows = 65536
containers = 16
CONF
	[ $# = 0 ] || printf '%s\n' "$@" >>"$WORK/agent.conf"
}

tap_cleanup 'rm -rf $PINS'

# start_container ID NETDEV ADDRESS...
start_container() {
	local id=$1 netdev=$2 address options=()
	shift 2
	for address in "$@"; do options+=(--address "$address"); done
	"$HOODY" containers register --id "$id" --project $PROJECT --netdev "$netdev" "${options[@]}" >/dev/null &&
		"$HOODY" containers start "$id" >/dev/null || tap_bail "no container: $(tail "$WORK/log")"
}

set_exit() { # ID EXIT [OPTION...]
	local id=$1 exit=$2
	shift 2
	"$HOODY" network set -c "$id" --exit "$exit" "$@" >"$WORK/set" 2>&1 || { tap_note "$(cat "$WORK/set")"; return 1; }
}
show() { "$HOODY" network show -c "$1" --json | jq -r "$2"; } # ID FILTER
shows() { [ "$(show "$1" "$2")" = "$3" ]; }
relay_pid() { pgrep -P "$AGENT_PID" -f -- --relay; }
