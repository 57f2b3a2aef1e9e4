// SPDX-License-Identifier: Apache-2.0
/*
 * The database: what was acknowledged is there after a kill, whatever is not
 * ours or not whole is refused and left alone.
 */
#include "control/db.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64], file[80];
static char fault[512];

static struct container *make(uint8_t number)
{
	struct container *container = calloc(1, sizeof(*container));
	const struct image_service ports[2] = { { "files", 9000, 0 }, { "terminal", 7681, 0 } };
	struct address addresses[2] = { 0 };
	char text[32];

	memset(container->id, number, ID_LEN);
	memset(container->project, 0xaa, ID_LEN);
	snprintf(text, sizeof(text), "10.0.0.%u", number);
	address_parse(text, strlen(text), &addresses[0]);
	snprintf(text, sizeof(text), "fd00::%x", number);
	address_parse(text, strlen(text), &addresses[1]);
	container_set_addresses(container, addresses, 2);
	container_set_ports(container, ports, 2);
	container_set_cgroup(container, "/lxc.payload.web");
	snprintf(container->name, sizeof(container->name), "web \"%u\" \xc3\xa4", number);
	snprintf(container->realm, sizeof(container->realm), "acme");
	snprintf(container->netdev, sizeof(container->netdev), "veth0");
	container->running = true;
	container->gateway = true;
	container->created_at = 1000 + number;
	container->updated_at = 2000 + number;
	return container;
}

static struct db *open_db(void)
{
	fault[0] = '\0';
	return db_open(directory, fault, sizeof(fault));
}

static bool same(const struct container *a, const struct container *b)
{
	return !memcmp(a->project, b->project, ID_LEN) && !strcmp(a->name, b->name) &&
	       !strcmp(a->realm, b->realm) && !strcmp(a->netdev, b->netdev) &&
	       !strcmp(a->cgroup, b->cgroup) && a->running == b->running &&
	       a->gateway == b->gateway && a->addresses_count == b->addresses_count &&
	       address_equal(&a->addresses[0], &b->addresses[0]) &&
	       address_equal(&a->addresses[1], &b->addresses[1]) &&
	       a->ports_count == b->ports_count &&
	       !memcmp(a->ports, b->ports, 2 * sizeof(*a->ports)) &&
	       a->generation == b->generation && a->created_at == b->created_at &&
	       a->updated_at == b->updated_at;
}

static void test_round_trip(void)
{
	struct container *one = make(1), *two = make(2), *clash = make(3);
	struct tombstone tombstone = { .deleted_at = 5000 };
	struct model *model = model_create();
	struct db *db = open_db();
	size_t purged;

	tap_ok(db && db_generation(db) == 0, "db_open_creates");
	tap_ok(db_put_container(db, one) == 0 && one->generation == 1, "db_put_gives_a_generation");
	tap_ok(db_put_container(db, two) == 0 && two->generation == 2 && db_generation(db) == 2,
	       "db_generation_grows");
	container_set_addresses(clash, one->addresses, 2);
	tap_ok(db_put_container(db, clash) == -EEXIST && *db_fault(db),
	       "db_refuses_address_of_another");
	tap_ok(db_generation(db) == 2, "db_refused_write_changes_nothing");
	memcpy(tombstone.id, two->id, ID_LEN);
	memcpy(tombstone.project, two->project, ID_LEN);
	tap_ok(db_delete_container(db, &tombstone) == 0, "db_delete");
	tap_ok(db_delete_container(db, &tombstone) == -EEXIST, "db_refuses_a_second_tombstone");
	db_close(db);

	db = open_db();
	tap_ok(db && db_load(db, model, fault, sizeof(fault)) == 0 &&
	       model_containers_count(model) == 1 && same(model_container_at(model, 0), one),
	       "db_load_what_was_put");
	tap_ok(model_find_tombstone(model, two->id) && db_generation(db) == 3,
	       "db_load_tombstones_and_generation");
	tap_ok(db_delete_tombstones(db, 5000, &purged) == 0 && purged == 0 &&
	       db_delete_tombstones(db, 5001, &purged) == 0 && purged == 1, "db_purge_by_age");
	one->running = false;
	container_set_addresses(one, NULL, 0);
	container_set_cgroup(one, NULL);
	one->name[0] = '\0';
	db_put_container(db, one);
	model_destroy(model);
	model = model_create();
	db_load(db, model, fault, sizeof(fault));
	tap_ok(!model_container_at(model, 0)->running && !model_container_at(model, 0)->cgroup &&
	       !model_container_at(model, 0)->addresses_count &&
	       !model_container_at(model, 0)->name[0], "db_put_replaces_all_of_it");
	tap_ok(db_put_container(db, clash) == 0, "db_freed_address_can_be_taken");
	model_destroy(model);
	db_close(db);
	container_free(one);
	container_free(two);
	container_free(clash);
}

static void test_exclusive(void)
{
	struct db *first = open_db(), *second;

	second = open_db();
	tap_ok(first && !second && strstr(fault, "locked"), "db_refuses_a_second_agent");
	db_close(second);
	db_close(first);
}

