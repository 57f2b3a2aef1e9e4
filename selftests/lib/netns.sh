# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Commands in a network namespace of ip-netns(8). "ip netns exec" also makes a mount
# namespace with a sysfs of its own for each command, and takes both away again: ten
# times the work of a small command, and seconds of a test on an emulated processor.
# So /sys shows the caller's devices here; what reads /sys/class/net of the namespace
# wants "ip netns exec".

# netns_exec NAME COMMAND...
netns_exec() { nsenter "--net=/run/netns/$1" "${@:2}"; }

# netns_pair NAME HOST-IF [MAC]: a namespace with eth0, whose other end is the host's.
# Both are taken away explicitly: a namespace lives on while its processes end.
netns_pair() {
	ip netns add "$1"
	tap_cleanup "ip netns del $1"
	tap_cleanup "ip link del $2"
	# shellcheck disable=SC2086  # two words or none
	ip link add "$2" type veth peer name eth0 netns "$1" ${3:+address $3}
	netns_exec "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.eth0.accept_dad=0
	ip -n "$1" link set lo up
	ip -n "$1" link set eth0 up
	ip link set "$2" up
}

# netns_container NAME HOST-IF HOST-ADDRESS ADDRESS...: the same, with addresses.
netns_container() {
	local name=$1 host=$2 address
	netns_pair "$name" "$host"
	ip addr add "$3" dev "$host"
	shift 3
	for address in "$@"; do ip -n "$name" addr add "$address" dev eth0; done
}

netns_addresses() { # NAME V4 GATEWAY4 V6 GATEWAY6
	ip -n "$1" addr add "$2/24" dev eth0
	ip -n "$1" route add default via "$3"
	ip -n "$1" addr add "$4/64" dev eth0 nodad
	ip -n "$1" route add default via "$5"
}

# netns_three_and_world NAME: containers of a host that forwards: "a" with a link of its
# own (ha), "b" and NAME on a bridge (hb, h and NAME's first letter), and the world.
#
#	a 10.0.0.2, fd00::2 - ha \
#	b 10.1.0.2, fd01::2 - hb -\ host -- ho - out 192.0.2.10, 2001:db8::10
#	NAME 10.1.0.3, fd01::3 - h- br0
netns_three_and_world() {
	local third=h${1:0:1}
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	netns_pair a ha 02:00:00:00:0a:02
	netns_pair b hb 02:00:00:00:0b:02
	netns_pair "$1" "$third" 02:00:00:00:0b:03
	netns_pair out ho 02:00:00:00:0f:10
	ip link add br0 type bridge
	tap_cleanup 'ip link del br0'
	ip link set hb master br0
	ip link set "$third" master br0
	ip link set br0 up
	ip addr add 10.0.0.1/24 dev ha
	ip addr add fd00::1/64 dev ha nodad
	ip addr add 10.1.0.1/24 dev br0
	ip addr add fd01::1/64 dev br0 nodad
	ip addr add 192.0.2.1/24 dev ho
	ip addr add 2001:db8::1/64 dev ho nodad
	netns_addresses a 10.0.0.2 10.0.0.1 fd00::2 fd00::1
	netns_addresses b 10.1.0.2 10.1.0.1 fd01::2 fd01::1
	netns_addresses "$1" 10.1.0.3 10.1.0.1 fd01::3 fd01::1
	netns_addresses out 192.0.2.10 192.0.2.1 2001:db8::10 2001:db8::1
}
