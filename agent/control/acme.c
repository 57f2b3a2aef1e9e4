// SPDX-License-Identifier: Apache-2.0
/* When certificates of domains are ordered, see acme.h. */
#include "control/acme.h"
#include "audit/audit.h"
#include "control/aliases.h"
#include "control/feature.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <yyjson.h>

#define TICK_US		1000000
#define AGAIN_S		5	/* from a success to the next order of a name, whatever its life */

/* ---- names ---- */

static size_t place(const struct acme *acme, const char *domain, bool *found)
{
	size_t low = 0, high = acme->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(domain, acme->names[middle].domain);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct acme_name *acme_find(const struct acme *acme, const char *domain)
{
	bool found;
	size_t index = place(acme, domain, &found);

	return found ? &acme->names[index] : NULL;
}

static struct acme_name *add(struct acme *acme, const char *domain)
{
	size_t room = acme->room ? acme->room * 2 : 16, index;
	struct acme_name *name;
	bool found;

	if (acme->count == ACME_NAMES_MAX)
		return NULL;
	if (acme->count == acme->room) {
		name = reallocarray(acme->names, room, sizeof(*name));
		if (!name)
			return NULL;
		acme->names = name;
		acme->room = room;
	}
	index = place(acme, domain, &found);
	name = &acme->names[index];
	memmove(name + 1, name, (acme->count - index) * sizeof(*name));
	memset(name, 0, sizeof(*name));
	snprintf(name->domain, sizeof(name->domain), "%s", domain);
	acme->count++;
	return name;
}

/* So that a restart does not run into an authority's limits. */
static void store(struct acme *acme, const struct acme_name *name)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char *text;

	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_obj_add_uint(document, root, "failures", name->failures);
	yyjson_mut_obj_add_int(document, root, "next", name->next);
	yyjson_mut_obj_add_str(document, root, "error", name->error);
	text = yyjson_mut_write(document, 0, NULL);
	yyjson_mut_doc_free(document);
	if (!text || db_put_document(acme->control->db, DB_KIND_ACME, name->domain,
				     strlen(name->domain), text, NULL))
		log_error("state of an order cannot be stored: domain=%s error=\"%s\"", name->domain,
			  text ? db_fault(acme->control->db) : "no memory");
	free(text);
}

static int take_stored(void *context, const void *key, size_t key_len, const char *body)
{
	struct acme *acme = context;
	char domain[KEYS_NAME_MAX] = "";
	struct acme_name *name;
	yyjson_doc *document;
	yyjson_val *root;

	if (key_len >= sizeof(domain))
		return -EINVAL;
	memcpy(domain, key, key_len);
	name = add(acme, domain);
	document = yyjson_read(body, strlen(body), 0);
	root = yyjson_doc_get_root(document);
	if (name && root) {
		name->failures = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "failures"));
		name->next = yyjson_get_sint(yyjson_obj_get(root, "next"));
		snprintf(name->error, sizeof(name->error), "%s",
			 yyjson_get_str(yyjson_obj_get(root, "error")) ?: "");
	}
	yyjson_doc_free(document);
	return root ? 0 : -EINVAL;
}

/* ---- what was issued ---- */

/* uacme's files: written by its user, so that nothing in them is trusted. */
static int load(struct acme *acme, const char *domain, char *fault, size_t fault_size)
{
	struct certificate_bytes chain = { 0 }, key = { 0 };
	struct certificate certificate = { 0 };
	char path[KEYS_NAME_MAX + 32];
	int ret;

	snprintf(path, sizeof(path), "%s/cert.pem", domain);
	ret = certificate_read(acme->directory, path, true, &chain, fault, fault_size);
	snprintf(path, sizeof(path), "private/%s/key.pem", domain);
	if (!ret)
		ret = certificate_read(acme->directory, path, true, &key, fault, fault_size);
	if (!ret)
		ret = certificate_parse(&chain, &key, &certificate, fault, fault_size);
	certificate_bytes_clear(&chain);
	certificate_bytes_clear(&key);
	if (!ret && (!certificate_covers(&certificate, domain) || strcmp(certificate.names, domain))) {
		snprintf(fault, fault_size, "the certificate is for other names: %.100s",
			 certificate.names);
		ret = -EINVAL;
	}
	if (!ret)
		ret = certificates_set_issued(acme->control->certificates, domain, &certificate);
	certificate_clear(&certificate);
	return ret;
}

