// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory merging of one address space. The kernel decides what may be merged:
 * ksm_madvise() leaves shared, device, huge (hugetlb), DAX and special mappings
 * alone. What is locked in memory is left alone too, which is our own rule.
 *
 * MERGE_ANY is the kernel's flag for "every mapping, also future ones": forks,
 * execs and new mappings follow without us. It is set after all areas are
 * marked, in the same hold of the lock, and cleared before the first is undone.
 *
 * An area loses its mark only when no page of it is merged any more: the kernel
 * would lose track of such a page. Copies are made in small steps, with the lock
 * given back between them; then one pass over the area under one hold finds, as
 * a rule, nothing left, and takes the mark away.
 */
#include <linux/delay.h>
#include <linux/ksm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>

#include "compat.h"
#include "ksm.h"

/* Copies between two looks at what room is left. */
#define STEP_PAGES	128
/* Steps between two moments in which others may have the lock. */
#define HOLD_STEPS	8
/* Pages that a container may take for itself during one step. */
#define SLACK_PAGES	(4 * STEP_PAGES)
#define LOCK_TRIES	50
#define LOCK_PAUSE_US	1000

/*
 * Not a wait for the lock: whoever holds it may be a process that somebody made
 * hang, and it must not hang the worker for the whole host.
 */
static bool mm_lock(struct mm_struct *mm)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		/* What mmap_write_lock() does; the kernel has no such function that tries. */
		if (down_write_trylock(&mm->mmap_lock)) {
			mm_lock_seqcount_begin(mm);
			return true;
		}
		usleep_range(LOCK_PAUSE_US / 2, LOCK_PAUSE_US);
	}
	return false;
}

enum ksm_mm_result ksm_mm_mark(struct mm_struct *mm, u64 *areas)
{
	enum ksm_mm_result result = KSM_MM_NOTHING;
	struct vm_area_struct *vma;
	VMA_ITERATOR(iterator, mm, 0);

	if (hoody_mm_flag_test(mm, MMF_VM_MERGE_ANY))
		return KSM_MM_NOTHING;
	if (!mm_lock(mm))
		return KSM_MM_BUSY;
	for_each_vma(iterator, vma) {
		vm_flags_t flags = vma->vm_flags;

		if (flags & VM_LOCKED)
			continue;
		if (ksm_madvise(vma, vma->vm_start, vma->vm_end, MADV_MERGEABLE, &flags)) {
			result = KSM_MM_NO_MEMORY;
			break;
		}
		if (flags == vma->vm_flags)
			continue;
		vma_start_write(vma);
		vm_flags_reset(vma, flags);
		++*areas;
		result = KSM_MM_CHANGED;
		cond_resched();
	}
	/* One that wants all of its future memory locked gets no mark for it. */
	if (result != KSM_MM_NO_MEMORY && !(mm->def_flags & VM_LOCKED)) {
		hoody_mm_flag_set(mm, MMF_VM_MERGE_ANY);
		result = KSM_MM_CHANGED;
	}
	mmap_write_unlock(mm);
	return result;
}

/*
 * The first address from @at on, below @end, that a page table may know pages of:
 * holes are skipped by the size of the table that is missing. The lock is held.
 */
static unsigned long next_populated(struct mm_struct *mm, unsigned long at, unsigned long end)
{
	while (at < end) {
		pgd_t *pgd = pgd_offset(mm, at);
		p4d_t *p4d;
		pud_t *pud;
		pmd_t *pmd, entry;

		if (pgd_none(*pgd)) {
			at = pgd_addr_end(at, end);
			continue;
		}
		p4d = p4d_offset(pgd, at);
		if (p4d_none(*p4d)) {
			at = p4d_addr_end(at, end);
			continue;
		}
		pud = pud_offset(p4d, at);
		if (pud_none(*pud) || pud_leaf(*pud)) {
			at = pud_addr_end(at, end);
			continue;
		}
		pmd = pmd_offset(pud, at);
		entry = pmdp_get_lockless(pmd);
		/* A huge page is never a merged one. */
		if (!pmd_none(entry) && pmd_present(entry) && !pmd_leaf(entry))
			return at;
		at = pmd_addr_end(at, end);
	}
	return end;
}

/* Whether @memcg and what is above it have room for a step and somewhat more. */
static bool memcg_has_room(struct mem_cgroup *memcg)
{
	for (; memcg; memcg = parent_mem_cgroup(memcg)) {
		unsigned long max = READ_ONCE(memcg->memory.max);

		if (page_counter_read(&memcg->memory) + STEP_PAGES + SLACK_PAGES > max)
			return false;
	}
	return true;
}

/*
 * Makes room for a step in a container that is full, as most are, with page
 * cache: takes as many pages on its account and gives them back. It reclaims for
 * that and, unlike a page fault, ends no process where it finds nothing.
 */
static bool memcg_make_room(struct mem_cgroup *memcg)
{
	struct mem_cgroup *before = set_active_memcg(memcg);
	struct page *page, *next;
	unsigned int count;
	LIST_HEAD(pages);

	for (count = 0; count < 2 * STEP_PAGES; count++) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &pages);
	}
	set_active_memcg(before);
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
	return count == 2 * STEP_PAGES;
}

