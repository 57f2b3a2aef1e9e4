// SPDX-License-Identifier: Apache-2.0
/* Searches in turns, see search.h. */
#include "audit/search.h"

#include <errno.h>
#include <stdlib.h>

struct audit_search {
	struct audit		*audit;
	struct audit_filter	filter;
	int64_t			next, end;	/* the next row, and the last one */
	bool			descending;
	audit_take		*take;
	audit_search_done	*done;
	void			*context;
	struct audit_search		**slot;
	sd_event_source		*defer;
};

static void end(struct audit_search *search, int ret)
{
	audit_search_done *done = search->done;
	void *context = search->context;

	*search->slot = NULL;
	sd_event_source_disable_unref(search->defer);
	free(search);
	done(context, ret);
}

static int on_turn(sd_event_source *source, void *context)
{
	struct audit_search *search = context;
	int64_t low, high;
	int ret;

	if (search->descending ? search->next < search->end : search->next > search->end) {
		end(search, 0);
		return 0;
	}
	if (search->descending) {
		high = search->next;
		low = high - AUDIT_SEARCH_WINDOW + 1;
		if (low < search->end)
			low = search->end;
		search->next = low - 1;
	} else {
		low = search->next;
		high = low + AUDIT_SEARCH_WINDOW - 1;
		if (high > search->end)
			high = search->end;
		search->next = high + 1;
	}
	ret = audit_store_scan(audit_database(search->audit), &search->filter, low, high,
			       search->descending, search->take, search->context);
	if (ret)
		end(search, ret);
	else
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int audit_search(struct audit *audit, const struct audit_filter *filter, int64_t from,
		 bool descending, audit_take *take, audit_search_done *done, void *context)
{
	struct audit_search *search, **slot;
	int64_t first, last;

	if (!audit || !audit_database(audit))
		return -ENODATA;
	slot = audit_searches(audit)->running;
	while (*slot) {
		if (++slot == audit_searches(audit)->running + AUDIT_JOBS_MAX)
			return -EBUSY;
	}
	search = calloc(1, sizeof(*search));
	if (!search)
		return -ENOMEM;
	audit_drain(audit);
	audit_store_range(audit_database(audit), &first, &last);
	*search = (struct audit_search){
		.audit = audit, .filter = *filter, .descending = descending,
		.take = take, .done = done, .context = context, .slot = slot,
		.next = descending ? last : first, .end = descending ? first : last,
	};
	if (from && (descending ? from < last : from > first))
		search->next = from;
	/* An empty trail: nothing between these. */
	if (!first) {
		search->next = descending ? 0 : 1;
		search->end = descending ? 1 : 0;
	}
	if (sd_event_add_defer(audit_event(audit), &search->defer, on_turn, search) < 0) {
		free(search);
		return -ENOMEM;
	}
	/* Behind I/O. */
	sd_event_source_set_priority(search->defer, SD_EVENT_PRIORITY_NORMAL + 20);
	*slot = search;
	return 0;
}

void audit_search_forget(struct audit *audit)
{
	for (int i = 0; i < AUDIT_JOBS_MAX; i++) {
		struct audit_search *search = audit_searches(audit)->running[i];

		if (!search)
			continue;
		sd_event_source_disable_unref(search->defer);
		free(search);
		audit_searches(audit)->running[i] = NULL;
	}
}
