// SPDX-License-Identifier: Apache-2.0
/*
 * The text by which control hands itself over, see handover.h: how it is written
 * and found. What a part leaves is with that part.
 */
#include "control/handover.h"
#include "control/api.h"
#include "control/certificates.h"
#include "control/control.h"
#include "control/db.h"
#include "control/firewall.h"
#include "control/network.h"
#include "control/upgrade.h"
#include "lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- writing ---- */

void handover_fd(struct handover *handover, yyjson_mut_val *object, const char *key, int fd)
{
	yyjson_mut_doc *document = handover->document;

	if (fd >= 0 && handover->fds_count == HANDOVER_FDS_MAX) {
		handover->failed = true;
		return;
	}
	if (fd >= 0)
		handover->fds[handover->fds_count++] = fd;
	if (!key)
		handover->failed |= !yyjson_mut_arr_add_int(document, object, fd);
	else if (fd >= 0)
		handover->failed |= !yyjson_mut_obj_add_int(document, object, key, fd);
}

void handover_hex(struct handover *handover, yyjson_mut_val *object, const char *key,
		  const uint8_t *bytes, size_t len)
{
	char text[2 * 256 + 1];

	if (len > 256) {
		handover->failed = true;
		return;
	}
	text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	if (key)
		handover->failed |= !yyjson_mut_obj_add_strcpy(handover->document, object, key, text);
	else
		handover->failed |= !yyjson_mut_arr_add_strcpy(handover->document, object, text);
	explicit_bzero(text, sizeof(text));
}

static void save_tickets(const struct control *control, struct handover *handover)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(handover->document, handover->root, "tickets");

	for (unsigned int i = 0; i < control->certificates->tickets_count; i++)
		handover_hex(handover, list, NULL, control->certificates->tickets[i],
			     KEYS_TICKET_LEN);
}

/* What was found and is still as it was; its descriptors go on as well. */
static void pass_on_fds(struct handover *handover, yyjson_val *value, const char *key)
{
	static const char *const names[] = { "fds", "sock", "ring", "wake", "listener", "clients",
					     "remote", "passes", "sockets", "counted" };
	yyjson_val *child, *name;
	size_t index, max;
	bool is_fd = false;

	for (size_t i = 0; key && i < sizeof(names) / sizeof(names[0]); i++)
		is_fd |= !strcmp(key, names[i]);
	if (yyjson_is_obj(value)) {
		yyjson_obj_foreach(value, index, max, name, child)
			pass_on_fds(handover, child, yyjson_get_str(name));
	} else if (yyjson_is_arr(value)) {
		yyjson_arr_foreach(value, index, max, child)
			pass_on_fds(handover, child, key);
	} else if (is_fd && yyjson_is_int(value) && yyjson_get_int(value) >= 0) {
		if (handover->fds_count == HANDOVER_FDS_MAX)
			handover->failed = true;
		else
			handover->fds[handover->fds_count++] = yyjson_get_int(value);
	}
}

static void pass_on(const struct control *control, struct handover *handover, const char *key)
{
	yyjson_val *value = control->handover ? yyjson_obj_get(control->handover->root, key) : NULL;

	if (!value)
		return;
	pass_on_fds(handover, value, key);
	handover->failed |= !yyjson_mut_obj_add_val(handover->document, handover->root, key,
						    yyjson_val_mut_copy(handover->document, value));
}

static void save_parts(struct control *control, struct handover *handover)
{
	static const char *const supervised[] = { "listeners", "workers", "supervisor" };

	if (control->supervisor && supervise_current(control->supervisor)) {
		supervise_save(control->supervisor, handover);
	} else {
		for (size_t i = 0; i < sizeof(supervised) / sizeof(supervised[0]); i++)
			pass_on(control, handover, supervised[i]);
	}
	if (control->api)
		api_save(control->api, handover);
	else
		pass_on(control, handover, "api");
	if (network_has_relay(control))
		network_save(control, handover);
	else
		pass_on(control, handover, "relay");
	if (!network_save_names(control, handover))
		pass_on(control, handover, "resolver");
	if (control->certificates)
		save_tickets(control, handover);
	else
		pass_on(control, handover, "tickets");
}

static int write_file(struct handover *handover)
{
	size_t len = 0, done = 0;
	char *text = yyjson_mut_write(handover->document, 0, &len);
	int fd = -1, ret = -ENOMEM;

	if (!text)
		return ret;
	ret = -E2BIG;
	if (len > HANDOVER_BYTES_MAX)
		goto out;
	fd = memfd_create("hoody-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	while (fd >= 0 && done < len) {
		ssize_t written = write(fd, text + done, len - done);

		if (written < 0)
			break;
		done += (size_t)written;
	}
	ret = fd < 0 || done < len ||
	      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0 ?
		      -errno : fd;
	if (ret < 0 && fd >= 0)
		close(fd);
out:
	/* Keys of tickets, and of QUIC's tokens. */
	explicit_bzero(text, len);
	free(text);
	return ret;
}

