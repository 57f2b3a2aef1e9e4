// SPDX-License-Identifier: Apache-2.0
/* The table of names and the children that look them up, see resolve.h. */
#include "control/resolve.h"
#include "control/handover.h"

#include "lib/ipc.h"
#include "lib/log.h"
#include "names/name.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_US	1000000ull

struct entry {
	struct entry		*next;
	struct resolver		*resolver;
	char			name[NAMES_TEXT_MAX];
	bool			wanted, told;	/* @told: the log knows that it fails */
	unsigned int		count;
	struct address		addresses[EXIT_ADDRESSES_MAX];
	uint64_t		due_us;		/* CLOCK_MONOTONIC */
	uint64_t		retry_s;	/* 0: the last look-up had an answer */
	pid_t			pid;		/* 0: none is under way */
	int			sock;
	sd_event_source		*child;
};

struct resolver {
	sd_event		*event;
	struct spawn_identity	identity;
	resolver_changed	*changed;
	void			*context;
	struct entry		*entries;
	unsigned int		count, children;
	sd_event_source		*timer;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000;
}

/* The timer goes off for what is due first and may be begun. */
static void arm(struct resolver *resolver)
{
	uint64_t first = UINT64_MAX;

	for (const struct entry *entry = resolver->entries; entry; entry = entry->next) {
		if (!entry->pid && entry->due_us < first)
			first = entry->due_us;
	}
	if (first == UINT64_MAX || resolver->children == RESOLVE_CHILDREN_MAX) {
		sd_event_source_set_enabled(resolver->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(resolver->timer, first);
	sd_event_source_set_enabled(resolver->timer, SD_EVENT_ONESHOT);
}

static bool has(const struct entry *entry, const struct address *address)
{
	for (unsigned int i = 0; i < entry->count; i++) {
		if (address_equal(&entry->addresses[i], address))
			return true;
	}
	return false;
}

/* Servers turn the order round; only another set is a change. */
static bool is_same(const struct entry *entry, const struct resolve_answer *answer)
{
	if (entry->count != answer->count)
		return false;
	for (uint32_t i = 0; i < answer->count; i++) {
		if (!has(entry, &answer->addresses[i]))
			return false;
	}
	return true;
}

static void take(struct entry *entry, const struct resolve_answer *answer)
{
	uint64_t ttl = answer->ttl;

	if (answer->status) {
		entry->retry_s = entry->retry_s ? 2 * entry->retry_s : RESOLVE_TTL_MIN;
		if (entry->retry_s > RESOLVE_TTL_MAX)
			entry->retry_s = RESOLVE_TTL_MAX;
		ttl = entry->retry_s;
		if (!entry->told)
			log_warning("event=exit_name_failed name=%s reason=%s addresses=%s",
				    entry->name, answer->status == -ENOENT ? "none" : "no_answer",
				    answer->status == -ENOENT || !entry->count ? "none" : "kept");
		entry->told = true;
	} else {
		entry->retry_s = 0;
		entry->told = false;
	}
	ttl = ttl < RESOLVE_TTL_MIN ? RESOLVE_TTL_MIN : ttl;
	ttl = ttl > RESOLVE_TTL_MAX ? RESOLVE_TTL_MAX : ttl;
	entry->due_us = now_us() + ttl * SECOND_US;
	if ((answer->status && answer->status != -ENOENT) || is_same(entry, answer))
		return;
	entry->count = answer->count;
	memcpy(entry->addresses, answer->addresses, sizeof(entry->addresses));
	log_info("event=exit_name name=%s addresses=%u", entry->name, entry->count);
	entry->resolver->changed(entry->resolver->context);
}

/* Whose word is not waited for. */
static void end_child(struct entry *entry)
{
	entry->child = sd_event_source_disable_unref(entry->child);
	kill(entry->pid, SIGKILL);
	waitpid(entry->pid, NULL, 0);
	close(entry->sock);
	entry->pid = 0;
	entry->resolver->children--;
}

static void free_entry(struct entry *entry)
{
	struct resolver *resolver = entry->resolver;

	if (entry->pid)
		end_child(entry);
	resolver->count--;
	free(entry);
}

/* Its word, or that it has none, once it has ended. */
static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct resolve_answer answer = { .status = -EAGAIN }, heard;
	struct entry *entry = context;
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count = 0;

	if (ipc_receive(entry->sock, &message, &heard, sizeof(heard), fds, &count) ==
		    sizeof(heard) && heard.count <= EXIT_ADDRESSES_MAX)
		answer = heard;
	while (count)
		close(fds[--count]);
	for (uint32_t i = 0; i < answer.count; i++) {
		if (answer.addresses[i].family != AF_INET && answer.addresses[i].family != AF_INET6)
			answer = (struct resolve_answer){ .status = -EAGAIN };
	}
	if (!answer.status && !answer.count)
		answer.status = -ENOENT;
	entry->child = sd_event_source_disable_unref(entry->child);
	close(entry->sock);
	entry->pid = 0;
	entry->resolver->children--;
	/* The change may forget it. */
	struct resolver *resolver = entry->resolver;

	take(entry, &answer);
	arm(resolver);
	return 0;
}

static void start(struct entry *entry)
{
	struct resolver *resolver = entry->resolver;
	pid_t pid = spawn_resolver(&resolver->identity, entry->name, &entry->sock);

	entry->due_us = now_us() + RESOLVE_TTL_MIN * SECOND_US;
	if (pid < 0) {
		log_error("a name of an exit cannot be looked up: error=\"%s\"", strerror(-(int)pid));
		return;
	}
	if (sd_event_add_child(resolver->event, &entry->child, pid, WEXITED, on_child, entry) < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(entry->sock);
		return;
	}
	entry->pid = pid;
	resolver->children++;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *context)
{
	struct resolver *resolver = context;
	const uint64_t now = now_us();

	for (struct entry *entry = resolver->entries; entry; entry = entry->next) {
		if (!entry->pid && entry->due_us <= now &&
		    resolver->children < RESOLVE_CHILDREN_MAX)
			start(entry);
	}
	arm(resolver);
	return 0;
}

static struct entry *find(const struct resolver *resolver, const char *name)
{
	struct entry *entry = resolver ? resolver->entries : NULL;

	while (entry && strcmp(entry->name, name))
		entry = entry->next;
	return entry;
}

void resolver_begin(struct resolver *resolver)
{
	for (struct entry *entry = resolver->entries; entry; entry = entry->next)
		entry->wanted = false;
}

int resolver_need(struct resolver *resolver, const char *name)
{
	struct entry *entry = find(resolver, name);

	if (!entry && resolver->count == RESOLVE_NAMES_MAX)
		return -ENOSPC;
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->resolver = resolver;
		strncpy(entry->name, name, sizeof(entry->name) - 1);
		entry->next = resolver->entries;
		resolver->entries = entry;
		resolver->count++;
	}
	entry->wanted = true;
	return 0;
}

