# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the module's test scripts share: the module itself, and a host with
# containers and clients made of network namespaces. Source it after tap.sh.
#
#   client --- host --- c1, c2     routed veths (default) or ports of a bridge
#
#   client	198.51.100.0/24 (its own), 203.0.113.0/24, 2001:db8:c::/64 behind it
#   c1, c2	routed: 10.7.1.2, 10.7.2.2, fd07:1::2, fd07:2::2
#		bridge: 10.8.0.2, 10.8.0.3, fd08::2, fd08::3
#
# The registry and the agent's sockets live in "host", a namespace like any
# other to the module; so every test starts with default sysctls and no rules.

# shellcheck source=selftests/lib/netns.sh
. "$TOP/selftests/lib/netns.sh"

BIN=$HOODY_BUILD/selftests/kmod
MODULE=$HOODY_BUILD/kmod/$(uname -r)/hoody.ko
AGENT_CGROUP=/sys/fs/cgroup/hoody-agent
ID1=c00000000000000000000001 ID2=c00000000000000000000002 PROJECT=c000000000000000000000aa

kmod_load() { # [PARAMETER=VALUE]...
	[ -f "$MODULE" ] || tap_skip_all "no module for $(uname -r): make kmod"
	insmod "$MODULE" "$@" || tap_bail "hoody.ko cannot be loaded"
	tap_cleanup 'tap_wait 30 rmmod hoody'
}

on() { netns_exec "$@"; }		# NAMESPACE COMMAND...
host() { netns_exec host "$@"; }
hoodynl() { netns_exec host "$BIN/hoodynl" "$@"; }
stat_of() { hoodynl stats "$1"; }

# A command as the agent: in its cgroup, without any capability.
agent() {
	(
		echo 0 >"$AGENT_CGROUP/cgroup.procs"
		exec nsenter --net=/run/netns/host setpriv --reuid 65534 --regid 65534 --clear-groups \
			--inh-caps=-all --bounding-set=-all --no-new-privs "$@"
	)
}

kmod_agent_cgroup() {
	mkdir -p "$AGENT_CGROUP"
	tap_cleanup "rmdir $AGENT_CGROUP"
	hoodynl agent "$(stat -c %i $AGENT_CGROUP)"
}

# The client's side: one address on the link, the others behind it.
kmod_client() {
	ip netns add client
	tap_cleanup 'ip netns del client'
	ip -n host link add client0 type veth peer name eth0 netns client
	ip -n host -batch - <<-BATCH
		addr add 192.0.2.1/24 dev client0
		addr add 2001:db8:2::1/64 dev client0 nodad
		link set client0 up
		route add 198.51.100.0/24 via 192.0.2.2
		route add 203.0.113.0/24 via 192.0.2.2
	BATCH
	ip -n client -batch - <<-BATCH
		link set lo up
		addr add 192.0.2.2/24 dev eth0
		addr add 2001:db8:2::2/64 dev eth0 nodad
		link set eth0 up
		addr add 198.51.100.1/32 dev lo
		addr add 2001:db8:c::1/128 dev lo nodad
		route add default via 192.0.2.1
		route add local 198.51.100.0/24 dev lo
		route add local 203.0.113.0/24 dev lo
		route add default via 2001:db8:2::1
		route add local 2001:db8:c::/64 dev lo
	BATCH
	ip -n host -6 route add 2001:db8:c::/64 via 2001:db8:2::2
}

kmod_routed_container() { # NAME NUMBER
	ip netns add "$1"
	tap_cleanup "ip netns del $1"
	ip -n host link add "v$1" type veth peer name eth0 netns "$1"
	ip -n host -batch - <<-BATCH
		addr add 10.7.0.1/32 dev v$1
		addr add fe80::1/64 dev v$1 nodad
		link set v$1 up
		route add 10.7.$2.2/32 dev v$1
		route add fd07:$2::2/128 dev v$1
	BATCH
	ip -n "$1" -batch - <<-BATCH
		link set lo up
		addr add 10.7.$2.2/32 dev eth0
		addr add fd07:$2::2/128 dev eth0 nodad
		link set eth0 up
		route add 10.7.0.1 dev eth0
		route add default via 10.7.0.1
		route add default via fe80::1 dev eth0
	BATCH
}