/*
 * Sees to room for the copies of a step. Without, the kernel would look for
 * processes of the container to end, and the first one that it finds waits for
 * the lock that we hold.
 */
static enum ksm_mm_result room_make(struct mm_struct *mm)
{
	enum ksm_mm_result result = KSM_MM_NOTHING;
	struct mem_cgroup *memcg;

	if (si_mem_available() < totalram_pages() / 64 + SLACK_PAGES)
		return KSM_MM_HOST_LIMIT;
	memcg = get_mem_cgroup_from_mm(mm);
	if (memcg && !memcg_has_room(memcg) && !memcg_make_room(memcg))
		result = KSM_MM_CGROUP_LIMIT;
	mem_cgroup_put(memcg);
	return result;
}

/*
 * Unmerges [@start, @end), at most a step. The charge cannot fail nor end a
 * process: it may pass the cgroup's limit by a step, after room_make() saw room.
 */
static enum ksm_mm_result step_unmerge(struct vm_area_struct *vma, unsigned long start,
				       unsigned long end)
{
	enum ksm_mm_result result = room_make(vma->vm_mm);
	vm_flags_t flags = vma->vm_flags;
	unsigned int reclaim;
	struct page *page;
	int err;

	if (result)
		return result;
	/* Lets the kernel reclaim, where it is short, before it may not. */
	page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	if (!page)
		return KSM_MM_HOST_LIMIT;
	__free_page(page);
	reclaim = memalloc_noreclaim_save();
	err = ksm_madvise(vma, start, end, MADV_UNMERGEABLE, &flags);
	memalloc_noreclaim_restore(reclaim);
	return err ? KSM_MM_NO_MEMORY : KSM_MM_NOTHING;
}

/*
 * Unmerges the rest of @vma from *@at on. With @steps it ends after so many with
 * KSM_MM_BUSY and *@at where to go on.
 */
static enum ksm_mm_result area_unmerge(struct vm_area_struct *vma, unsigned long *at, int *steps)
{
	enum ksm_mm_result result;

	while ((*at = next_populated(vma->vm_mm, *at, vma->vm_end)) < vma->vm_end) {
		unsigned long end = min(*at + STEP_PAGES * PAGE_SIZE, vma->vm_end);

		if (steps && !(*steps)--)
			return KSM_MM_BUSY;
		result = step_unmerge(vma, *at, end);
		if (result)
			return result;
		*at = end;
		cond_resched();
	}
	return KSM_MM_NOTHING;
}

/* As far as one hold of the lock may go; *@at is where to go on, 0: all is done. */
static enum ksm_mm_result hold_unmark(struct mm_struct *mm, unsigned long *at, vm_flags_t wanted,
				      bool *changed)
{
	enum ksm_mm_result result = KSM_MM_NOTHING;
	int steps = HOLD_STEPS;
	struct vm_area_struct *vma;

	VMA_ITERATOR(iterator, mm, *at);

	for_each_vma(iterator, vma) {
		unsigned long from = max(*at, vma->vm_start);

		if ((vma->vm_flags & wanted) != wanted)
			continue;
		*changed = true;
		result = area_unmerge(vma, &from, &steps);
		if (result) {
			*at = from;
			return result;
		}
		/* What was merged again, meanwhile, behind *@at. */
		from = vma->vm_start;
		result = area_unmerge(vma, &from, NULL);
		if (result)
			return result;
		vma_start_write(vma);
		vm_flags_reset(vma, vma->vm_flags & ~VM_MERGEABLE);
		*at = vma->vm_end;
		cond_resched();
	}
	*at = 0;
	return KSM_MM_NOTHING;
}

enum ksm_mm_result ksm_mm_unmark(struct mm_struct *mm, bool locked_only)
{
	vm_flags_t wanted = VM_MERGEABLE | (locked_only ? VM_LOCKED : 0);
	enum ksm_mm_result result;
	unsigned long at = 0;
	bool changed = false;

	if (!hoody_mm_flag_test(mm, MMF_VM_MERGE_ANY) && !hoody_mm_flag_test(mm, MMF_VM_MERGEABLE))
		return KSM_MM_NOTHING;
	/* Of its own process's, plainly written; what it locks from now on is not meant. */
	if (locked_only && !data_race(READ_ONCE(mm->locked_vm)))
		return KSM_MM_NOTHING;
	do {
		/* Its last user has gone: what is merged goes with the rest. */
		if (atomic_read(&mm->mm_users) == 1)
			return KSM_MM_NOTHING;
		if (!mm_lock(mm))
			return KSM_MM_BUSY;
		if (!locked_only && hoody_mm_flag_test(mm, MMF_VM_MERGE_ANY)) {
			hoody_mm_flag_clear(mm, MMF_VM_MERGE_ANY);
			changed = true;
		}
		result = hold_unmark(mm, &at, wanted, &changed);
		mmap_write_unlock(mm);
		cond_resched();
	} while (result == KSM_MM_BUSY);
	if (result)
		return result;
	return changed ? KSM_MM_CHANGED : KSM_MM_NOTHING;
}
