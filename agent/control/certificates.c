// SPDX-License-Identifier: Apache-2.0
/* The certificates in force, see certificates.h; what watches them is certificates_watch.c. */
#include "control/certificates.h"
#include "control/certificates_internal.h"
#include "control/feature.h"
#include "control/handover.h"
#include "lib/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the list ---- */

static struct certificates_entry *find(const struct certificates *certificates,
				       enum certificates_source source, const char *name)
{
	for (size_t i = 0; i < certificates->count; i++) {
		if (certificates->list[i].source == source &&
		    !strcmp(certificates->list[i].name, name))
			return &certificates->list[i];
	}
	return NULL;
}

static struct certificates_entry *add(struct certificates *certificates,
				      enum certificates_source source, const char *name)
{
	size_t room = certificates->room ? certificates->room * 2 : 16;
	struct certificates_entry *entry;

	if (certificates->count == CERTIFICATES_MAX)
		return NULL;
	if (certificates->count == certificates->room) {
		entry = reallocarray(certificates->list, room, sizeof(*entry));
		if (!entry)
			return NULL;
		certificates->list = entry;
		certificates->room = room;
	}
	entry = &certificates->list[certificates->count++];
	memset(entry, 0, sizeof(*entry));
	entry->source = source;
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	return entry;
}

static void take_out(struct certificates *certificates, size_t index)
{
	certificate_clear(&certificates->list[index].certificate);
	certificates->count--;
	memmove(&certificates->list[index], &certificates->list[index + 1],
		(certificates->count - index) * sizeof(*certificates->list));
}

const struct certificate *certificates_find_issued(const struct certificates *certificates,
						   const char *domain)
{
	const struct certificates_entry *entry = find(certificates, CERTIFICATES_ACME, domain);

	return entry ? &entry->certificate : NULL;
}

int certificates_set_issued(struct certificates *certificates, const char *domain,
			    struct certificate *certificate)
{
	struct certificates_entry *entry = find(certificates, CERTIFICATES_ACME, domain);

	if (!entry)
		entry = add(certificates, CERTIFICATES_ACME, domain);
	if (!entry)
		return -ENOSPC;
	certificate_clear(&entry->certificate);
	entry->certificate = *certificate;
	memset(certificate, 0, sizeof(*certificate));
	return 0;
}

bool certificates_forget_issued(struct certificates *certificates, const char *domain)
{
	struct certificates_entry *entry = find(certificates, CERTIFICATES_ACME, domain);

	if (entry)
		take_out(certificates, entry - certificates->list);
	return entry != NULL;
}

bool certificates_have_file(const struct certificates *certificates, const char *name)
{
	for (size_t i = 0; i < certificates->count; i++) {
		if (certificates->list[i].source == CERTIFICATES_FILE &&
		    certificates->list[i].certificate.pem &&
		    certificate_covers(&certificates->list[i].certificate, name))
			return true;
	}
	return false;
}

int certificates_add_challenge(struct certificates *certificates,
			       const struct certificates_challenge *challenge)
{
	if (certificates->challenges_count == KEYS_CHALLENGES_MAX)
		return -ENOSPC;
	certificates->challenges[certificates->challenges_count++] = *challenge;
	return 0;
}

void certificates_clear_challenges(struct certificates *certificates)
{
	for (unsigned int i = 0; i < certificates->challenges_count; i++)
		free(certificates->challenges[i].pem);
	certificates->challenges_count = 0;
}

/* ---- files ---- */

/* Changes whenever the file does; 0: it cannot be seen. @directory -1: nor can that. */
static uint64_t sign(int directory, const char *path)
{
	struct stat st;

	if (directory == -1 || fstatat(directory, path, &st, 0))
		return 0;
	return ((uint64_t)st.st_mtim.tv_sec * 1000000007 + st.st_mtim.tv_nsec) * 31 +
	       (uint64_t)st.st_size * 131 + st.st_ino;
}

/* Says what has become of it, once for each change. True where it has changed. */
static bool settle_entry(struct certificates_entry *entry, int ret, const char *fault)
{
	if (!ret) {
		entry->fault[0] = '\0';
		log_info("certificate loaded: file=%s names=\"%.200s\"", entry->name,
			 entry->certificate.names);
		return true;
	}
	if (strcmp(entry->fault, fault))
		log_error("certificate refused: file=%s error=\"%s\" hint=\"%s\"", entry->name, fault,
			  entry->certificate.pem ? "the one before it stays in force" :
						   "it is not served");
	snprintf(entry->fault, sizeof(entry->fault), "%s", fault);
	return false;
}

/* "x.pem" holds both, "x.crt" has its key in "x.key". */
static bool key_name(const char *name, char out[NAME_MAX + 1])
{
	size_t len = strlen(name);

	snprintf(out, NAME_MAX + 1, "%s", name);
	if (name[0] == '.' || len <= 4)
		return false;
	if (!strcmp(name + len - 4, ".crt")) {
		strcpy(out + len - 4, ".key");
		return true;
	}
	return !strcmp(name + len - 4, ".pem");
}

