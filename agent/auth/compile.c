// SPDX-License-Identifier: Apache-2.0
/*
 * From a permissions model to its blob, see blob.h. Sections grow in memory of
 * their own and are joined at the end. Compiling is control's work and may take
 * its time; what it leaves behind is what a request pays for.
 */
#include "auth/blob.h"
#include "auth/compile_internal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void *section_add(struct compiler *compiler, struct section *section, size_t element)
{
	size_t used = section->count * element;
	char *data;

	if (compiler->error)
		return NULL;
	if (used + element > section->size) {
		size_t size = section->size ? 2 * section->size : 16 * element;

		if (size > BLOB_SIZE_MAX) {
			compiler->error = E2BIG;
			return NULL;
		}
		data = realloc(section->data, size);
		if (!data) {
			compiler->error = ENOMEM;
			return NULL;
		}
		section->data = data;
		section->size = size;
	}
	section->count++;
	return memset(section->data + used, 0, element);
}

struct blob_text compile_text(struct compiler *compiler, const void *bytes, size_t len)
{
	struct section *text = &compiler->text;
	struct blob_text result = { (uint32_t)text->count, (uint32_t)len };

	if (compiler->error)
		return result;
	if (text->count + len > text->size) {
		size_t size = 2 * (text->count + len) + 256;
		char *data = size <= BLOB_SIZE_MAX ? realloc(text->data, size) : NULL;

		if (!data) {
			compiler->error = size <= BLOB_SIZE_MAX ? ENOMEM : E2BIG;
			return result;
		}
		text->data = data;
		text->size = size;
	}
	if (len)
		memcpy(text->data + text->count, bytes, len);
	text->count += len;
	return result;
}

static int token_compare(const void *a, const void *b)
{
	return memcmp(((const struct blob_token *)a)->hash, ((const struct blob_token *)b)->hash,
		      SECRET_HASH_LEN);
}

/* Groups with the same token share one entry. */
static void add_token(struct compiler *compiler, const struct permissions_group *group,
		      unsigned int index)
{
	struct blob_token *tokens = (void *)compiler->tokens.data, *token;

	for (size_t i = 0; i < compiler->tokens.count; i++) {
		if (!memcmp(tokens[i].hash, group->token, SECRET_HASH_LEN)) {
			blob_set_add(&tokens[i].groups, index);
			return;
		}
	}
	token = section_add(compiler, &compiler->tokens, sizeof(*token));
	if (!token)
		return;
	memcpy(token->hash, group->token, SECRET_HASH_LEN);
	blob_set_add(&token->groups, index);
}

/* Groups with a password, in the order of their user names' bytes. */
static int username_compare(const void *a, const void *b)
{
	const struct permissions_group *x = *(const struct permissions_group *const *)a;
	const struct permissions_group *y = *(const struct permissions_group *const *)b;
	size_t x_len = strlen(x->username), y_len = strlen(y->username);
	int order = memcmp(x->username, y->username, x_len < y_len ? x_len : y_len);

	return order ? order : (x_len > y_len) - (x_len < y_len);
}

static void compile_passwords(struct compiler *compiler, const struct permissions *permissions)
{
	const struct permissions_group *sorted[PERMISSIONS_GROUPS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		if (permissions->groups[i].type == PERMISSIONS_PASSWORD)
			sorted[count++] = &permissions->groups[i];
	}
	qsort(sorted, count, sizeof(sorted[0]), username_compare);
	for (unsigned int i = 0; i < count; i++) {
		struct blob_password *password =
			section_add(compiler, &compiler->passwords, sizeof(*password));
		const struct secret_password *hash = &sorted[i]->hash;

		if (!password)
			return;
		password->username = compile_text(compiler, sorted[i]->username,
						  strlen(sorted[i]->username));
		password->group = (uint32_t)(sorted[i] - permissions->groups);
		password->memory_kib = hash->memory_kib;
		password->passes = hash->passes;
		password->lanes = hash->lanes;
		memcpy(password->salt, hash->salt, sizeof(password->salt));
		memcpy(password->hash, hash->hash, sizeof(password->hash));
	}
}

