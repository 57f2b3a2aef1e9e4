/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the audit database share. */
#ifndef HOODY_AUDIT_STORE_INTERNAL_H
#define HOODY_AUDIT_STORE_INTERNAL_H

#include "audit/store.h"

#include <sqlite3.h>

enum store_statement {
	STORE_BEGIN,
	STORE_COMMIT,
	STORE_ROLLBACK,
	STORE_PUT,
	STORE_RANGE,
	STORE_TRIM,
	STORE_OLDEST,
	STORE_PAGES,
	STORE_FREE,
	STORE_STATEMENTS,
};

struct audit_store {
	sqlite3		*handle;
	sqlite3_stmt	*statements[STORE_STATEMENTS];
	uint64_t	page_size;
};

#endif /* HOODY_AUDIT_STORE_INTERNAL_H */