static int read_pair(int directory, const char *name, const char *key_file,
		     struct certificate *certificate, char *fault, size_t size)
{
	struct certificate_bytes chain = { 0 }, key = { 0 };
	int ret = certificate_read(directory, name, false, &chain, fault, size);

	if (!ret)
		ret = certificate_read(directory, key_file, false, &key, fault, size);
	if (!ret)
		ret = certificate_parse(&chain, &key, certificate, fault, size);
	certificate_bytes_clear(&chain);
	certificate_bytes_clear(&key);
	return ret;
}

/* True where what is served has changed. */
static bool scan_file(struct certificates *certificates, int directory, const char *name)
{
	struct certificates_entry *entry = find(certificates, CERTIFICATES_FILE, name);
	char key_file[NAME_MAX + 1], fault[512];
	uint64_t signature;
	int ret;

	if (!key_name(name, key_file))
		return false;
	signature = sign(directory, name) * 3 + sign(directory, key_file);
	if (!entry)
		entry = add(certificates, CERTIFICATES_FILE, name);
	if (!entry) {
		log_error("certificate refused: file=%s error=\"there are %d already\"", name,
			  CERTIFICATES_MAX);
		return false;
	}
	entry->seen = true;
	if (entry->signature == signature)
		return false;
	entry->signature = signature;
	ret = read_pair(directory, name, key_file, &entry->certificate, fault, sizeof(fault));
	return settle_entry(entry, ret, fault);
}

static int by_name(const void *a, const void *b)
{
	const struct certificates_entry *x = a, *y = b;

	return x->source != y->source ? (int)x->source - (int)y->source : strcmp(x->name, y->name);
}

static bool drop_unseen(struct certificates *certificates)
{
	bool changed = false;

	for (size_t i = certificates->count; i-- > 0;) {
		struct certificates_entry *entry = &certificates->list[i];

		if (entry->source != CERTIFICATES_FILE || entry->seen)
			continue;
		log_info("certificate removed: file=%s", entry->name);
		changed |= entry->certificate.pem != NULL;
		take_out(certificates, i);
	}
	if (certificates->count)
		qsort(certificates->list, certificates->count, sizeof(*certificates->list), by_name);
	return changed;
}

bool certificates_scan(struct certificates *certificates)
{
	const char *path = certificates->control->config->certificates;
	DIR *directory = path[0] ? opendir(path) : NULL;
	struct dirent *found;
	bool changed = false;

	for (size_t i = 0; i < certificates->count; i++)
		certificates->list[i].seen = false;
	if (path[0] && !directory) {
		/* Not the same as an empty one: what was there stays. */
		log_error("[tls] directory: %s cannot be read: %s", path, strerror(errno));
		return false;
	}
	while (directory && (found = readdir(directory)))
		changed |= scan_file(certificates, dirfd(directory), found->d_name);
	if (directory)
		closedir(directory);
	return drop_unseen(certificates) || changed;
}

static void ignore(void *context, const char *line)
{
	char *fault = context;

	if (strncmp(line, "warning: ", 9))
		snprintf(fault, sizeof(((struct certificates_entry *)NULL)->fault), "%s", line);
}

bool certificates_scan_node(struct certificates *certificates)
{
	const struct config *config = certificates->control->config;
	struct certificates_entry *node = &certificates->node;
	uint64_t signature = sign(AT_FDCWD, config->certificate) * 3 + sign(AT_FDCWD, config->key);
	char fault[sizeof(node->fault)] = "";
	int ret;

	if (!config->certificate[0] || signature == node->signature)
		return false;
	node->signature = signature;
	snprintf(node->name, sizeof(node->name), "%.250s", config->certificate);
	ret = certificate_load(config, &node->certificate, ignore, fault);
	return settle_entry(node, ret, fault);
}

/* ---- the text ---- */

static void write_tickets(const struct certificates *certificates, FILE *out)
{
	for (unsigned int i = 0; i < certificates->tickets_count; i++) {
		fputs("@ticket ", out);
		for (size_t k = 0; k < KEYS_TICKET_LEN; k++)
			fprintf(out, "%02x", certificates->tickets[i][k]);
		fputc('\n', out);
	}
}

static void write_challenges(const struct certificates *certificates, FILE *out)
{
	for (unsigned int i = 0; i < certificates->challenges_count; i++) {
		const struct certificates_challenge *challenge = &certificates->challenges[i];

		if (challenge->kind == KEYS_HTTP)
			fprintf(out, "@http %s %s %s\n", challenge->host, challenge->token,
				challenge->text);
		else
			fprintf(out, "@alpn %s\n%s", challenge->host, challenge->pem);
	}
}