static uint32_t hash(const char *text, uint32_t value)
{
	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * 16777619u;
	return value;
}

int64_t acme_renewal(const char *domain, const struct certificate *certificate)
{
	int64_t life = certificate->not_after - certificate->not_before;
	/* The same for a certificate whenever it is asked for, another one for each. */
	uint32_t jitter = hash(domain, (uint32_t)certificate->not_before ^ 2166136261u);

	if (life <= 0)
		return 0;
	return certificate->not_before + life * 2 / 3 - life / 30 + jitter % (life / 15 + 1);
}

/* ---- what is wanted ---- */

static void drop_unseen(struct acme *acme, bool *changed)
{
	for (size_t i = acme->count; i-- > 0;) {
		struct acme_name *name = &acme->names[i];

		if (name->seen)
			continue;
		if (acme->order && !strcmp(acme_order_domain(acme->order), name->domain)) {
			acme_order_destroy(acme->order);
			acme->order = NULL;
		}
		*changed |= certificates_forget_issued(acme->control->certificates, name->domain);
		if (db_put_document(acme->control->db, DB_KIND_ACME, name->domain,
				    strlen(name->domain), NULL, NULL))
			log_error("state of an order cannot be removed: error=\"%s\"",
				  db_fault(acme->control->db));
		acme->count--;
		memmove(name, name + 1, (acme->count - i) * sizeof(*name));
	}
}

static void want(struct acme *acme, const char *domain, bool *changed)
{
	struct acme_name *name = acme_find(acme, domain);
	char fault[512];

	if (certificates_have_file(acme->control->certificates, domain))
		return;
	if (!name)
		name = add(acme, domain);
	if (!name) {
		if (!acme->full)
			log_error("no certificate will be ordered: domain=%s error=\"there are %d already\"",
				  domain, ACME_NAMES_MAX);
		acme->full = true;
		return;
	}
	name->seen = true;
	if (name->looked || acme->directory < 0)
		return;
	name->looked = true;
	*changed |= load(acme, domain, fault, sizeof(fault)) == 0;
}

/* Names follow aliases and files. */
static void follow(struct acme *acme)
{
	const struct aliases *aliases = acme->control->aliases;
	bool changed = false;

	for (size_t i = 0; i < acme->count; i++)
		acme->names[i].seen = false;
	for (size_t i = 0; i < aliases->count; i++) {
		if (aliases->list[i].domain[0])
			want(acme, aliases->list[i].domain, &changed);
	}
	drop_unseen(acme, &changed);
	if (changed)
		certificates_push(acme->control);
}

/* ---- orders ---- */

static void record(struct acme *acme, const char *domain, const char *outcome)
{
	struct audit_entry entry = { .actor = "acme" };
	char path[KEYS_NAME_MAX + 32];

	if (!acme->control->audit)
		return;
	snprintf(entry.record.method, sizeof(entry.record.method), "CERTIFICATE");
	snprintf(entry.record.outcome, sizeof(entry.record.outcome), "%s", outcome);
	snprintf(path, sizeof(path), "/%s", domain);
	audit_record_path(path, strlen(path), IMAGE_AUDIT_DROP, entry.record.path);
	audit_change(acme->control->audit, &entry);
}

