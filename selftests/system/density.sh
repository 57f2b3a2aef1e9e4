#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Memory merging at the density that it is for: eight containers, each with the same
# Node and the same PostgreSQL, before, merged, and with all memory back. They run
# while they are marked and merged, and are frozen while it is undone, so that what is
# compared is the merging and not what the programs did meanwhile. In the end they go
# on, and what they hold in memory is what they held before.
#
# An emulated processor is slow: the cluster was made when the tests were built, the
# cgroups stand for containers of another manager, and all are spoken to at once.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

COUNT=8
SYS=/sys/kernel/mm/ksm
ROOT=/sys/fs/cgroup/density
BIN=$(echo /usr/lib/postgresql/*/bin)
tap_plan 17

# What Node holds besides itself, and answers.
NODE_APP='const all = Buffer.alloc(2 << 20);
for (let i = 0; i < all.length; i += 4096) all.writeUInt32LE(i + 1, i);
require("net").createServer(client => client.end(all)).listen(process.argv[1], "127.0.0.1");'

# A session with every PostgreSQL, each with a table of its own in memory. Says that it
# is there, then answers every line of its input with what the tables hold.
cat >"$WORK/sessions.py" <<'PY'
import socket, struct, sys, time
WORK = "create temp table t as select g, md5(g::text) m from generate_series(1, 4000) g"
LOOK = "select count(*) || ' ' || md5(string_agg(m, '' order by g)) from t"
def message(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body
def read_until_ready(stream):
    rows = []
    while True:
        kind, length = struct.unpack(">cI", stream.read(5))
        body = stream.read(length - 4)
        if kind == b"D":
            rows.append(body[6:].decode())
        if kind == b"E":
            return None
        if kind == b"Z":
            return rows
def session(path):
    while True: # until the server is there: "the database system is starting up" at first
        try:
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            stream = client.makefile("rb")
            client.sendall(message(b"", struct.pack(">I", 196608) + b"user\0postgres\0database\0postgres\0\0"))
            if read_until_ready(stream) is not None:
                return client, stream
        except OSError:
            pass
        time.sleep(0.2)
def query(one, text):
    one[0].sendall(message(b"Q", text.encode() + b"\0"))
    return read_until_ready(one[1])
sessions = [session(path) for path in sys.argv[1:]]
print(sum(query(one, WORK) is not None for one in sessions), flush=True)
for line in sys.stdin:
    print(*(query(one, LOOK)[0] for one in sessions), sep=", ", flush=True)
PY

id() { printf '890abcdef123456789%06x' "$1"; }
each() { # COMMAND: with every container's number
	local i
	for ((i = 1; i <= COUNT; i++)); do "$1" "$i" || return; done
}
start_node() {
	mkdir -p "$ROOT/$1"
	(echo 0 >"$ROOT/$1/cgroup.procs" && exec node -e "$NODE_APP" $((9000 + $1))) >"$WORK/node$1.log" 2>&1 &
	nodes+=("/proc/$!")
}
# The cluster's files below, what this one writes above them.
start_postgres() {
	local at=$WORK/pg/$1
	mkdir -p "$at"/{data,up,work} && chown postgres "$at" "$at/up" && chmod 700 "$at/up" &&
		mount -t overlay -o "lowerdir=$WORK/pg/cluster,upperdir=$at/up,workdir=$at/work" overlay "$at/data" || return
	tap_cleanup tap_wait 30 umount "$at/data"
	(echo 0 >"$ROOT/$1/cgroup.procs" && exec setpriv --reuid postgres --regid postgres --clear-groups "$BIN/postgres" \
		-D "$at/data" -k "$at" -c listen_addresses= -c fsync=off -c shared_buffers=1MB -c autovacuum=off \
		-c max_logical_replication_workers=0) >"$WORK/postgres$1.log" 2>&1 &
	masters+=("/proc/$!")
}
listening() { [ "$(ss -Hltn | grep -c '127.0.0.1:900[1-8] ')" = $COUNT ]; }
body_of() { md5sum </dev/tcp/127.0.0.1/$((9000 + $1)); }
bodies() { each body_of | sort | uniq -c; }
tables() { # what the sessions answer
	echo >&"${SESSIONS[1]}"
	read -r -t 60 line <&"${SESSIONS[0]}" && echo "$line" | tr ',' '\n' | sed 's/^ //' | sort | uniq -c
}

# One call after the other by one process: a process for each takes longer than the call.
api_each() { # METHOD PATH [JSON]: with %s for the container's id, %d for its number
	local i
	for ((i = 1; i <= COUNT; i++)); do
		printf 'unix-socket = "%s"\nurl = "http://agent/api/v1%s"\nrequest = %s\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\n' \
			"$SOCKET" "${2//%s/$(id $i)}" "$1"
		[ -z "${3:-}" ] || printf 'header = "Content-Type: application/json"\ndata = "%s"\n' \
			"$(sed "s/%s/$(id $i)/; s/%d/$i/g; s/\"/\\\\\"/g" <<<"$3")"
		[ "$i" = $COUNT ] || echo next
	done >"$WORK/requests"
	curl -s -K "$WORK/requests" | sort | uniq -c | sed 's/^ *//'
}
freeze() { # 0|1
	echo "$1" >$ROOT/cgroup.freeze
	tap_wait 60 grep -qx "frozen $1" $ROOT/cgroup.events
}
# memory FILE: a line for each process: its number, and KiB: what it has, zero pages of the
# scanner's included; its share of that; merged.
memory() {
	local files
	mapfile -t files < <(sort -n $ROOT/*/cgroup.procs | sed 's,.*,/proc/&/smaps_rollup\n/proc/&/ksm_stat,')
	awk 'FNR == 1 { split(FILENAME, part, "/"); if (part[3] != pid) order[++n] = pid = part[3] }
		/^Anonymous:/ { has[pid] += $2 } /^ksm_zero_pages/ { has[pid] += 4 * $2 }
		/^Pss_Anon:/ { share[pid] += $2 } /^KSM:/ { merged[pid] += $2 }
		END { for (i = 1; i <= n; i++) print order[i], has[order[i]] + 0, share[order[i]] + 0, merged[order[i]] + 0 }' "${files[@]}" >"$1"
}
sum() { awk -v column="$2" '{ n += $column } END { print n + 0 }' "$1"; } # FILE COLUMN: KiB
merging() { # PAGES PID...: is that much merged of each?
	local least=$1
	shift
	awk -v least="$least" -v wanted=$# '$1 == "ksm_merging_pages" && $2 >= least { n++ } END { exit n + 0 < wanted }' "${@/%//ksm_stat}"
}
ksm() { curl -s --unix-socket "$SOCKET" http://agent/api/v1/ksm | jq -r "$1"; }
all_are_on() { [ "$(ksm '[.data.containers[] | select(.state == "on")] | length')" = $COUNT ]; }
all_are_off() { [ "$(ksm '[.data.containers[] | select(.state != "off")] | length')" = 0 ]; }
# The agent's figures are those of the last walk.
all_save() { [ "$(ksm '[.data.containers[] | select(.state == "on" and .bytes.net > 1048576)] | length')" = $COUNT ]; }

# Huge pages come and go by themselves, and are memory that no program asked for.
huge=$(sed 's/.*\[\(.*\)\].*/\1/' /sys/kernel/mm/transparent_hugepage/enabled)
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
tap_cleanup "echo $huge >/sys/kernel/mm/transparent_hugepage/enabled"
mkdir -p $ROOT
tap_cleanup "echo 1 >$ROOT/cgroup.kill; tap_wait 30 eval 'rmdir $ROOT/[1-8]; rmdir $ROOT'"
nodes=() masters=()
each start_node
install -d -o postgres -g postgres "$WORK/pg"
chmod 755 "$WORK" "$WORK/pg"
tar -xf "$HOODY_BUILD/selftests/system/cluster.tar" -C "$WORK/pg" || tap_bail "no cluster of PostgreSQL: make tests"
chown -R postgres:postgres "$WORK/pg/cluster"
each start_postgres || tap_bail "no PostgreSQL"
coproc SESSIONS { exec python3 -I -S -B "$WORK/sessions.py" "$WORK"/pg/{1..8}/.s.PGSQL.5432; }
system_module ksm_period=1
system_config 'ksm_cpu_percent = 100'
system_agent
read -r -t 300 ready <&"${SESSIONS[0]}"
tap_is postgresql_runs_eight_times "$ready" $COUNT
tap_run node_runs_eight_times tap_wait 300 listening
tap_is containers_are_registered "$(api_each POST /containers '{"id":"%s","project":"'$PROJECT'","cgroup":"/density/%d","addresses":["10.91.0.%d"]}')" "$COUNT 201"
tap_is containers_are_started "$(api_each POST /containers/%s/start)" "$COUNT 200"
body=$(bodies) table=$(tables)
tap_is before_all_hold_the_same "$(wc -l <<<"$body") $(wc -l <<<"$table")" '1 1'
memory "$WORK/before"
tap_is before_nothing_is_merged "$(sum "$WORK/before" 4)" 0

tap_is merging_is_asked_for "$(api_each PUT /containers/%s/ksm '{"mode":"on"}')" "$COUNT 200"
# How the scanner gets quick within its budget is not what is tested.
echo 20000 >$SYS/pages_to_scan
tap_run all_are_marked tap_wait 60 all_are_on
tap_run node_of_each_is_merged tap_wait 200 merging 384 "${nodes[@]}"
tap_run postgresql_of_each_is_merged tap_wait 200 merging 16 "${masters[@]}"
tap_run agent_says_that_all_save tap_wait 60 all_save
freeze 1
memory "$WORK/merged"
tap_note "$(hoody ksm show)"
tap_note "MiB: $(($(sum "$WORK/before" 3) >> 10)) really there before, $(($(sum "$WORK/merged" 3) >> 10)) merged"
# At least five of the eight copies of what Node was given are gone.
tap_run less_memory_is_there test "$(sum "$WORK/merged" 3)" -lt $(($(sum "$WORK/before" 3) - 10240))

tap_is undoing_is_asked_for "$(api_each PUT /containers/%s/ksm '{"mode":"off"}')" "$COUNT 200"
tap_run all_are_undone tap_wait 120 all_are_off
memory "$WORK/undone"
tap_is nothing_is_left_merged "$(sum "$WORK/undone" 4)" 0
# To the page, of each process; and no two of them have it together but by fork.
tap_is all_memory_is_back "$(cut -d' ' -f1-2 "$WORK/undone")" "$(cut -d' ' -f1-2 "$WORK/merged")"
freeze 0
tap_is undone_all_hold_the_same "$(bodies) $(tables)" "$body $table"
tap_done