kmod_bridge() {
	ip -n host link add br0 type bridge forward_delay 0
	ip -n host -batch - <<-BATCH
		addr add 10.8.0.1/24 dev br0
		addr add fd08::1/64 dev br0 nodad
		link set br0 up
	BATCH
	host sysctl -qw net.ipv4.conf.br0.proxy_arp_pvlan=1 net.ipv6.conf.br0.proxy_ndp=1
}

kmod_bridge_container() { # NAME NUMBER
	ip netns add "$1"
	tap_cleanup "ip netns del $1"
	ip -n host link add "v$1" type veth peer name eth0 netns "$1"
	ip -n host -batch - <<-BATCH
		link set v$1 master br0
		link set v$1 type bridge_slave isolated on
		link set v$1 up
		neigh add proxy fd08::$2 dev br0
	BATCH
	ip -n "$1" -batch - <<-BATCH
		link set lo up
		addr add 10.8.0.$2/24 dev eth0
		addr add fd08::$2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.8.0.1
		route add default via fd08::1
	BATCH
}

kmod_host() {
	ip netns add host
	tap_cleanup 'ip netns del host'
	ip -n host link set lo up
	host sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	kmod_client
}

# Takes everything away that was set up since the module was loaded.
kmod_undo() {
	local i
	for ((i = ${#tap_cleanups[@]} - 1; i > 0; i--)); do
		eval "${tap_cleanups[i]}" >/dev/null 2>&1
	done
	tap_cleanups=("${tap_cleanups[0]}")
}

# kmod_topology routed|bridge: everything, both containers registered.
kmod_topology() {
	kmod_host
	if [ "$1" = bridge ]; then
		kmod_bridge
		kmod_bridge_container c1 2
		kmod_bridge_container c2 3
		C1=10.8.0.2 C2=10.8.0.3 C1V6=fd08::2 C2V6=fd08::3
	else
		kmod_routed_container c1 1
		kmod_routed_container c2 2
		C1=10.7.1.2 C2=10.7.2.2 C1V6=fd07:1::2 C2V6=fd07:2::2
	fi
	hoodynl batch <<-BATCH
		set $ID1 $PROJECT 1 addr=$C1 addr=$C1V6 flags=1
		set $ID2 $PROJECT 1 addr=$C2 addr=$C2V6 flags=1
	BATCH
	kmod_agent_cgroup
}

# A server that answers with the address of its peer.
kmod_server() { # NAMESPACE PORT
	nsenter "--net=/run/netns/$1" "$BIN/realip_server" "$2" >/dev/null 2>"$WORK/server-$1-$2.log" &
	local pid=$!
	disown $pid
	tap_cleanup "kill $pid"
	tap_wait 30 kmod_listens "$1" "$2" || tap_bail "no server in $1: $(cat "$WORK/server-$1-$2.log")"
}

kmod_listens() { netns_exec "$1" ss -Hltn "sport = :$2" | grep -q .; }

# Packets of a namespace's device, as tcpdump's text; stops with capture_stop.
capture_start() { # NAMESPACE DEVICE FILE FILTER...
	local namespace=$1 device=$2 file=$3
	shift 3
	nsenter "--net=/run/netns/$namespace" tcpdump -lnn --immediate-mode -i "$device" "$@" >"$file" 2>"$file.err" &
	capture_pid=$!
	tap_wait 30 grep -q 'listening on' "$file.err" || tap_bail "tcpdump: $(cat "$file.err")"
}

capture_stop() {
	kill -INT "$capture_pid"
	wait "$capture_pid"
}
