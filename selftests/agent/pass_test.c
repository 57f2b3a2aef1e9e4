/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes that workers share, as processes: what one issues is good with the other,
 * once; what is forgotten, forged, or was left behind by one that died, is not.
 */
#include "front/pass.h"
#include "lib/pass_memory.h"
#include "tap.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int memory;
static struct pass_table *table;	/* of region 0 */

static struct pass_claim make_claim(uint16_t instance)
{
	struct pass_claim claim;

	memset(&claim, 0, sizeof(claim));
	memset(claim.container, 0xab, sizeof(claim.container));
	strcpy(claim.service, "http");
	claim.instance = instance;
	claim.client.address.family = AF_INET;
	return claim;
}

static bool issue(struct pass_table *from, uint16_t instance, char *text,
		  struct pass_ticket *ticket)
{
	struct pass_claim claim = make_claim(instance);

	return pass_issue(from, &claim, text, ticket) == 0;
}

static bool redeem(struct pass_table *with, const char *text, uint16_t instance)
{
	struct pass_claim claim, wanted = make_claim(instance);

	return pass_redeem(with, text, PASS_TEXT_LEN, &claim) &&
	       !memcmp(claim.container, wanted.container, sizeof(claim.container)) &&
	       !memcmp(claim.middleware, wanted.middleware, sizeof(claim.middleware)) &&
	       !strcmp(claim.service, wanted.service) && claim.instance == wanted.instance &&
	       claim.to_go == wanted.to_go && claim.client.port == wanted.client.port &&
	       address_equal(&claim.client.address, &wanted.client.address);
}

/* In a process of its own, as a worker that follows. */
static bool redeem_elsewhere(const char *text, uint16_t instance)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct pass_table *other = pass_table_create(memory, 1);

		_exit(other && redeem(other, text, instance) ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_between_workers(void)
{
	char text[PASS_TEXT_LEN], late[PASS_TEXT_LEN];
	struct pass_ticket ticket, late_ticket;
	bool issued = issue(table, 7, text, &ticket) && issue(table, 8, late, &late_ticket);

	tap_ok(issued && redeem_elsewhere(text, 7), "pass_is_good_with_the_next_worker");
	tap_ok(!redeem(table, text, 7) && !redeem_elsewhere(text, 7), "pass_is_good_once_among_all");
	pass_withdraw(table, &ticket);
	pass_withdraw(table, &late_ticket);
	tap_ok(!redeem_elsewhere(late, 8), "pass_withdrawn_is_withdrawn_everywhere");
}

/* A worker that ends in the middle of its work, and one more in its slot. */
static void test_death(void)
{
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pass_ticket ticket;
	struct pass_table *next;
	pid_t pid = fork();

	if (pid == 0) {
		struct pass_table *other = pass_table_create(memory, 2);

		_exit(!other || !issue(other, 9, shared, &ticket) ||
		      !issue(other, 9, shared + 1024, &ticket));
	}
	waitpid(pid, NULL, 0);
	tap_ok(redeem(table, shared, 9), "pass_waits_for_nobody");
	pass_memory_forget(memory, 2);
	tap_ok(!redeem(table, shared + 1024, 9), "pass_of_a_worker_that_is_gone_is_nothing");
	next = pass_table_create(memory, 2);
	tap_ok(next && issue(next, 10, shared, &ticket) && !redeem(table, shared + 1024, 9) &&
	       redeem(table, shared, 10), "pass_slot_begins_anew");
	pass_table_destroy(next);
}

static void test_forged(void)
{
	char text[PASS_TEXT_LEN];
	struct pass_ticket ticket;
	unsigned int taken = 0;

	issue(table, 11, text, &ticket);
	for (size_t i = 0; i < PASS_TEXT_LEN; i++) {
		const char right = text[i];

		text[i] = right == '0' ? '1' : '0';
		taken += redeem(table, text, 11);
		/* A number of a slot far behind the last region. */
		text[i] = 'f';
		taken += right != 'f' && redeem(table, text, 11);
		text[i] = right;
	}
	tap_ok(!taken, "pass_forged_is_refused");
	tap_ok(redeem(table, text, 11), "pass_is_good_after_that");
	pass_withdraw(table, &ticket);
}

static void test_full(void)
{
	static struct pass_ticket tickets[PASS_MAX + 1];
	char text[PASS_TEXT_LEN], first[PASS_TEXT_LEN];
	unsigned int count = 0;

	issue(table, 12, first, &tickets[0]);
	while (count < PASS_MAX - 1 && issue(table, 12, text, &tickets[count + 1]))
		count++;
	tap_ok(count == PASS_MAX - 1 && !issue(table, 12, text, &tickets[PASS_MAX]),
	       "pass_table_full_refuses");
	for (unsigned int i = 0; i < PASS_MAX / 2; i++)
		pass_withdraw(table, &tickets[i]);
	tap_ok(issue(table, 13, text, &tickets[0]) && redeem(table, text, 13),
	       "pass_room_comes_with_ends");
}

static void test_memory(void)
{
	int open = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	tap_ok(ftruncate(open, PASS_MEMORY_BYTES) == 0 && !pass_table_create(open, 0),
	       "pass_memory_that_could_shrink_is_refused");
	tap_ok(ftruncate(memory, 4096) < 0, "pass_memory_does_not_shrink");
	tap_ok(!pass_table_create(memory, PASS_REGIONS), "pass_no_region_behind_the_last");
	close(open);
}

int main(void)
{
	tap_plan(13);
	memory = pass_memory_create();
	table = memory < 0 ? NULL : pass_table_create(memory, 0);
	if (!table)
		return 1;
	test_between_workers();
	test_death();
	test_forged();
	test_full();
	test_memory();
	pass_table_destroy(table);
	close(memory);
	return tap_done();
}