void resolver_end(struct resolver *resolver)
{
	struct entry **at = &resolver->entries;

	while (*at) {
		struct entry *entry = *at;

		if (entry->wanted) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		free_entry(entry);
	}
	arm(resolver);
}

unsigned int resolver_find(const struct resolver *resolver, const char *name,
			   struct address addresses[EXIT_ADDRESSES_MAX])
{
	const struct entry *entry = find(resolver, name);

	if (!entry)
		return 0;
	memcpy(addresses, entry->addresses, sizeof(entry->addresses));
	return entry->count;
}

void resolver_save(struct resolver *resolver, struct handover *handover)
{
	yyjson_mut_doc *document = handover->document;
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, handover->root, "resolver");

	for (struct entry *entry = resolver->entries; entry; entry = entry->next) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, list), *addresses;
		char text[ADDRESS_TEXT_MAX];

		if (entry->pid)
			end_child(entry);
		handover->failed |= !yyjson_mut_obj_add_strcpy(document, object, "name", entry->name);
		addresses = yyjson_mut_obj_add_arr(document, object, "addresses");
		for (unsigned int i = 0; i < entry->count; i++) {
			address_format(&entry->addresses[i], text);
			handover->failed |= !yyjson_mut_arr_add_strcpy(document, addresses, text);
		}
	}
	arm(resolver);
}

void resolver_adopt(struct resolver *resolver, yyjson_val *list)
{
	yyjson_val *object, *address;
	size_t i, k, max, most;

	yyjson_arr_foreach(list, i, max, object) {
		const char *name = handover_text(object, "name");
		struct entry *entry;

		if (strlen(name) >= NAMES_TEXT_MAX || resolver_need(resolver, name))
			continue;
		entry = find(resolver, name);
		yyjson_arr_foreach(yyjson_obj_get(object, "addresses"), k, most, address) {
			const char *text = yyjson_get_str(address);

			if (text && entry->count < EXIT_ADDRESSES_MAX &&
			    !address_parse(text, strlen(text), &entry->addresses[entry->count]))
				entry->count++;
		}
	}
}

struct resolver *resolver_create(sd_event *event, const struct spawn_identity *identity,
				 resolver_changed *changed, void *context)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return NULL;
	resolver->event = event;
	resolver->identity = *identity;
	resolver->changed = changed;
	resolver->context = context;
	if (sd_event_add_time(event, &resolver->timer, CLOCK_MONOTONIC, 0, 1000, on_timer,
			      resolver) < 0) {
		free(resolver);
		return NULL;
	}
	sd_event_source_set_enabled(resolver->timer, SD_EVENT_OFF);
	return resolver;
}

void resolver_destroy(struct resolver *resolver)
{
	struct entry *entry;

	if (!resolver)
		return;
	while ((entry = resolver->entries)) {
		resolver->entries = entry->next;
		free_entry(entry);
	}
	sd_event_source_disable_unref(resolver->timer);
	free(resolver);
}