static void compile_groups(struct compiler *compiler, const struct permissions *permissions)
{
	struct auth_blob *header = &compiler->header;

	for (unsigned int i = 0; i < permissions->groups_count; i++) {
		const struct permissions_group *from = &permissions->groups[i];
		struct blob_group *group =
			section_add(compiler, &compiler->groups, sizeof(*group));

		if (!group)
			return;
		group->name = compile_text(compiler, from->name, strlen(from->name));
		group->type = from->type;
		blob_set_add(&header->all, i);
		switch (from->type) {
		case PERMISSIONS_IP:
			blob_set_add(&header->by_address, i);
			break;
		case PERMISSIONS_PASSWORD:
			blob_set_add(&header->by_basic, i);
			break;
		case PERMISSIONS_TOKEN:
			blob_set_add(&header->by_bearer, i);
			add_token(compiler, from, i);
			break;
		case PERMISSIONS_JWT:
			blob_set_add(&header->by_bearer, i);
			compile_jwt(compiler, from, i);
			break;
		case PERMISSIONS_TYPES:
			break;
		}
	}
	if (compiler->tokens.count)
		qsort(compiler->tokens.data, compiler->tokens.count, sizeof(struct blob_token),
		      token_compare);
	compile_passwords(compiler, permissions);
}

static int service_compare(const void *a, const void *b)
{
	const struct permissions_grant *x = *(const struct permissions_grant *const *)a;
	const struct permissions_grant *y = *(const struct permissions_grant *const *)b;

	return strcmp(x->service, y->service);
}

/* The action of the service whose actions are the last ones, from @first on. */
static void add_action(struct compiler *compiler, uint32_t first, const char *name,
		       unsigned int group)
{
	struct blob_action *actions = (void *)compiler->actions.data, *action = NULL;
	size_t len = strlen(name);

	for (size_t i = first; i < compiler->actions.count && !action; i++) {
		if (actions[i].name.len == len &&
		    !memcmp(compiler->text.data + actions[i].name.offset, name, len))
			action = &actions[i];
	}
	if (!action) {
		action = section_add(compiler, &compiler->actions, sizeof(*action));
		if (!action)
			return;
		action->name = compile_text(compiler, name, len);
	}
	blob_set_add(&action->groups, group);
}

/* The grants of one service. */
static void add_service(struct compiler *compiler, const struct permissions_grant *const *grants,
			unsigned int count)
{
	struct blob_service *service =
		section_add(compiler, &compiler->services, sizeof(*service));
	uint32_t first = (uint32_t)compiler->actions.count;

	if (!service)
		return;
	service->name = compile_text(compiler, grants[0]->service, strlen(grants[0]->service));
	service->actions_first = first;
	for (unsigned int i = 0; i < count; i++) {
		const struct permissions_grant *grant = grants[i];

		if (grant->kind == PERMISSIONS_ALLOW)
			blob_set_add(&service->allow, grant->group);
		else if (grant->kind == PERMISSIONS_REFUSE)
			blob_set_add(&service->refuse, grant->group);
		else
			blob_set_add(&service->listed, grant->group);
		for (unsigned int k = 0; k < grant->actions_count; k++)
			add_action(compiler, first, grant->actions[k], grant->group);
	}
	service->actions_count = (uint32_t)compiler->actions.count - first;
}

static void compile_services(struct compiler *compiler, const struct permissions *permissions)
{
	const struct permissions_grant **sorted;
	unsigned int end;

	if (!permissions->grants_count || compiler->error)
		return;
	sorted = calloc(permissions->grants_count, sizeof(*sorted));
	if (!sorted) {
		compiler->error = ENOMEM;
		return;
	}
	for (unsigned int i = 0; i < permissions->grants_count; i++)
		sorted[i] = &permissions->grants[i];
	qsort(sorted, permissions->grants_count, sizeof(*sorted), service_compare);
	for (unsigned int start = 0; start < permissions->grants_count; start = end) {
		for (end = start + 1; end < permissions->grants_count &&
				      !strcmp(sorted[start]->service, sorted[end]->service);
		     end++)
			;
		add_service(compiler, sorted + start, end - start);
	}
	free(sorted);
}

