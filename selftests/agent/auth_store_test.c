// SPDX-License-Identifier: Apache-2.0
/*
 * Permissions on their way from a body to the image: the database and its
 * older version, the store that finds what holds, and the blobs of an image.
 */
#include "auth/evaluate.h"
#include "control/permission_store.h"
#include "lib/image.h"
#include "tap.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/hoody-store.XXXXXX";
static const uint8_t project[ID_LEN] = { 1 }, container[ID_LEN] = { 2 }, other[ID_LEN] = { 3 };

static struct permissions *read_body(const struct permission_store *store, const char *body)
{
	const struct permissions_source source = { .actions = permission_store_actions(store) };
	struct permissions_error error;

	return permissions_parse(body, strlen(body), &source, &error);
}

/* As the API does it. */
static int put(struct permission_store *store, struct db *db, enum db_level level,
	       const uint8_t *id, const char *body)
{
	struct permissions *model = read_body(store, body);
	struct permission_entry *entry;
	char *text;
	int ret;

	if (!model || permissions_seal(model))
		return -1;
	text = permissions_format(model, PERMISSIONS_STORE, NULL, NULL);
	entry = permission_store_prepare(store, level, id, model);
	ret = entry ? db_put_permissions(db, level, id, text) : -1;
	if (!ret)
		permission_store_commit(store, entry);
	free(text);
	return ret;
}

static struct permission_store *load(struct db *db, const struct config *config)
{
	char fault[512] = "";
	struct permission_store *store = permission_store_create(config, fault, sizeof(fault));

	if (store && permission_store_load(store, db, fault, sizeof(fault))) {
		tap_note("%s", fault);
		permission_store_destroy(store);
		store = NULL;
	}
	return store;
}

static void run_sql(const char *sql)
{
	char path[64];
	sqlite3 *handle;

	snprintf(path, sizeof(path), "%s/" DB_FILE, directory);
	sqlite3_open(path, &handle);
	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		tap_note("%s: %s", sql, sqlite3_errmsg(handle));
	sqlite3_close(handle);
}

static void test_store(const struct config *config)
{
	char fault[512];
	struct db *db = db_open(directory, fault, sizeof(fault));
	struct permission_store *store = load(db, config);
	struct tombstone tombstone = { .deleted_at = 1 };
	uint64_t before = db_generation(db);

	tap_ok(!put(store, db, DB_LEVEL_PROJECT, project, "{\"default\":\"deny\"}") &&
		       !put(store, db, DB_LEVEL_CONTAINER, container, "{\"default\":\"allow\"}") &&
		       !put(store, db, DB_LEVEL_CONTAINER, other, "{\"default\":\"deny\"}"),
	       "store_takes_permissions");
	tap_ok(db_generation(db) == before + 3, "store_generation_grows");
	tap_ok(permission_store_effective(store, container, project) ==
		       permission_store_find(store, DB_LEVEL_CONTAINER, container),
	       "store_container_comes_first");
	tap_ok(permission_store_effective(store, project, project) ==
		       permission_store_find(store, DB_LEVEL_PROJECT, project),
	       "store_then_its_project");
	tap_ok(!permission_store_effective(store, project, container), "store_then_nothing");
	memcpy(tombstone.id, container, ID_LEN);
	tap_ok(!db_delete_container(db, &tombstone) && !db_put_permissions(db, DB_LEVEL_CONTAINER,
									   other, NULL),
	       "store_permissions_go_with_their_container");
	permission_store_destroy(store);
	db_close(db);
	db = db_open(directory, fault, sizeof(fault));
	store = load(db, config);
	tap_ok(store && permission_store_count(store) == 1 &&
		       permission_store_find(store, DB_LEVEL_PROJECT, project),
	       "store_is_what_the_database_says");
	permission_store_destroy(store);
	db_close(db);
}

