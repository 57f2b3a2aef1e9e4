#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Real client IP and its alternatives in instructions, and what the module costs
# traffic that is not its own. Runs in a machine whose clock counts instructions
# (bench/run starts it); writes one JSON object a line to the file it is given.
#
#   peer 10.8.0.2 --- host 10.8.0.1, 10.9.0.1, 10.7.0.1 --- box   10.9.0.2
#   (another host)    (a namespace)                     \-- other 10.7.0.2
#
# Every measurement gets new namespaces, so that none inherits the tables of
# another. What the server saw is checked by netcost: a case whose feature does
# not work fails, and so does the run.
set -euo pipefail

results=$1 rounds=${2:-3}
bin=$HOODY_BUILD/selftests/bench
module=$HOODY_BUILD/kmod/$(uname -r)/hoody.ko
client4=198.51.100.7 client6=2001:db8::7
servers=()

die() { echo "bench: $*" >&2; exit 1; }

in_ns() { ip netns exec "$@"; }

# link NAMESPACE NET: a veth pair between the host and NAMESPACE, routed.
link() {
	ip netns add "$1"
	ip -n host -batch - <<-END
		link add to-$1 type veth peer name eth0 netns $1
		addr add 10.$2.0.1/24 dev to-$1
		addr add fd0$2::1/64 dev to-$1 nodad
		link set to-$1 up
	END
	ip -n "$1" -batch - <<-END
		addr add 10.$2.0.2/24 dev eth0
		addr add fd0$2::2/64 dev eth0 nodad
		link set lo up
		link set eth0 up
		route add default via 10.$2.0.1
		route add default via fd0$2::1
	END
}

