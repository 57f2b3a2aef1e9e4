// SPDX-License-Identifier: Apache-2.0
/*
 * The last good copy of the database, see db_internal.h.
 *
 *	state.db				pages up to the last checkpoint
 *	state.db-wal				all that was committed since
 *	state.copy.<log>.<digest>		state.db as it was when that log began
 *
 * SQLite makes no checkpoint of its own here. So state.db does not change while a
 * log grows, and the copy with this log is every commit that was acknowledged: a
 * damaged state.db is put back without a loss. The log is named by its salts, which
 * are others in each log: a copy that another program's checkpoint has made old is
 * not taken for a good one. The digest finds what no integrity check does: a value
 * that has become another.
 *
 * The order of a new copy leaves one that is good at every moment: checkpoint (the
 * log stays), write and sync the copy, begin a new log, give the copy its name,
 * remove the others. In between, state.db itself has just been synced.
 */
#include "control/db_internal.h"
#include "lib/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_PREFIX	"state.copy."
#define COPY_PART	COPY_PREFIX "part"	/* being written */
#define COPY_NEW	COPY_PREFIX "new"	/* whole, without its log */
#define DIGEST_TEXT	16			/* hexadecimal digits of SHA-256 */
#define PIECE		(256 * 1024)
/*
 * Pages of the log at which a copy is made: as many as the database has, so that all
 * copies together write about as much as the commits did, within these bounds.
 */
#define PAGES_MIN	1000
#define PAGES_MAX	16384
#define PAGES_RETRY	256			/* after a copy that failed */

/* Reads @len bytes at @offset of a source, or fewer at its end. The number, or -errno. */
typedef ssize_t read_piece(void *source, void *bytes, size_t len, off_t offset);

static ssize_t read_descriptor(void *source, void *bytes, size_t len, off_t offset)
{
	ssize_t got = pread(*(const int *)source, bytes, len, offset);

	return got < 0 ? -errno : got;
}

/*
 * Through SQLite's own descriptor: closing another one of the same file would give up
 * the locks that this process has on it (POSIX).
 */
static ssize_t read_database(void *source, void *bytes, size_t len, off_t offset)
{
	sqlite3_file *file = NULL;
	sqlite3_int64 size = 0;

	if (sqlite3_file_control(source, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
	    !file || !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
		return -EIO;
	if (offset >= size)
		return 0;
	if ((sqlite3_int64)len > size - offset)
		len = size - offset;
	return file->pMethods->xRead(file, bytes, (int)len, offset) == SQLITE_OK ? (ssize_t)len :
										    -EIO;
}

/*
 * Reads all of a source and gives its digest as text; writes it to @out where that is
 * not -1. The number of bytes, or -errno.
 */
static off_t digest_of(read_piece *from, void *source, int out, char text[DIGEST_TEXT + 1])
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	char *piece = malloc(PIECE);
	off_t offset = 0;
	ssize_t got = -ENOMEM;

	if (!digest || !piece || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL))
		goto out;
	while ((got = from(source, piece, PIECE, offset)) > 0) {
		EVP_DigestUpdate(digest, piece, (size_t)got);
		for (ssize_t done = 0, n; out >= 0 && done < got; done += n) {
			n = write(out, piece + done, (size_t)(got - done));
			if (n < 0) {
				got = -errno;
				goto out;
			}
		}
		offset += got;
	}
	if (!got && !EVP_DigestFinal_ex(digest, sum, NULL))
		got = -EIO;
	for (unsigned int i = 0; !got && i < DIGEST_TEXT / 2; i++)
		snprintf(text + 2 * i, 3, "%02x", sum[i]);
out:
	EVP_MD_CTX_free(digest);
	free(piece);
	return got < 0 ? got : offset;
}

/* Writes and syncs the file @name in @folder. The number of bytes, or -errno. */
static off_t write_file(int folder, const char *name, read_piece *from, void *source,
			char digest[DIGEST_TEXT + 1])
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	off_t size;

	if (fd < 0)
		return -errno;
	size = digest_of(from, source, fd, digest);
	if (size >= 0 && fsync(fd))
		size = -errno;
	close(fd);
	if (size < 0)
		unlinkat(folder, name, 0);
	return size;
}

static bool begins_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/*
 * Finds the copy for the log @log ("": any), into @name. With @others, removes all
 * that are none of it. 0, or -ENOENT.
 */
static int find_copy(int folder, const char *log, char name[NAME_MAX + 1], bool others)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = -ENOENT;
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	char wanted[64];

	if (!entries) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	snprintf(wanted, sizeof(wanted), COPY_PREFIX "%s%s", log, *log ? "." : "");
	while ((entry = readdir(entries))) {
		if (begins_with(entry->d_name, wanted) && strcmp(entry->d_name, COPY_PART)) {
			strcpy(name, entry->d_name);
			ret = 0;
		} else if (others && begins_with(entry->d_name, COPY_PREFIX)) {
			unlinkat(folder, entry->d_name, 0);
		}
	}
	closedir(entries);
	return ret;
}