static void test_versions(const struct config *config)
{
	struct permission_store *store;
	char fault[512];
	struct db *db;

	run_sql("DROP TABLE permissions; DROP TABLE documents; PRAGMA user_version = 1");
	db = db_open(directory, fault, sizeof(fault));
	store = db ? load(db, config) : NULL;
	tap_ok(store && permission_store_count(store) == 0 &&
		       !put(store, db, DB_LEVEL_PROJECT, project, "{\"default\":\"deny\"}"),
	       "store_brings_version_1_up");
	permission_store_destroy(store);
	db_close(db);
	run_sql("UPDATE permissions SET body = '{\"bogus\":1}'");
	db = db_open(directory, fault, sizeof(fault));
	store = permission_store_create(config, fault, sizeof(fault));
	tap_ok(permission_store_load(store, db, fault, sizeof(fault)) && strstr(fault, "bogus"),
	       "store_refuses_what_it_cannot_read: %s", fault);
	permission_store_destroy(store);
	db_close(db);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void test_files(struct config *config)
{
	struct permission_store *store;
	char fault[512], out[64], path[128];

	store = permission_store_create(config, fault, sizeof(fault));
	write_file("set.json", "{\"keys\":[]}");
	snprintf(path, sizeof(path), "%s/link.json", directory);
	tap_ok(symlink("/etc/passwd", path) == 0 &&
		       permission_store_jwks_load(store, "link.json", out, sizeof(out)) == -ELOOP,
	       "jwks_link_is_not_followed");
	tap_ok(permission_store_jwks_load(store, "set.json", out, sizeof(out)) == 11, "jwks_is_read");
	tap_ok(permission_store_jwks_load(store, "set.json", out, 11) == -EFBIG, "jwks_too_large");
	tap_ok(permission_store_jwks_load(store, "none.json", out, sizeof(out)) == -ENOENT,
	       "jwks_missing");
	permission_store_destroy(store);
	snprintf(config->actions, sizeof(config->actions), "%s/actions", directory);
	tap_ok(!permission_store_create(config, fault, sizeof(fault)) && strstr(fault, "actions"),
	       "actions_missing");
	write_file("actions", "app GET /** read\napp GET\n");
	tap_ok(!permission_store_create(config, fault, sizeof(fault)) && strstr(fault, "line 2"),
	       "actions_fault_names_its_line");
	unlink(path);
}

/* What a builder takes comes out the same, and what is no blob does not open. */
static void test_image(void)
{
	static const struct image_settings settings = { .node = "n", .base_domain = "b.example",
							.threads = 1 };
	struct image_builder *builder = image_builder_create(&settings, 1);
	struct image_container entry = { .flags = IMAGE_RUNNING };
	uint32_t first = 0, second = 0;
	struct image *image;
	const void *data;
	size_t size = 0;
	int fd;

	tap_ok(!image_builder_add_blob(builder, "12345", 5, &first) &&
		       !image_builder_add_blob(builder, "678", 3, &second) && first == 1 &&
		       second == 2 && image_builder_add_blob(builder, "", 0, &first) == -EINVAL,
	       "image_takes_blobs");
	entry.permissions = second;
	image_builder_set_actions(builder, first);
	image_builder_add_container(builder, &entry, NULL, 0);
	fd = image_builder_finish(builder);
	image = image_open(fd);
	data = image ? image_blob(image, 2, &size) : NULL;
	tap_ok(data && size == 3 && !memcmp(data, "678", 3) && (uintptr_t)data % 8 == 0 &&
		       image_header(image)->actions == 1 && !image_blob(image, 0, &size),
	       "image_gives_them_back");
	image_put(image);
	close(fd);
	image_builder_restart(builder, &settings, 2);
	entry.permissions = 1;
	image_builder_add_container(builder, &entry, NULL, 0);
	fd = image_builder_finish(builder);
	tap_ok(!image_open(fd) && errno == EBADMSG, "image_refuses_a_blob_that_is_not_there");
	close(fd);
	image_builder_destroy(builder);
}

int main(void)
{
	static struct config config;
	char command[64];

	tap_plan(7 + 2 + 6 + 3);
	if (!mkdtemp(directory))
		return 1;
	snprintf(config.jwks_directory, sizeof(config.jwks_directory), "%s", directory);
	test_store(&config);
	test_versions(&config);
	test_files(&config);
	test_image();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command) ? 1 : tap_done();
}
