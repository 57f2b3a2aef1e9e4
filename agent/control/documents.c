// SPDX-License-Identifier: Apache-2.0
/* Documents of containers, see documents.h. */
#include "control/documents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const void *documents_find(const struct documents *documents, const uint8_t id[ID_LEN])
{
	return id_table_find(&documents->table, id);
}

void documents_forget(struct documents *documents, const uint8_t id[ID_LEN])
{
	free(id_table_take_out(&documents->table, id));
}

int documents_store(struct documents *documents, const void *document)
{
	const struct documents_kind *kind = documents->kind;
	const struct documents_head *head = document;
	void *copy = malloc(kind->size);
	char *text = NULL;
	int ret = copy ? id_table_reserve(&documents->table) : -ENOMEM;

	if (!ret && head->count) {
		text = kind->format(document);
		ret = text ? 0 : -ENOMEM;
	}
	if (!ret)
		ret = db_put_document(documents->db, kind->kind, head->id, ID_LEN, text, NULL);
	free(text);
	if (ret || !head->count) {
		free(copy);
		if (!ret)
			documents_forget(documents, head->id);
		return ret;
	}
	memcpy(copy, document, kind->size);
	free(id_table_put(&documents->table, copy));
	return 0;
}

static int take(void *context, const void *key, size_t key_len, const char *body)
{
	struct documents *documents = context;
	const char *field, *message;
	yyjson_doc *json;
	void *document;
	int ret = -EINVAL;

	if (key_len != ID_LEN)
		return -EINVAL;
	document = calloc(1, documents->kind->size);
	if (!document)
		return -ENOMEM;
	memcpy(document, key, ID_LEN);
	json = yyjson_read(body, strlen(body), 0);
	if (yyjson_is_obj(yyjson_doc_get_root(json)))
		ret = documents->kind->parse(yyjson_doc_get_root(json), document, &field, &message);
	yyjson_doc_free(json);
	if (!ret)
		ret = id_table_reserve(&documents->table);
	if (ret)
		free(document);
	else
		free(id_table_put(&documents->table, document));
	return ret;
}

int documents_open(const struct documents_kind *kind, struct db *db, struct documents **out,
		   char *fault, size_t fault_size)
{
	struct documents *documents = calloc(1, sizeof(*documents));
	int ret;

	*out = documents;
	snprintf(fault, fault_size, "%s: out of memory", kind->what);
	if (!documents)
		return -ENOMEM;
	documents->kind = kind;
	documents->db = db;
	ret = db_load_documents(db, kind->kind, take, documents);
	if (ret) {
		snprintf(fault, fault_size, "the database has %s that cannot be read", kind->what);
		documents_close(documents);
		*out = NULL;
	}
	return ret;
}

void documents_close(struct documents *documents)
{
	if (!documents)
		return;
	id_table_free(&documents->table, free);
	free(documents);
}
