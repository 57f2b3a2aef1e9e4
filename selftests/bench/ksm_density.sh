#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What memory merging brings: 8 containers that run the same Node and 8 that run
# the same PostgreSQL, before, merged, and undone. In a virtual machine, as
# ksm_density.sh [COUNT]; prints a table. Memory is what the kernel's files say,
# processor time that of ksmd, under emulation: of use beside itself only.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

COUNT=${1:-8}
SYS=/sys/kernel/mm/ksm
ROOT=/sys/fs/cgroup/density
BIN=$(echo /usr/lib/postgresql/*/bin)
NODE_APP='require("http").createServer((q, r) => r.end("hello\n")).listen(process.argv[1]); setInterval(() => 0, 1000)'

id() { printf '890abcdef123456789%06x' "$1"; }
inside() { echo 0 >"$ROOT/$1/cgroup.procs" && shift && exec "$@"; } # CGROUP CMD...
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }

# The lines of the table: KiB, MiB with a decimal.
mib() { awk -v kib="$1" 'BEGIN { printf "%.1f", kib / 1024 }'; }
anon() { # KIND: MiB of anonymous memory as the processes see it, a page of two counted twice
	local pid total=0
	for pid in $(cat "$ROOT/$1"*/cgroup.procs); do
		total=$((total + $(awk '/^Anonymous:/ { n = $2 } END { print n + 0 }' "/proc/$pid/smaps_rollup" 2>/dev/null || echo 0)))
	done
	mib $total
}
merged() { # KIND: KiB
	local pid total=0
	for pid in $(cat "$ROOT/$1"*/cgroup.procs); do
		total=$((total + $(awk '/^KSM:/ { n += $2 } END { print n + 0 }' "/proc/$pid/smaps" 2>/dev/null || echo 0)))
	done
	echo $total
}
used() { mib "$(awk '/^MemTotal/ { t = $2 } /^MemAvailable/ { a = $2 } END { print t - a }' /proc/meminfo)"; }

start_node() {
	for ((i = 1; i <= COUNT; i++)); do
		mkdir -p "$ROOT/node$i"
		inside "node$i" node -e "$NODE_APP" $((9000 + i)) >/dev/null 2>&1 &
		tap_cleanup "kill $!"
	done
}

start_postgres() {
	local base=$WORK/pg i
	chmod 755 "$WORK"
	install -d -o postgres -g postgres "$base"
	as_postgres "$BIN/initdb" -D "$base/0" --no-sync -A trust >"$WORK/initdb.log" 2>&1 || { cat "$WORK/initdb.log"; exit 1; }
	for ((i = 1; i <= COUNT; i++)); do
		cp -a "$base/0" "$base/$i"
		mkdir -p "$ROOT/postgres$i"
		(inside "postgres$i" setpriv --reuid postgres --regid postgres --clear-groups "$BIN/postgres" -D "$base/$i" \
			-k "$base/$i" -c listen_addresses= -c fsync=off -c shared_buffers=16MB) >"$WORK/pg$i.log" 2>&1 &
		tap_cleanup "kill -INT $!; wait $!"
	done
	for ((i = 1; i <= COUNT; i++)); do
		tap_wait 120 as_postgres "$BIN/pg_isready" -q -h "$base/$i" || { cat "$WORK/pg$i.log"; exit 1; }
		# A session that has done some work and stays.
		as_postgres "$BIN/psql" -qX -h "$base/$i" -c "create table t as select g, md5(g::text) m from generate_series(1, 20000) g" \
			-c "select count(*) from t a join t b using (m)" -c "select pg_sleep(100000)" postgres >/dev/null 2>&1 &
		tap_cleanup "kill $!"
	done
}

