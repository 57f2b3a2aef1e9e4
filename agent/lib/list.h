/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked lists. A node that is in no list points to itself,
 * so that list_del() may be called on it again. Owns no memory, takes no lock:
 * every list belongs to one thread.
 */
#ifndef HOODY_LIB_LIST_H
#define HOODY_LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define list_first_entry(head, type, member) container_of((head)->next, type, member)

#define list_for_each_entry(pos, head, member)                                                     \
	for (pos = container_of((head)->next, typeof(*pos), member); &pos->member != (head);       \
	     pos = container_of(pos->member.next, typeof(*pos), member))

/* @pos may be deleted meanwhile; no other entry may. */
#define list_for_each_entry_safe(pos, tmp, head, member)                                           \
	for (pos = container_of((head)->next, typeof(*pos), member),                               \
	    tmp = container_of(pos->member.next, typeof(*pos), member);                            \
	     &pos->member != (head);                                                               \
	     pos = tmp, tmp = container_of(pos->member.next, typeof(*pos), member))

static inline void list_setup(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

/* Inserts @node, which is in no list, as the last of @head. */
static inline void list_add_tail(struct list *node, struct list *head)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Inserts @node, which is in no list, as the first of @head. */
static inline void list_add(struct list *node, struct list *head)
{
	list_add_tail(node, head->next);
}

static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_setup(node);
}

#endif /* HOODY_LIB_LIST_H */