/* A child that is killed while it writes; it tells after every commit. */
static void test_killed(void)
{
	struct model *model = model_create();
	int pipes[2], acknowledged = 0;
	uint8_t number;
	struct db *db;
	pid_t pid;

	if (pipe(pipes))
		exit(1);
	pid = fork();
	if (pid == 0) {
		db = open_db();
		for (number = 10; number < 250; number++) {
			if (db_put_container(db, make(number)) || write(pipes[1], &number, 1) != 1)
				_exit(1);
		}
		pause();
	}
	close(pipes[1]);
	while (acknowledged < 50 && read(pipes[0], &number, 1) == 1)
		acknowledged++;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (read(pipes[0], &number, 1) == 1)
		acknowledged++;
	close(pipes[0]);
	db = open_db();
	tap_ok(db && !db_load(db, model, fault, sizeof(fault)) && acknowledged >= 50 &&
	       model_containers_count(model) >= (size_t)acknowledged + 2,
	       "db_keeps_what_it_acknowledged_after_sigkill");
	db_close(db);
	model_destroy(model);
}

static void copy_file(const char *from, const char *to)
{
	char buffer[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t got;

	while ((got = read(in, buffer, sizeof(buffer))) > 0) {
		if (write(out, buffer, got) != got)
			exit(1);
	}
	close(in);
	close(out);
}

static bool file_equals(const char *a, const char *b)
{
	char one[65536], two[65536];
	int x = open(a, O_RDONLY), y = open(b, O_RDONLY);
	ssize_t n, m;
	bool equal = true;

	do {
		n = read(x, one, sizeof(one));
		m = read(y, two, sizeof(two));
		equal &= n == m && !memcmp(one, two, n);
	} while (n > 0 && equal);
	close(x);
	close(y);
	return equal;
}

/* Fills the middle of every page but the first with rubbish. */
static void corrupt(const char *path)
{
	int fd = open(path, O_RDWR);
	char rubbish[512];
	struct stat st;

	memset(rubbish, 0xa5, sizeof(rubbish));
	fstat(fd, &st);
	for (off_t offset = 4096; offset < st.st_size; offset += 4096) {
		if (pwrite(fd, rubbish, sizeof(rubbish), offset) != sizeof(rubbish))
			exit(1);
	}
	close(fd);
}

static void run_sql(const char *statement)
{
	sqlite3 *handle;

	if (sqlite3_open(file, &handle) || sqlite3_exec(handle, statement, NULL, NULL, NULL)) {
		tap_note("%s: %s", statement, sqlite3_errmsg(handle));
		exit(1);
	}
	sqlite3_close(handle);
}

static void refused(const char *name, const char *text)
{
	struct db *db = open_db();

	tap_ok(!db && strstr(fault, text), "db_refuses_%s", name);
	if (!strstr(fault, text))
		tap_note("%s", fault);
	db_close(db);
}

static void test_foreign(void)
{
	char good[96], damaged[96];

	snprintf(good, sizeof(good), "%s/good", directory);
	snprintf(damaged, sizeof(damaged), "%s/damaged", directory);
	copy_file(file, good);

	corrupt(file);
	copy_file(file, damaged);
	refused("damaged_file", "left as it is");
	tap_ok(file_equals(file, damaged), "db_leaves_a_damaged_file_alone");

	copy_file("/proc/self/exe", file);
	refused("no_database", "not a database");

	copy_file(good, file);
	run_sql("PRAGMA user_version = 1000");
	refused("newer_version", "newer agent");

	copy_file(good, file);
	run_sql("PRAGMA application_id = 7");
	refused("other_application", "another program");

	unlink(file);
	run_sql("CREATE TABLE other (x)");
	refused("other_tables", "another program");

	copy_file(good, file);
	run_sql("PRAGMA foreign_keys = OFF; INSERT INTO ports VALUES (zeroblob(12), 'x', 1)");
	refused("dangling_row", "points at nothing");

	copy_file(good, file);
	struct db *db = open_db();

	tap_ok(db != NULL, "db_opens_the_good_copy");
	db_close(db);
}

static void test_values(void)
{
	static const char *const bad[][2] = {
		{ "long_name", "UPDATE containers SET name = hex(zeroblob(100))" },
		{ "long_netdev", "UPDATE containers SET netdev = 'abcdefghijklmnopq'" },
	};
	char good[96];

	snprintf(good, sizeof(good), "%s/good", directory);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct model *model = model_create();
		struct db *db;

		copy_file(good, file);
		run_sql(bad[i][1]);
		db = open_db();
		tap_ok(db && db_load(db, model, fault, sizeof(fault)) == -EBADMSG &&
		       strstr(fault, "table containers"), "db_load_refuses_%s", bad[i][0]);
		db_close(db);
		model_destroy(model);
	}
}

int main(void)
{
	char command[128];

	snprintf(directory, sizeof(directory), "/tmp/hoody-db-test.%d", (int)getpid());
	snprintf(file, sizeof(file), "%s/state.db", directory);
	if (mkdir(directory, 0700))
		return 1;
	tap_plan(24);
	test_round_trip();
	test_exclusive();
	test_killed();
	test_foreign();
	test_values();
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", directory);
	if (system(command))
		tap_note("%s is left", directory);
	return tap_done();
}