static void place(size_t *at, struct blob_span *span, const struct section *section,
		  size_t element)
{
	span->offset = (uint32_t)*at;
	span->count = (uint32_t)section->count;
	*at += (section->count * element + BLOB_ALIGN - 1) / BLOB_ALIGN * BLOB_ALIGN;
}

static struct auth_blob *join(struct compiler *compiler, size_t *size)
{
	struct auth_blob *header = &compiler->header, *blob;
	const struct {
		struct blob_span *span;
		struct section *section;
		size_t element;
	} parts[] = {
		{ &header->groups, &compiler->groups, sizeof(struct blob_group) },
		{ &header->services, &compiler->services, sizeof(struct blob_service) },
		{ &header->actions, &compiler->actions, sizeof(struct blob_action) },
		{ &header->ranges4, &compiler->ranges4, sizeof(struct blob_range4) },
		{ &header->ranges6, &compiler->ranges6, sizeof(struct blob_range6) },
		{ &header->tokens, &compiler->tokens, sizeof(struct blob_token) },
		{ &header->passwords, &compiler->passwords, sizeof(struct blob_password) },
		{ &header->jwts, &compiler->jwts, sizeof(struct blob_jwt) },
		{ &header->key_refs, &compiler->key_refs, sizeof(uint32_t) },
		{ &header->keys, &compiler->keys, sizeof(struct blob_key) },
		{ &header->claims, &compiler->claims, sizeof(struct blob_claim) },
		{ &header->values, &compiler->values, sizeof(struct blob_value) },
		{ &header->text, &compiler->text, 1 },
	};
	size_t at = sizeof(*header);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		place(&at, parts[i].span, parts[i].section, parts[i].element);
	if (at > BLOB_SIZE_MAX) {
		compiler->error = E2BIG;
		return NULL;
	}
	blob = calloc(1, at);
	if (!blob) {
		compiler->error = ENOMEM;
		return NULL;
	}
	header->size = (uint32_t)at;
	memcpy(blob, header, sizeof(*header));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].section->count)
			memcpy((char *)blob + parts[i].span->offset, parts[i].section->data,
			       parts[i].section->count * parts[i].element);
	}
	*size = at;
	return blob;
}

struct auth_blob *auth_compile(const struct permissions *permissions,
			       ssize_t (*jwks_load)(void *context, const char *name, char *out,
						    size_t size),
			       void *jwks_context, size_t *size, unsigned int *unusable)
{
	struct compiler compiler = { .jwks_load = jwks_load, .jwks_context = jwks_context };
	struct section *sections[] = { &compiler.groups,    &compiler.services, &compiler.actions,
				       &compiler.ranges4,   &compiler.ranges6,	&compiler.tokens,
				       &compiler.passwords, &compiler.jwts,	&compiler.key_refs,
				       &compiler.keys,	    &compiler.claims,	&compiler.values,
				       &compiler.text };
	struct auth_blob *blob = NULL;

	if (!permissions_sealed(permissions)) {
		errno = EINVAL;
		return NULL;
	}
	memcpy(compiler.header.magic, BLOB_MAGIC, sizeof(compiler.header.magic));
	compiler.header.version = BLOB_VERSION;
	compiler.header.default_allow = permissions_default_allow(permissions);
	compile_groups(&compiler, permissions);
	compile_ranges(&compiler, permissions);
	compile_services(&compiler, permissions);
	if (!compiler.error)
		blob = join(&compiler, size);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		secret_wipe(sections[i]->data, sections[i]->size);
		free(sections[i]->data);
	}
	*unusable += compiler.unusable;
	errno = compiler.error;
	return blob;
}
