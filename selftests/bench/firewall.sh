#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The firewall and nftables on the same packets. Runs on the machine itself, in
# nanoseconds, and in one whose clock counts instructions (bench/run starts both);
# appends one JSON object a line to the file it is given.
#
#   box 10.9.0.2 --- the host, which forwards --- outside, 172.16.0.0/12
#
# The host's end of the box's veth pair has our firewall, or the host's forward
# chain has nftables' rules. Every case gets new interfaces and namespaces. What
# is sent must arrive: a case whose rules do not let it pass ends the run.
set -euo pipefail

results=$1 rounds=${2:-3} unit=${3:-ns}
bin=$HOODY_BUILD/selftests/bench
pins=/sys/fs/bpf/hoody-bench-forward
servers=()

die() { echo "bench: $*" >&2; exit 1; }

network_up() {
	local name
	for name in box:9:02:00:00:00:00:02 outside:8:02:00:00:00:00:03; do
		ip netns add "${name%%:*}"
		ip link add "to-${name%%:*}" type veth peer name eth0 netns "${name%%:*}" \
			address "${name#*:*:}"
	done
	ip addr add 10.9.0.1/24 dev to-box
	ip addr add 10.8.0.1/24 dev to-outside
	ip -n box addr add 10.9.0.2/24 dev eth0
	ip -n outside addr add 10.8.0.2/24 dev eth0
	for name in box outside; do
		ip link set "to-$name" up
		ip -n $name link set lo up
		ip -n $name link set eth0 up
	done
	ip -n box route add default via 10.9.0.1
	ip -n outside route add default via 10.8.0.1
	ip -n outside route add local 172.16.0.0/12 dev lo
	ip route add 172.16.0.0/12 via 10.8.0.2
	sysctl -qw net.ipv4.ip_forward=1
}

# Flows outlive the table that tracked them, and the next one would know them.
forget_flows() { conntrack -D -s 10.9.0.2 >/dev/null 2>&1 || true; }
tracked() { conntrack -C 2>/dev/null || echo 0; }

network_down() {
	local name
	forget_flows
	[ ${#servers[@]} = 0 ] || kill "${servers[@]}"
	servers=()
	nft delete table inet bench 2>/dev/null || true
	for name in box outside; do
		ip link del "to-$name" 2>/dev/null || true
		ip netns del "$name" 2>/dev/null || true
	done
	rm -rf "$pins"
}

last_of() { # COUNT: the address of the last rule
	local last=$((${1:-1} - 1))
	echo "172.16.$((last >> 8)).$((last & 255))"
}

# What a container's table would be: the flow first, then the set of all rules.
nft_set() { # PROTOCOL COUNT stateful|stateless
	{
		echo "table inet bench {"
		echo "	set allowed { type ipv4_addr . inet_service; elements = {"
		seq 0 $(($2 - 1)) | awk '{ printf "172.16.%d.%d . 443,\n", int($1 / 256), $1 % 256 }'
		echo "	} }"
		echo "	chain forward {"
		echo "		type filter hook forward priority filter; policy drop"
		if [ "$3" = stateful ]; then
			echo "		ct state established accept"
		else
			echo "		iifname to-outside accept"
		fi
		echo "		ip daddr . $1 dport @allowed accept"
		echo "	}"
		echo "}"
	} | nft -f -
}

nft_established() {
	nft -f - <<-END
		table inet bench {
			chain forward {
				type filter hook forward priority filter
				ct state established accept
			}
		}
	END
}

# rules CASE PROTOCOL: puts them in force; sets how many there are.
rules() {
	count=${1##*-}
	case $1 in
	none) count=1 ;;
	nft-established) count=1; nft_established ;;
	nft-set-*) nft_set "$2" "$count" stateful ;;
	nft-stateless-*) nft_set "$2" "$count" stateless ;;
	ours-open) count=1; "$bin/forward" policy to-box $pins "$2" open ;;
	ours-*) "$bin/forward" policy to-box $pins "$2" "$count" ;;
	*) die "no case '$1'" ;;
	esac
}

record() { # CASE LINE
	printf '{"section":"firewall","kernel":"%s","unit":"%s","case":"%s","round":%d,%s\n' \
		"$(uname -r)" "$unit" "$1" "$round" "${2#\{}" >>"$results"
}

measure_udp() { # CASE known|first
	local line before
	before=$(tracked)
	line=$("$bin/forward" measure box outside "$count" "$2") || die "$1, UDP, $2: failed"
	if [ "$2" = first ]; then
		case $1 in
		nft-established | nft-set-*)
			[ $(($(tracked) - before)) -ge 1000 ] || die "$1: the flows were known: $before, then $(tracked)" ;;
		esac
	fi
	record "$1" "$line"
}

# A request of 200 bytes and a response of 1 KiB, with their acknowledgements;
# then the same on a connection of its own.
measure_tcp() { # CASE
	local to line mode
	to=$(last_of "$count")
	servers+=("$(ip netns exec outside "$bin/netcost_serve" "$to" 443)")
	for mode in kept new; do
		line=$(ip netns exec box "$bin/netcost" measure --source ordinary --to "$to" --port 443 \
			--expect 10.9.0.2 --mode $mode --batches 20 --batch 25 --warm 100) ||
			die "$1, TCP, $mode: failed"
		record "$1" "$(sed 's/"mode":/"measure":"tcp-'$mode'","netcost":/' <<<"$line")"
	done
}

run_case() { # CASE
	local protocol
	trap network_down EXIT
	for protocol in udp tcp; do
		network_up
		rules "$1" $protocol
		if [ $protocol = udp ]; then
			measure_udp "$1" known
			measure_udp "$1" first
		else
			measure_tcp "$1"
		fi
		network_down
	done
	trap - EXIT
}

: >"$results"
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
if [ "$unit" = instructions ]; then
	round=0
	clock=$("$bin/netcost" clock)
	printf '{"kernel":"%s","section":"clock",%s\n' "$(uname -r)" "${clock#\{}" >>"$results"
fi
for ((round = 1; round <= rounds; round++)); do
	echo "$(uname -r): round $round of $rounds"
	"$bin/firewall" 2000 | while read -r line; do
		line=${line#*\"case\":\"}
		record "${line%%\"*}" "{${line#*,}"
	done
	# Connection tracking's hooks come and go with the table that asks for them.
	for name in none ours-open ours-1 ours-100 ours-1000 ours-10000 \
		nft-established nft-set-1 nft-set-1000 nft-set-10000 nft-stateless-1000; do
		run_case $name
	done
done