/* What does not fit any more is left out, and says so. */
static void write_list(struct certificates *certificates, FILE *out, size_t left)
{
	for (size_t i = 0; i < certificates->count; i++) {
		struct certificates_entry *entry = &certificates->list[i];
		const struct certificate *certificate = &entry->certificate;
		size_t len;

		if (!certificate->pem || !certificate->names[0])
			continue;
		len = certificate->len + strlen(certificate->names) + sizeof("@names \n");
		if (len > left) {
			snprintf(entry->fault, sizeof(entry->fault),
				 "there is no room: all certificates together are larger than %d bytes",
				 KEYS_BYTES_MAX);
			log_error("certificate left out: name=%s error=\"%s\"", entry->name, entry->fault);
			continue;
		}
		left -= len;
		fprintf(out, "@names %s\n", certificate->names);
		fwrite(certificate->pem, 1, certificate->len, out);
	}
}

static int seal(FILE *out)
{
	int fd, ret;

	if (fflush(out) || ferror(out))
		return -EIO;
	fd = fcntl(fileno(out), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int make_text(struct certificates *certificates)
{
	int fd = memfd_create("hoody-certificates", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	char *buffer;

	if (!out) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	/* Ours, so that it can be wiped: keys pass through it. */
	buffer = malloc(BUFSIZ);
	if (buffer)
		setvbuf(out, buffer, _IOFBF, BUFSIZ);
	fwrite(certificates->node.certificate.pem, 1, certificates->node.certificate.len, out);
	write_tickets(certificates, out);
	write_challenges(certificates, out);
	write_list(certificates, out, KEYS_BYTES_MAX - 1024 * 1024);
	ret = seal(out);
	fclose(out);
	if (buffer)
		OPENSSL_cleanse(buffer, BUFSIZ);
	free(buffer);
	return ret;
}

int certificates_take(struct control *control, struct certificate *node)
{
	struct certificates *certificates = control->certificates;
	const struct config *config = control->config;

	certificate_clear(&certificates->node.certificate);
	certificates->node.certificate = *node;
	memset(node, 0, sizeof(*node));
	snprintf(certificates->node.name, sizeof(certificates->node.name), "%.250s",
		 config->certificate);
	certificates->node.fault[0] = '\0';
	certificates->node.signature =
		sign(AT_FDCWD, config->certificate) * 3 + sign(AT_FDCWD, config->key);
	certificates_scan(certificates);
	certificates_watch(certificates);
	return make_text(certificates);
}

uint64_t certificates_push(struct control *control)
{
	int fd;

	if (!control->certificates->node.certificate.pem || !control->supervisor)
		return 0;
	fd = make_text(control->certificates);
	if (fd < 0) {
		log_error("certificates cannot be handed to the worker: error=\"%s\"", strerror(-fd));
		return 0;
	}
	return supervise_certificate(control->supervisor, fd);
}

/* ---- keys of tickets ---- */

int certificates_rotate(struct certificates *certificates)
{
	uint8_t key[KEYS_TICKET_LEN];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	memmove(certificates->tickets[1], certificates->tickets[0],
		sizeof(certificates->tickets) - sizeof(key));
	memcpy(certificates->tickets[0], key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
	if (certificates->tickets_count < KEYS_TICKETS_MAX)
		certificates->tickets_count++;
	return 0;
}

/* Those of the control process before this one: sessions go on being resumed. */
static bool take_tickets(struct certificates *certificates)
{
	const struct handover_found *found = certificates->control->handover;
	yyjson_val *list = found ? yyjson_obj_get(found->root, "tickets") : NULL, *value;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, value) {
		if (i == KEYS_TICKETS_MAX ||
		    handover_bytes(value, NULL, certificates->tickets[i], KEYS_TICKET_LEN))
			break;
		certificates->tickets_count = (unsigned int)i + 1;
	}
	return certificates->tickets_count;
}

/* ---- feature ---- */

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct certificates *certificates = calloc(1, sizeof(*certificates));

	snprintf(fault, fault_size, "certificates: out of memory, or no randomness");
	if (!certificates)
		return -ENOMEM;
	control->certificates = certificates;
	certificates->control = control;
	certificates->watch = -1;
	return take_tickets(certificates) ? 0 : certificates_rotate(certificates);
}

static void tear_down(struct control *control)
{
	struct certificates *certificates = control->certificates;

	if (!certificates)
		return;
	certificates_watch_clear(certificates);
	certificates_clear_challenges(certificates);
	while (certificates->count)
		take_out(certificates, certificates->count - 1);
	certificate_clear(&certificates->node.certificate);
	free(certificates->list);
	OPENSSL_cleanse(certificates, sizeof(*certificates));
	free(certificates);
	control->certificates = NULL;
}

const struct feature certificates_feature = {
	.name = "certificates",
	.set_up = set_up,
	.tear_down = tear_down,
};
