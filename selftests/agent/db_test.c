// SPDX-License-Identifier: Apache-2.0
/*
 * The database: what was acknowledged is there after a kill, a damaged file is put
 * back without a loss, and whatever is not ours or not whole is refused and left alone.
 */
#include "control/db.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[64], directory[96], file[128];
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

/* ---- the copy ---- */

/* The number of copies; the last one's path. */
static unsigned int copies(char path[PATH_MAX])
{
	struct dirent *entry;
	unsigned int count = 0;
	DIR *entries = opendir(directory);

	while ((entry = readdir(entries))) {
		if (strncmp(entry->d_name, "state.copy.", 11))
			continue;
		snprintf(path, PATH_MAX, "%s/%s", directory, entry->d_name);
		count++;
	}
	closedir(entries);
	return count;
}

/* A directory with a database of two hundred containers, all of them acknowledged. */
static struct db *fill(const char *name)
{
	struct db *db;

	snprintf(directory, sizeof(directory), "%s/%s", top, name);
	snprintf(file, sizeof(file), "%s/state.db", directory);
	if (mkdir(directory, 0700))
		exit(1);
	db = open_db();
	for (uint8_t number = 1; db && number <= 200; number++) {
		struct container *container = make(number);

		if (db_put_container(db, container))
			exit(1);
		container_free(container);
	}
	return db;
}

/* Opens it once more: whether all is there that was acknowledged, and the generation. */
static void comes_back(const char *name, const char *restored)
{
	struct model *model = model_create();
	struct db *db = open_db();

	tap_ok(db && !db_load(db, model, fault, sizeof(fault)) &&
	       model_containers_count(model) == 200 && db_generation(db) == 200 &&
	       (*restored ? strstr(db_restored(db), restored) != NULL : !*db_restored(db)),
	       "db_copy_%s", name);
	if (!db || !strstr(db_restored(db), restored))
		tap_note("%s%s", fault, db ? db_restored(db) : "");
	db_close(db);
	model_destroy(model);
}

/* Another letter in a value that is in no index: SQLite finds nothing wrong with it. */
static void change_a_value(const char *path)
{
	static char bytes[1 << 20];
	int fd = open(path, O_RDWR);
	ssize_t size = pread(fd, bytes, sizeof(bytes), 0);
	char *at = size > 0 ? memmem(bytes, (size_t)size, "lxc.payload", 11) : NULL;

	if (!at || pwrite(fd, "X", 1, at - bytes) != 1)
		exit(1);
	close(fd);
}

static void test_copy(void)
{
	char path[PATH_MAX], damaged[PATH_MAX];
	struct db *db = fill("copy");

	tap_ok(db && db_copies(db) >= 2 && copies(path) == 1 && !*db_copy_fault(db),
	       "db_copy_is_made_and_the_one_before_removed");
	db_close(db);
	comes_back("needs_nothing", "");
	change_a_value(file);
	comes_back("replaces_a_changed_value", "has changed since it was written");
	snprintf(damaged, sizeof(damaged), "%s.damaged", file);
	tap_ok(!access(damaged, F_OK), "db_copy_keeps_the_damaged_file");
	corrupt(file);
	refused("a_second_damage_while_the_first_is_there", "state.db.damaged of the last time");
	unlink(damaged);
	comes_back("replaces_rubbish", "has been put back");
	unlink(damaged);
	copy_file("/proc/self/exe", file);
	comes_back("replaces_what_is_none", "has changed");
	unlink(damaged);
	if (truncate(file, 0))
		exit(1);
	comes_back("replaces_an_empty_file", "it is empty");
	unlink(damaged);
	unlink(file);
	comes_back("replaces_a_missing_file", "it is missing");

	corrupt(file);
	copies(path);
	change_a_value(path);
	refused("both_damaged", "damaged as well");
}

static void test_log(void)
{
	char path[PATH_MAX], wal[PATH_MAX];
	struct db *db = fill("log");
	struct stat st;
	int fd;

	db_close(db);
	snprintf(wal, sizeof(wal), "%s-wal", file);
	fd = open(wal, O_RDWR);
	if (fd < 0 || fstat(fd, &st) || pwrite(fd, "damage", 6, st.st_size / 2) != 6)
		exit(1);
	refused("a_log_damaged_in_the_middle", "changes behind that would be lost");
	close(fd);
	unlink(wal);
	unlink(file);
	refused("to_begin_empty_beside_a_copy", "it is missing; its copy state.copy.");
	tap_ok(access(file, F_OK) && copies(path) == 1, "db_begins_no_empty_one_beside_it");

	/* Where it cannot be written, changes go on being acknowledged. */
	snprintf(directory, sizeof(directory), "%s/none", top);
	snprintf(path, sizeof(path), "%s/state.copy.part", directory);
	if (mkdir(directory, 0700) || mkdir(path, 0700))
		exit(1);
	snprintf(file, sizeof(file), "%s/state.db", directory);
	db = open_db();
	tap_ok(db && strstr(db_copy_fault(db), "cannot be written"), "db_copy_says_why_there_is_none");
	tap_ok(db && !db_put_container(db, make(1)), "db_goes_on_without_a_copy");
	rmdir(path);
	for (int i = 0; db && i < 200 && *db_copy_fault(db); i++)
		db_put_container(db, make((uint8_t)i));
	tap_ok(db && !*db_copy_fault(db) && copies(path) == 1, "db_copy_is_tried_again");
	db_close(db);
}

static void test_foreign(void)
{
	char good[128], damaged[128];

	snprintf(good, sizeof(good), "%s/good", directory);
	snprintf(damaged, sizeof(damaged), "%s/damaged", directory);
	/* Another program's checkpoint: the log is gone, and the copy is an old one. */
	run_sql("DELETE FROM tombstones");
	copy_file(file, good);

	corrupt(file);
	copy_file(file, damaged);
	refused("damaged_file", "may lack changes, and is not taken without being asked");
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
	char good[128];

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

	snprintf(top, sizeof(top), "/tmp/hoody-db-test.%d", (int)getpid());
	snprintf(directory, sizeof(directory), "%s/first", top);
	snprintf(file, sizeof(file), "%s/state.db", directory);
	if (mkdir(top, 0700) || mkdir(directory, 0700))
		return 1;
	tap_plan(40);
	test_round_trip();
	test_exclusive();
	test_killed();
	test_foreign();
	test_values();
	test_copy();
	test_log();
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", top);
	if (system(command))
		tap_note("%s is left", top);
	return tap_done();
}