static int open_folder(const char *directory)
{
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int db_copy_find(const char *directory, const char *log, char *name, size_t size)
{
	char found[NAME_MAX + 1];
	int folder = open_folder(directory), ret;

	if (folder < 0)
		return -errno;
	ret = find_copy(folder, log, found, false);
	close(folder);
	if (!ret)
		snprintf(name, size, "%s", found);
	return ret;
}

/* The digest that a copy's name ends in. */
static const char *digest_in(const char *name)
{
	return strrchr(name, '.') + 1;
}

int db_copy_compare(struct db *db, const char *name)
{
	char digest[DIGEST_TEXT + 1];
	off_t size = digest_of(read_database, db->handle, -1, digest);

	if (size < 0)
		return (int)size;
	return strcmp(digest, digest_in(name)) ? -EBADMSG : 0;
}

/* ---- a new copy ---- */

static int failed(struct db *db, const char *what, int error)
{
	snprintf(db->copy_fault, sizeof(db->copy_fault), "%s: %s", what, strerror(-error));
	db->copy_pages = db->log_pages + PAGES_RETRY;
	log_warning("no copy of the database is kept: %s", db->copy_fault);
	return error;
}

/* A log of its own for the copy: its first commit, from which it has its name. */
static int begin_log(struct db *db, struct db_log *log)
{
	int ret;

	if (sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
	    SQLITE_OK)
		return -EIO;
	ret = db_run(db, DB_COUNT_COPY, NULL, "");
	if (!ret)
		ret = db_log_read(db->directory, log);
	return ret || log->name[0] ? ret : -EIO;
}

static int make(struct db *db, int folder)
{
	char digest[DIGEST_TEXT + 1] = "", name[NAME_MAX + 1];
	struct db_log log;
	off_t size;
	int ret;

	if (sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_FULL, NULL, NULL) !=
	    SQLITE_OK)
		return failed(db, "the log cannot be written back", -EIO);
	size = write_file(folder, COPY_PART, read_database, db->handle, digest);
	if (size >= 0 && renameat(folder, COPY_PART, folder, COPY_NEW))
		size = -errno;
	/* Without a copy the log begins anew all the same: else it would fill the disk. */
	ret = begin_log(db, &log);
	if (size < 0)
		return failed(db, "it cannot be written", (int)size);
	if (ret)
		return failed(db, "the new log cannot be begun", ret);
	snprintf(name, sizeof(name), COPY_PREFIX "%s.%s", log.name, digest);
	if (renameat(folder, COPY_NEW, folder, name) || fsync(folder))
		return failed(db, "it cannot be given its name", -errno);
	find_copy(folder, log.name, name, true);
	db->copy_pages = size / 4096 > PAGES_MAX ? PAGES_MAX :
			 size / 4096 < PAGES_MIN ? PAGES_MIN : (unsigned int)(size / 4096);
	db->copy_fault[0] = '\0';
	db->copies++;
	return 0;
}

int db_copy_make(struct db *db)
{
	int folder = open_folder(db->directory), ret;
	char kept[sizeof(db->fault)];

	if (folder < 0)
		return failed(db, "the directory cannot be opened", -errno);
	memcpy(kept, db->fault, sizeof(kept));
	ret = make(db, folder);
	memcpy(db->fault, kept, sizeof(kept));
	close(folder);
	return ret;
}

void db_copy_due(struct db *db)
{
	if (db->log_pages >= db->copy_pages)
		db_copy_make(db);
}

/* ---- putting it back ---- */

int db_copy_restore(const char *directory, const char *name, char *fault, size_t fault_size)
{
	int folder = open_folder(directory), fd = -1, ret = -EIO;
	char digest[DIGEST_TEXT + 1] = "";
	off_t size;

	if (folder < 0)
		goto err_errno;
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		goto err_errno;
	size = write_file(folder, DB_FILE ".restored", read_descriptor, &fd, digest);
	if (size < 0) {
		snprintf(fault, fault_size, "its copy %s cannot be put back: %s", name,
			 strerror((int)-size));
		goto out;
	}
	if (strcmp(digest, digest_in(name))) {
		snprintf(fault, fault_size, "its copy %s is damaged as well", name);
		goto out;
	}
	if (renameat2(folder, DB_FILE, folder, DB_FILE_DAMAGED, RENAME_NOREPLACE) &&
	    errno != ENOENT) {
		snprintf(fault, fault_size, "%s: move away " DB_FILE_DAMAGED " of the last time",
			 strerror(errno));
		goto out;
	}
	if (renameat(folder, DB_FILE ".restored", folder, DB_FILE) || fsync(folder))
		goto err_errno;
	ret = 0;
	goto out;

err_errno:
	snprintf(fault, fault_size, "its copy %s cannot be put back: %s", name, strerror(errno));
out:
	if (ret && folder >= 0)
		unlinkat(folder, DB_FILE ".restored", 0);
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	return ret;
}