listening() { [ "$(ss -Hltn | grep -c ':90[0-9][0-9] ')" = "$COUNT" ]; }
sessions() { # every instance has one that sleeps
	local i
	for ((i = 1; i <= COUNT; i++)); do
		as_postgres "$BIN/psql" -qAtX -h "$WORK/pg/$i" -c "select 1 from pg_stat_activity where wait_event = 'PgSleep'" postgres | grep -q 1 || return 1
	done
}
api() { curl -s --unix-socket "$SOCKET" "http://agent/api/v1$1"; }
field() { api /ksm | jq -r "$1"; }
scanned() { [ "$(cat $SYS/full_scans)" -ge "$1" ]; }
all_are() { [ "$(field "[.data.containers[] | select(.state != \"$1\")] | length")" = 0 ]; }
sums() { # FROM TO: merged saved zero metadata net, MiB
	local ids
	ids=$(for ((i = $1; i <= $2; i++)); do printf '"%s",' "$(id $i)"; done)
	field "[.data.containers[] | select(.container | IN(${ids%,}))] |
		[(map(.pages.merged) | add) / 256, (map(.bytes.saved) | add) / 1048576, (map(.bytes.metadata) | add) / 1048576,
		 (map(.bytes.net) | add) / 1048576, (map(.bytes.zero) | add) / 1048576] | map(. * 10 | round / 10) | @tsv"
}

row() { # NAME FROM TO
	local -a figures
	read -ra figures <<<"$(sums "$2" "$3")"
	printf '  %-34s' "$1"
	printf ' %10s' "${figures[@]}"
	echo
}

mkdir -p "$ROOT"
tap_cleanup "rmdir $ROOT/* $ROOT"
system_module
system_config 'ksm_cpu_percent = 100'
system_agent
start_node
start_postgres
tap_wait 300 listening || exit 1
tap_wait 300 sessions || exit 1
number=0
for kind in node postgres; do
	for ((i = 1; i <= COUNT; i++)); do
		number=$((number + 1))
		hoody containers register --id "$(id $number)" --project "$PROJECT" --cgroup "/density/$kind$i" --address "10.91.0.$number" >/dev/null &&
			hoody containers start "$(id $number)" >/dev/null || exit 1
	done
done

echo "$COUNT containers with Node, $COUNT with PostgreSQL, kernel $(uname -r)"
printf '  %-34s %10s MiB anonymous\n' "Node, as its processes see it" "$(anon node)" "PostgreSQL, likewise" "$(anon postgres)"
before=$(used)
for ((i = 1; i <= number; i++)); do hoody ksm set -c "$(id $i)" on >/dev/null || exit 1; done
tap_wait 60 all_are on || exit 1
first=$(cat $SYS/full_scans)
# Two rounds find what is alike, the third that nothing is left.
tap_wait 300 scanned $((first + 4)) || exit 1
counted() { [ "$(field '.data.containers[0].pages.merged')" -gt 0 ]; }
tap_wait 60 counted || exit 1
seconds=$(field .data.scanner.cpu_seconds)
printf '  %-34s %10s %10s %10s %10s %10s\n' "MiB" merged saved cost net zero
row "Node" 1 "$COUNT"
row "PostgreSQL" $((COUNT + 1)) $number
net=$(sums 1 $number | cut -f4)
printf '  %-34s %10s MiB\n' "used by the host before" "$before" "used by the host, merged" "$(used)"
printf '  %-34s %10s s, %s MiB net for each\n' "processor time of ksmd" "$seconds" \
	"$(awk -v n="$net" -v s="$seconds" 'BEGIN { if (s > 0) printf "%.2f", n / s; else printf "-" }')"

for ((i = 1; i <= number; i++)); do hoody ksm set -c "$(id $i)" off >/dev/null || exit 1; done
undone() { [ "$(merged node)" = 0 ] && [ "$(merged postgres)" = 0 ]; }
tap_wait 200 undone || { echo "memory stays merged: node $(merged node) KiB, postgres $(merged postgres) KiB"; exit 1; }
printf '  %-34s %10s MiB, 0 merged\n' "used by the host, undone" "$(used)"
