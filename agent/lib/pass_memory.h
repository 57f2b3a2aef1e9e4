/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory in which workers that follow each other keep their passes
 * (front/pass.h), so that what one has issued is good with the next: a memfd with
 * one region for each worker that may live at the same time, its slot.
 *
 *	control: create -> forget (the slot's worker is gone) -> to each worker (IPC_PASSES)
 *	worker:  map
 *
 * Only the worker of a slot issues from its region; the others may use up what they
 * find there. Control never reads it: nothing that a worker leaves in it can harm
 * control.
 */
#ifndef HOODY_LIB_PASS_MEMORY_H
#define HOODY_LIB_PASS_MEMORY_H

#include <stddef.h>

#define PASS_REGIONS		4	/* control/listen.h's LISTEN_SLOTS */
/* What is not in use costs no memory; front/pass.c says what is in it. */
#define PASS_REGION_BYTES	(16u << 20)
#define PASS_MEMORY_BYTES	((size_t)PASS_REGIONS * PASS_REGION_BYTES)
/* Of the content: memory of another version's workers is of no use to ours. */
#define PASS_LAYOUT		1

/* A memfd, all zeros, sealed against growing and shrinking; or a negative errno. */
int pass_memory_create(void);

/* All zeros again, and nothing in use: what was issued from it is worth nothing. */
void pass_memory_forget(int fd, unsigned int region);

/*
 * pass_memory_map(): all regions; NULL with errno, which is EBADMSG where @fd is of
 * another size or not sealed. Without one (-1): memory of the caller's alone.
 */
void *pass_memory_map(int fd);
void pass_memory_unmap(void *memory);

#endif /* HOODY_LIB_PASS_MEMORY_H */
