/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document of a feature for each container that has one, such as its rate limits:
 * read from the database at the start, kept in memory, and stored there first when it
 * changes. What it holds is the feature's: struct documents_kind. The first members of
 * the feature's structure are those of struct documents_head.
 */
#ifndef HOODY_CONTROL_DOCUMENTS_H
#define HOODY_CONTROL_DOCUMENTS_H

#include "control/db.h"
#include "control/id_table.h"

#include <yyjson.h>

struct documents_head {
	uint8_t		id[ID_LEN];
	unsigned int	count;		/* of what it holds; none is never stored */
};

struct documents_kind {
	enum db_kind	kind;
	size_t		size;		/* of the feature's structure */
	const char	*what;		/* for messages: "rate limits" */
	/* 0, or -EINVAL with the field and what it must be. The id is set before. */
	int		(*parse)(yyjson_val *body, void *document, const char **field,
				 const char **message);
	/* From malloc(), or NULL. */
	char		*(*format)(const void *document);
};

struct documents {
	const struct documents_kind	*kind;
	struct db			*db;
	struct id_table			table;
};

/* Reads all of a kind. 0, or a negative errno with what is wrong in @fault. */
int documents_open(const struct documents_kind *kind, struct db *db, struct documents **out,
		   char *fault, size_t fault_size);
void documents_close(struct documents *documents);

/* The document of a container, or NULL. Valid until the next change. */
const void *documents_find(const struct documents *documents, const uint8_t id[ID_LEN]);

/*
 * Stores a copy of @document; one that holds nothing removes what was there. As
 * db_put_document(): 0, or a negative errno and nothing has changed.
 */
int documents_store(struct documents *documents, const void *document);

/* Forgets what was kept of @id; the database has lost it with the container. */
void documents_forget(struct documents *documents, const uint8_t id[ID_LEN]);

#endif /* HOODY_CONTROL_DOCUMENTS_H */
