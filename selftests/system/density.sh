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
tap_plan 16

# What Node holds besides itself, and answers. Neither threads nor machine code of its
# own making: both are what an emulated processor is slowest at.
node_command=(node --v8-pool-size=0 --jitless -e 'const all = Buffer.alloc(2 << 20);
for (let i = 0; i < all.length; i += 4096) all.writeUInt32LE(i + 1, i);
require("net").createServer(client => client.end(all)).listen(process.argv[1]);')

# With the first line of its input, a session with every PostgreSQL, each with a table of its
# own in memory; says how many. Answers each further line with what the tables hold, and Node.
cat >"$WORK/clients.py" <<'PY'
import socket, struct, sys, time, zlib
WORK = "create temp table t as select g, md5(g::text) m from generate_series(1, 1000) g"
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
            sys.exit(body)
        if kind == b"Z":
            return rows
def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(message(b"", struct.pack(">I", 196608) + b"user\0postgres\0database\0postgres\0\0"))
    return client, client.makefile("rb")
def queries(text): # all are asked before the first has answered
    for client, _ in sessions:
        client.sendall(message(b"Q", text.encode() + b"\0"))
    return [read_until_ready(stream) for _, stream in sessions]
def node(path):
    client = socket.socket(socket.AF_UNIX)
    while client.connect_ex(path): # it has its name before it listens
        time.sleep(0.2)
    body = client.makefile("rb").read()
    return "%d %08x" % (len(body), zlib.crc32(body))
def everything():
    rows = [rows[0] for rows in queries(LOOK)]
    return ", ".join(sorted(set(rows))) + "; " + ", ".join(sorted({node(path + "/node") for path in sys.argv[1:]}))
if not sys.stdin.readline(): # both are there
    sys.exit()
sessions = [connect(path + "/.s.PGSQL.5432") for path in sys.argv[1:]]
for _, stream in sessions:
    read_until_ready(stream)
queries(WORK)
print(len(sessions), flush=True)
for line in sys.stdin:
    print(everything(), flush=True)
PY

# In a container's cgroup: Node and PostgreSQL, whose cluster's files are below and what
# this one writes above them.
start() { # NUMBER
	local at=$WORK/pg/$1
	mount -t overlay -o "lowerdir=$WORK/pg/cluster,upperdir=$at/up,workdir=$at/work" overlay "$at/data" || return
	(echo 0 >"$ROOT/$1/cgroup.procs" && exec "${node_command[@]}" "$at/node") >"$WORK/node$1.log" 2>&1 &
	nodes+=("/proc/$!")
	(echo 0 >"$ROOT/$1/cgroup.procs" && exec setpriv --reuid postgres --regid postgres --clear-groups "$BIN/postgres" \
		-D "$at/data" -k "$at" -c listen_addresses= -c fsync=off -c shared_buffers=1MB -c autovacuum=off -c jit=off \
		-c max_logical_replication_workers=0 -c max_connections=4 -c max_wal_senders=0 -c wal_level=minimal \
		-c bgwriter_delay=10s -c wal_writer_delay=10s) >"$WORK/postgres$1.log" 2>&1 &
	masters+=("/proc/$!")
}
is_up() { # the server says so in a line of this file
	local line
	[ -S "$WORK/pg/$1/node" ] && mapfile -t -s 7 -n 1 line <"$WORK/pg/$1/data/postmaster.pid" && [ "${line[0]:-}" = "ready   " ]
}
# Waiting takes no process of its own, and asking takes from what is waited for.
exec {never}<> <(:)
# shellcheck disable=SC2034
tap_wait_step=0.5
sleep() { read -r -t "$1" -u "$never"; true; }
held() { # what the clients say that all hold
	echo >&"${CLIENTS[1]}"
	read -r -t 300 line <&"${CLIENTS[0]}" && echo "$line"
}

# One call after the other by one process: a process for each takes longer than the call.
api_each() { # METHOD PATH [JSON]: with %s for the container's id, %d for its number
	local i id body
	for ((i = 1; i <= COUNT; i++)); do
		printf -v id '890abcdef123456789%06x' "$i"
		body=${3:-} body=${body//%s/$id} body=${body//%d/$i}
		printf 'unix-socket = "%s"\nurl = "http://agent/api/v1%s"\nrequest = %s\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\n' \
			"$SOCKET" "${2//%s/$id}" "$1"
		[ -z "$body" ] || printf 'header = "Content-Type: application/json"\ndata = "%s"\n' "${body//\"/\\\"}"
		[ "$i" = $COUNT ] || echo next
	done >"$WORK/requests"
	curl -s -K "$WORK/requests" | sort | uniq -c | sed 's/^ *//'
}
freeze() { # 0|1
	echo "$1" >$ROOT/cgroup.freeze
	tap_need 120 grep -qx "frozen $1" $ROOT/cgroup.events
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
mkdir -p $ROOT/{1..8}
install -d -m 700 -o postgres -g postgres "$WORK"/pg/{1..8}/{data,up,work}
chmod 755 "$WORK" "$WORK/pg"
chown postgres "$WORK"/pg/{1..8}
# As it is packed it is PostgreSQL's own.
tar -xf "$HOODY_BUILD/selftests/system/cluster.tar" -C "$WORK/pg" || tap_bail "no cluster of PostgreSQL: make tests"
nodes=() masters=()
# What runs ends before what it runs on.
tap_cleanup "umount $WORK/pg/[1-8]/data; rmdir $ROOT/[1-8] $ROOT"
tap_cleanup "echo 1 >$ROOT/cgroup.kill; tap_wait 30 grep -qx 'populated 0' $ROOT/cgroup.events"
coproc CLIENTS { exec python3 -I -S -B "$WORK/clients.py" "$WORK"/pg/{1..8}; }
# Two at a time: an emulated processor that goes from one program to another forgets what
# it knows of the first.
start 1 || tap_bail "no PostgreSQL"
system_module ksm_period=1
system_config 'ksm_cpu_percent = 100'
system_agent
for ((i = 2; i <= COUNT; i++)); do
	start "$i" || tap_bail "no PostgreSQL"
	tap_need 300 is_up $((i - 1))
done
tap_need 300 is_up $COUNT
echo >&"${CLIENTS[1]}"
read -r -t 300 ready <&"${CLIENTS[0]}"
tap_is node_and_postgresql_run_eight_times "$ready" $COUNT
tap_is containers_are_registered "$(api_each POST /containers '{"id":"%s","project":"'$PROJECT'","cgroup":"/density/%d","addresses":["10.91.0.%d"]}')" "$COUNT 201"
tap_is containers_are_started "$(api_each POST /containers/%s/start)" "$COUNT 200"
before=$(held)
tap_like before_all_hold_the_same "$before" '^1000 [0-9a-f]{32}; 2097152 [0-9a-f]{8}$'
memory "$WORK/before"
tap_is before_nothing_is_merged "$(sum "$WORK/before" 4)" 0

tap_is merging_is_asked_for "$(api_each PUT /containers/%s/ksm '{"mode":"on"}')" "$COUNT 200"
# How the scanner gets quick within its budget is not what is tested.
echo 20000 >$SYS/pages_to_scan
tap_run all_are_marked tap_wait 120 all_are_on
tap_run node_of_each_is_merged tap_wait 300 merging 384 "${nodes[@]}"
tap_run postgresql_of_each_is_merged tap_wait 300 merging 16 "${masters[@]}"
tap_run agent_says_that_all_save tap_wait 120 all_save
# Enough of it: what is alike is one.
echo 100 >$SYS/pages_to_scan
freeze 1
memory "$WORK/merged"
tap_note "$(hoody ksm show)"
tap_note "MiB: $(($(sum "$WORK/before" 3) >> 10)) really there before, $(($(sum "$WORK/merged" 3) >> 10)) merged"
# At least five of the eight copies of what Node was given are gone.
tap_run less_memory_is_there test "$(sum "$WORK/merged" 3)" -lt $(($(sum "$WORK/before" 3) - 10240))

tap_is undoing_is_asked_for "$(api_each PUT /containers/%s/ksm '{"mode":"off"}')" "$COUNT 200"
tap_run all_are_undone tap_wait 300 all_are_off
memory "$WORK/undone"
tap_is nothing_is_left_merged "$(sum "$WORK/undone" 4)" 0
# To the page, of each process; and no two of them have it together but by fork.
tap_is all_memory_is_back "$(cut -d' ' -f1-2 "$WORK/undone")" "$(cut -d' ' -f1-2 "$WORK/merged")"
freeze 0
tap_is undone_all_hold_the_same "$(held)" "$before"
tap_done