int handover_save(struct control *control, struct handover *handover, int old, int configuration,
		  const char *why)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = document ? yyjson_mut_obj(document) : NULL;
	const struct config *config = control->config;
	bool ok;

	memset(handover, 0, sizeof(*handover));
	handover->document = document;
	handover->root = root;
	handover->format = HANDOVER_FORMAT;
	if (!root)
		return -ENOMEM;
	yyjson_mut_doc_set_root(document, root);
	/* On the way back it is for the program that this one has taken over from. */
	if (why && control->handover)
		handover->format = (int)handover_number(control->handover->root, "format");
	ok = yyjson_mut_obj_add_int(document, root, "format", handover->format) &&
	     yyjson_mut_obj_add_int(document, root, "ipc", IPC_VERSION) &&
	     yyjson_mut_obj_add_int(document, root, "image", IMAGE_VERSION) &&
	     yyjson_mut_obj_add_int(document, root, "database", DB_VERSION) &&
	     yyjson_mut_obj_add_int(document, root, "firewall",
				    control->firewall && control->firewall->bpf ? FW_LAYOUT : 0) &&
	     yyjson_mut_obj_add_uint(document, root, "started_us", control->started_us) &&
	     yyjson_mut_obj_add_uint(document, root, "threads", config->settings.threads) &&
	     yyjson_mut_obj_add_strcpy(document, root, "state_directory", config->state_directory) &&
	     yyjson_mut_obj_add_strcpy(document, root, "control_socket", config->control_socket) &&
	     yyjson_mut_obj_add_strcpy(document, root, "cgroup", config->cgroup) &&
	     yyjson_mut_obj_add_bool(document, root, "returned", why != NULL) &&
	     yyjson_mut_obj_add_strcpy(document, root, "why", why ? why : "");
	handover->failed |= !ok;
	upgrade_save(control, handover);
	handover_fd(handover, root, "old", old);
	handover_fd(handover, root, "configuration", configuration);
	save_parts(control, handover);
	return handover->failed ? -ENOMEM : write_file(handover);
}

void handover_clear(struct handover *handover)
{
	yyjson_mut_doc_free(handover->document);
	handover->document = NULL;
}

int handover_keep(const struct handover *handover, bool keep)
{
	for (size_t i = 0; i < handover->fds_count; i++) {
		if (fcntl(handover->fds[i], F_SETFD, keep ? 0 : FD_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

/* ---- finding ---- */

int handover_read(struct handover_found *found, int fd, char *fault, size_t fault_size)
{
	struct stat st;
	char *text = NULL;
	int ret = -EBADMSG;
	int64_t format;

	snprintf(fault, fault_size, "the state that was handed over cannot be read");
	if (fstat(fd, &st) || st.st_size <= 0 || st.st_size > HANDOVER_BYTES_MAX)
		return ret;
	text = malloc(st.st_size);
	if (!text)
		return ret;
	if (pread(fd, text, st.st_size, 0) == st.st_size)
		found->document = yyjson_read(text, st.st_size, 0);
	explicit_bzero(text, st.st_size);
	free(text);
	found->root = yyjson_doc_get_root(found->document);
	if (!yyjson_is_obj(found->root))
		goto err_forget;
	format = handover_number(found->root, "format");
	if (format < HANDOVER_FORMAT_FIRST || format > HANDOVER_FORMAT) {
		snprintf(fault, fault_size,
			 "the state that is handed over has format %lld and this version knows %d: "
			 "restart the agent instead", (long long)format, HANDOVER_FORMAT);
		goto err_forget;
	}
	found->returned = yyjson_get_bool(yyjson_obj_get(found->root, "returned"));
	return 0;

err_forget:
	handover_forget(found);
	return ret;
}

int handover_find(struct handover_found *found, char *fault, size_t fault_size)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	int fd, ret;

	if (!text)
		return -ENOENT;
	fd = atoi(text);
	unsetenv(HANDOVER_VARIABLE);
	ret = handover_read(found, fd, fault, fault_size);
	close(fd);
	return ret;
}

void handover_forget(struct handover_found *found)
{
	yyjson_doc_free(found->document);
	memset(found, 0, sizeof(*found));
}

int handover_taken_fd(yyjson_val *value)
{
	int fd = yyjson_is_int(value) ? (int)yyjson_get_sint(value) : -1;

	return fd > STDERR_FILENO && !fcntl(fd, F_SETFD, FD_CLOEXEC) ? fd : -1;
}

int64_t handover_number(yyjson_val *object, const char *key)
{
	return yyjson_get_sint(yyjson_obj_get(object, key));
}

const char *handover_text(yyjson_val *object, const char *key)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, key));

	return text ? text : "";
}

int handover_bytes(yyjson_val *object, const char *key, uint8_t *bytes, size_t len)
{
	const char *text = key ? handover_text(object, key) : yyjson_get_str(object);
	unsigned int byte;

	if (!text || strlen(text) != 2 * len)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -EBADMSG;
		bytes[i] = (uint8_t)byte;
	}
	return 0;
}