static void fail(struct acme *acme, struct acme_name *name, const char *error)
{
	int64_t pause = acme->control->config->acme_retry / 1000;

	for (uint32_t i = 0; i < name->failures && pause < ACME_PAUSE_MAX_S; i++)
		pause *= 2;
	if (pause > ACME_PAUSE_MAX_S)
		pause = ACME_PAUSE_MAX_S;
	/* Names that failed together are not tried together again. */
	pause += hash(name->domain, (uint32_t)time(NULL)) % (pause / 8 + 1);
	name->failures++;
	name->next = time(NULL) + pause;
	snprintf(name->error, sizeof(name->error), "%s", error);
	acme->failed++;
	log_error("certificate not issued: domain=%s failures=%u again_s=%lld error=\"%s\"", name->domain,
		  name->failures, (long long)pause, error);
	record(acme, name->domain, "failed");
	store(acme, name);
}

static void on_ordered(void *context, const char *error)
{
	struct acme *acme = context;
	struct acme_name *name = acme_find(acme, acme_order_domain(acme->order));
	bool renewed = name && certificates_find_issued(acme->control->certificates, name->domain);
	char fault[512];

	acme_order_destroy(acme->order);
	acme->order = NULL;
	if (!name)
		return;
	if (!error && load(acme, name->domain, fault, sizeof(fault)))
		error = fault;
	if (error) {
		/* The account may be what is wrong: it is looked for again. */
		acme->account = false;
		fail(acme, name, error);
		return;
	}
	acme->account = true;
	acme->issued++;
	name->failures = 0;
	name->next = time(NULL) + AGAIN_S;
	name->error[0] = '\0';
	log_info("certificate %s: domain=%s", renewed ? "renewed" : "issued", name->domain);
	record(acme, name->domain, renewed ? "renewed" : "issued");
	store(acme, name);
	certificates_push(acme->control);
}

/* The name whose turn is longest over, or NULL. */
static struct acme_name *find_due(const struct acme *acme, int64_t now)
{
	struct acme_name *due = NULL;
	int64_t earliest = now + 1;

	for (size_t i = 0; i < acme->count; i++) {
		struct acme_name *name = &acme->names[i];
		const struct certificate *certificate =
			certificates_find_issued(acme->control->certificates, name->domain);
		int64_t at = certificate ? acme_renewal(name->domain, certificate) : 0;

		if (at < name->next)
			at = name->next;
		if (at >= earliest)
			continue;
		earliest = at;
		due = name;
	}
	return due;
}

static void start(struct acme *acme, struct acme_name *name)
{
	struct control *control = acme->control;
	struct spawn_identity identity;
	int ret = spawn_identity_find(control->config->worker_user, &identity);

	if (!ret && identity.uid != acme->owner)
		ret = -EPERM;
	if (ret) {
		fail(acme, name, "the directory of certificates is another user's than [agent] worker_user");
		return;
	}
	acme->order = acme_order_create(control, name->domain, acme->directory, identity.uid,
					identity.gid, !acme->account, on_ordered, acme);
	if (!acme->order)
		fail(acme, name, strerror(errno));
}