network_up() {
	local name
	ip netns add host
	ip -n host link set lo up
	link box 9
	link other 7
	link peer 8
	in_ns host sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	for name in box:10.9.0.2 other:10.7.0.2 peer:10.8.0.2 box:fd09::2 other:fd07::2 peer:fd08::2; do
		servers+=("$(in_ns "${name%%:*}" "$bin/netcost_serve" "${name#*:}" 80)")
	done
}

network_down() {
	local name
	[ ${#servers[@]} = 0 ] || kill "${servers[@]}"
	servers=()
	for name in host box other peer; do ip netns del "$name" 2>/dev/null || true; done
}

module_in() {
	insmod "$module"
	in_ns host "$bin/netcost" register 10.9.0.2 10.7.0.2 fd09::2 fd07::2
}

# Namespaces go in the background, and their last sockets hold the module.
module_out() {
	local end=$((SECONDS + 120))
	until rmmod hoody 2>/dev/null; do
		[ $SECONDS -lt $end ] || die "the module is still in use"
		sleep 0.2
	done
}

# hold ADDRESS: eight live real-IP connections of the host to a container.
hold() {
	local client=$client4
	case $1 in *:*) client=$client6 ;; esac
	servers+=("$(in_ns host "$bin/netcost" hold 8 --source realip --to "$1" --port 80 \
		--client "$client" --expect "$client")")
}

# measure SECTION CASE NAMESPACE MODE OPTION...
measure() {
	local section=$1 case=$2 from=$3 mode=$4 size=(--batches 40 --batch 50 --warm 200) line
	shift 4
	[ "$mode" != new ] || size=(--batches 20 --batch 25 --warm 100)
	line=$(in_ns "$from" "$bin/netcost" measure --port 80 --mode "$mode" "${size[@]}" "$@") ||
		die "$section $case $mode failed"
	printf '{"kernel":"%s","section":"%s","case":"%s","round":%d,%s\n' \
		"$(uname -r)" "$section" "$case" "$round" "${line#\{}" >>"$results"
}

# both SECTION CASE NAMESPACE OPTION...: kept connections, then new ones.
both() {
	local section=$1 case=$2 from=$3
	shift 3
	measure "$section" "$case" "$from" kept "$@"
	measure "$section" "$case" "$from" new "$@"
}

ordinary4=(--source ordinary --to 10.9.0.2 --expect 10.9.0.1)
ordinary6=(--source ordinary --to fd09::2 --expect fd09::1)
as_client4=(--to 10.9.0.2 --client "$client4" --expect "$client4")
as_client6=(--to fd09::2 --client "$client6" --expect "$client6")

upstream_absent() { both upstream4 absent host "${ordinary4[@]}"; }
upstream_absent6() { both upstream6 absent host "${ordinary6[@]}"; }
upstream_loaded() { hold 10.7.0.2; both upstream4 loaded host "${ordinary4[@]}"; }
upstream_loaded6() { hold fd07::2; both upstream6 loaded host "${ordinary6[@]}"; }
upstream_realip() { both upstream4 realip host --source realip "${as_client4[@]}"; }
upstream_realip_any() { measure upstream4 realip-any-port host new --source realip-any-port "${as_client4[@]}"; }
upstream_realip6() { both upstream6 realip host --source realip "${as_client6[@]}"; }

# The documented way: a mark on packets of transparent sockets, and a routing
# table that takes what is marked as local.
transparent_rules() { # nft family, ip family
	in_ns host nft -f - <<-END
		table $1 divert {
			chain prerouting {
				type filter hook prerouting priority mangle;
				meta l4proto tcp socket transparent 1 meta mark set 1 accept
			}
		}
	END
	ip -n host "$2" rule add fwmark 1 lookup 100
	ip -n host "$2" route add local default dev lo table 100
}

upstream_transparent() {
	transparent_rules ip -4
	both upstream4 transparent host --source transparent "${as_client4[@]}"
	measure upstream4 transparent-port host new --source transparent-port "${as_client4[@]}"
}

upstream_transparent6() {
	transparent_rules ip6 -6
	both upstream6 transparent host --source transparent "${as_client6[@]}"
}

upstream_conntrack() {
	in_ns host nft -f - <<-END
		table ip filter {
			chain input {
				type filter hook input priority filter;
				ct state established,related accept
			}
		}
	END
	both upstream4 conntrack host "${ordinary4[@]}"
}

upstream_nat() {
	in_ns host nft -f - <<-END
		table ip nat {
			chain postrouting {
				type nat hook postrouting priority srcnat;
				ip daddr 10.9.0.2 snat to $client4
			}
		}
	END
	both upstream4 nat host --source ordinary --to 10.9.0.2 --expect $client4
}

# Not its own: between two others, from the host to another host, and what the
# container itself opens. The last one shares its address with live connections.
passing() { # CASE
	both forwarded-tcp "$1" peer --source ordinary --to 10.9.0.2 --expect 10.8.0.2
	measure forwarded-udp "$1" peer kept --udp --source ordinary --to 10.9.0.2 --expect 10.8.0.2
	both forwarded-tcp6 "$1" peer --source ordinary --to fd09::2 --expect fd08::2
	both host-to-host "$1" host --source ordinary --to 10.8.0.2 --expect 10.8.0.1
}

outgoing() { # CASE
	both outgoing-tcp "$1" box --source ordinary --to 10.8.0.2 --expect 10.9.0.2
	measure outgoing-udp "$1" box kept --udp --source ordinary --to 10.8.0.2 --expect 10.9.0.2
	both outgoing-tcp6 "$1" box --source ordinary --to fd08::2 --expect fd09::2
}

passing_absent() { passing absent; }
passing_loaded() { hold 10.7.0.2; hold fd07::2; passing loaded; }
outgoing_absent() { outgoing absent; }
outgoing_loaded() { hold 10.9.0.2; hold fd09::2; outgoing loaded; }

# run_case NAME [module]
run_case() {
	trap 'network_down' EXIT
	network_up
	[ -z "${2:-}" ] || module_in
	"$1"
	network_down
	trap - EXIT
	[ -z "${2:-}" ] || module_out
}

: >"$results"
clock=$("$bin/netcost" clock)
printf '{"kernel":"%s","section":"clock",%s\n' "$(uname -r)" "${clock#\{}" >>"$results"
for ((round = 1; round <= rounds; round++)); do
	echo "$(uname -r): round $round of $rounds"
	for name in upstream_absent upstream_absent6 passing_absent outgoing_absent; do run_case $name; done
	for name in upstream_loaded upstream_loaded6 upstream_realip upstream_realip_any upstream_realip6 \
		passing_loaded outgoing_loaded; do
		run_case $name module
	done
	for name in upstream_transparent upstream_transparent6; do run_case $name; done
done
# Last, because connection tracking stays loaded.
for ((round = 1; round <= rounds; round++)); do
	for name in upstream_conntrack upstream_nat; do run_case $name; done
done