void acme_renew(struct acme *acme, struct acme_name *name)
{
	if (!acme->order)
		start(acme, name);
	else if (strcmp(acme_order_domain(acme->order), name->domain))
		name->next = 1;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *context)
{
	struct acme *acme = context;
	struct control *control = acme->control;
	struct acme_name *due;

	sd_event_source_set_time_relative(source, TICK_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (control->draining)
		return 0;
	follow(acme);
	if (acme->order || acme->directory < 0 || !control->config->acme_directory[0])
		return 0;
	due = find_due(acme, time(NULL));
	if (due)
		start(acme, due);
	return 0;
}

void acme_progress(struct control *control)
{
	if (control->acme && control->acme->order)
		acme_order_progress(control->acme->order);
}

/* ---- feature ---- */

/*
 * A directory of this user's below one of ours, without CAP_CHOWN: made by us with the user's
 * identity for files inside a place open to all, and moved. What is open to all is reached by
 * nobody meanwhile: STATE itself is 0700. Returns 0 or a negative errno.
 */
static int make_directory(int state, const struct spawn_identity *identity)
{
	static const char stage[] = ACME_DIRECTORY ".new";
	int made = -1, ret = 0, open_stage;

	unlinkat(state, ACME_DIRECTORY ".new/" ACME_DIRECTORY, AT_REMOVEDIR);
	unlinkat(state, stage, AT_REMOVEDIR);
	if (mkdirat(state, stage, 0700) < 0)
		return -errno;
	open_stage = openat(state, stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (open_stage < 0 || fchmod(open_stage, 0777) < 0)
		goto err;
	setfsgid(identity->gid);
	setfsuid(identity->uid);
	if (mkdirat(open_stage, ACME_DIRECTORY, 0700) < 0)
		ret = -errno;
	else
		made = openat(open_stage, ACME_DIRECTORY,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Who moves a directory elsewhere has to be able to write to it. */
	if (!ret && (made < 0 || fchmod(made, 0777) < 0))
		ret = -errno;
	setfsuid(geteuid());
	setfsgid(getegid());
	if (!ret && renameat(open_stage, ACME_DIRECTORY, state, ACME_DIRECTORY) < 0)
		ret = -errno;
	setfsuid(identity->uid);
	if (!ret && fchmod(made, 0700) < 0)
		ret = -errno;
	setfsuid(geteuid());
	goto out;
err:
	ret = -errno;
out:
	if (made >= 0)
		close(made);
	if (open_stage >= 0)
		close(open_stage);
	unlinkat(state, stage, AT_REMOVEDIR);
	return ret;
}

void acme_prepare(struct control *control, const struct spawn_identity *identity)
{
	const char *path = control->config->state_directory;
	struct stat st;
	int state, ret = 0;

	mkdir(path, 0700);
	state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state < 0) {
		ret = -errno;
	} else if (fstatat(state, ACME_DIRECTORY, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		ret = errno == ENOENT ? make_directory(state, identity) : -errno;
	} else if (st.st_uid != identity->uid) {
		log_error("the directory for certificates of an authority is another user's: path=%s/%s "
			  "error=\"give it and all in it to the user of [agent] worker_user\"",
			  path, ACME_DIRECTORY);
	}
	if (ret)
		log_error("no directory for certificates of an authority: path=%s/%s error=\"%s\"",
			  path, ACME_DIRECTORY, strerror(-ret));
	if (state >= 0)
		close(state);
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct acme *acme = calloc(1, sizeof(*acme));
	char path[PATH_MAX + 16];
	struct stat st;

	snprintf(fault, fault_size, "certificates of an authority: out of memory");
	if (!acme)
		return -ENOMEM;
	control->acme = acme;
	acme->control = control;
	snprintf(path, sizeof(path), "%s/%s", control->config->state_directory, ACME_DIRECTORY);
	acme->directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (acme->directory < 0 || fstat(acme->directory, &st))
		log_error("no certificate can be ordered: path=%s error=\"%s\"", path, strerror(errno));
	else
		acme->owner = st.st_uid;
	if (sd_event_add_time_relative(control->event, &acme->timer, CLOCK_MONOTONIC, TICK_US, 1000,
				       on_tick, acme) < 0)
		return -ENOMEM;
	snprintf(fault, fault_size, "the database has the state of an order that cannot be read");
	return db_load_documents(control->db, DB_KIND_ACME, take_stored, acme);
}

static void tear_down(struct control *control)
{
	struct acme *acme = control->acme;

	if (!acme)
		return;
	sd_event_source_disable_unref(acme->timer);
	acme_order_destroy(acme->order);
	if (acme->directory >= 0)
		close(acme->directory);
	free(acme->names);
	free(acme);
	control->acme = NULL;
}

void acme_interrupt(struct acme *acme)
{
	acme_order_destroy(acme->order);
	acme->order = NULL;
}

/* Another authority has another account. */
static void reloaded(struct control *control)
{
	control->acme->account = false;
	if (control->config->acme_directory[0] || !control->acme->order)
		return;
	acme_order_destroy(control->acme->order);
	control->acme->order = NULL;
}

const struct feature acme_feature = {
	.name = "acme",
	.set_up = set_up,
	.tear_down = tear_down,
	.reloaded = reloaded,
};
