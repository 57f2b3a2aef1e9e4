// SPDX-License-Identifier: Apache-2.0
/*
 * The syscall gate and io_uring, with which a task has work done without a call of its
 * own for each: what a profile that lets rings be does not cover, and that one which
 * refuses them, as Docker's default does, leaves no way round: not by a ring from
 * before, from another user namespace, or through the other entry.
 *
 * The rings lie in memory that the actor shares with this program, which fills in what
 * is to be done and reads what came of it; the actor makes the calls.
 */
#include "tap.h"
#include "gate.h"

#include <linux/io_uring.h>
#include <sys/socket.h>

#define A	GATE_ROOT "/ring"
#define PAGE	4096
#define ENTRIES	4

/* Of headers that are older than the kernels. */
#define SETUP_NO_MMAP		(1u << 14)
#define SETUP_NO_SQARRAY	(1u << 16)

#define ALLOW	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
#define FILES	"{\"names\":[\"openat\",\"openat2\",\"open\",\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":77}"
#define RINGS	"{\"names\":[\"io_uring_setup\",\"io_uring_enter\",\"io_uring_register\"]," \
		"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":55}"
#define END	"]}"

/* A ring, and the two pages that the kernel is given for it. */
struct ring {
	struct io_uring_params	params;
	uint8_t			*rings;
	struct io_uring_sqe	*work;
	long			fd;	/* of the actor's; -errno */
};

/* At the same address in the actor. */
static struct shared {
	struct io_uring_params	params;
	char			path[32];
} *shared;
static struct kmod_nl nl;
static uint64_t generation;

static void profile(const char *json)
{
	if (gate_profile(&nl, "ring", ++generation, json) ||
	    gate_attach(&nl, 1, A, "ring", HOODY_GATE_ENFORCE))
		kmod_die(nl.text);
}

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		kmod_die("mmap");
	return memory;
}

/* Before the actor starts, which inherits the memory. */
static void ring_prepare(struct ring *ring)
{
	ring->rings = shared_memory(PAGE);
	ring->work = shared_memory(PAGE);
}

static long ring_open(struct ring *ring, const struct actor *actor)
{
	memset(&shared->params, 0, sizeof(shared->params));
	shared->params.flags = SETUP_NO_MMAP | SETUP_NO_SQARRAY;
	shared->params.cq_off.user_addr = (uintptr_t)ring->rings;
	shared->params.sq_off.user_addr = (uintptr_t)ring->work;
	ring->fd = actor_call(actor, SYS_io_uring_setup, ENTRIES, (long)&shared->params);
	ring->params = shared->params;
	return ring->fd;
}

static uint32_t *ring_word(const struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->rings + offset);
}

/* Puts the next piece of work in, and has the actor enter: what that said. */
static long ring_enter(struct ring *ring, const struct actor *actor, const struct io_uring_sqe *work)
{
	uint32_t *tail = ring_word(ring, ring->params.sq_off.tail);

	ring->work[*tail % ENTRIES] = *work;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return actor_call(actor, SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
}

/*
 * How many results there have been, and the last one. They are taken: who enters
 * waits for one that is not.
 */
static uint32_t ring_results(const struct ring *ring, int *result)
{
	uint32_t tail = __atomic_load_n(ring_word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE);
	const struct io_uring_cqe *done = (const void *)(ring->rings + ring->params.cq_off.cqes);

	__atomic_store_n(ring_word(ring, ring->params.cq_off.head), tail, __ATOMIC_RELEASE);
	if (tail)
		*result = done[(tail - 1) % ring->params.cq_entries].res;
	return tail;
}

static struct io_uring_sqe open_work(void)
{
	return (struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)shared->path,
		.open_flags = O_RDONLY,
	};
}

static struct io_uring_sqe socket_work(void)
{
	return (struct io_uring_sqe){
		.opcode = IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_DGRAM,
	};
}

static long open_call(const struct actor *actor)
{
	return actor_call(actor, SYS_openat, AT_FDCWD, (long)shared->path, O_RDONLY);
}

static void test_let_be(struct ring *ring, const struct actor *actor)
{
	const struct io_uring_sqe file = open_work(), socket = socket_work();
	int result = -1;
	uint32_t done;
	long entered;

	ring_open(ring, actor);
	tap_ok(ring->fd >= 0, "ring_opens_without_a_profile (%ld)", ring->fd);
	profile(ALLOW FILES END);
	tap_ok(open_call(actor) == -77 && actor_call(actor, SYS_socket, AF_INET, SOCK_DGRAM, 0) == -77,
	       "calls_are_refused");
	/* What docs/syscalls.md says under "Not covered", and loading such a profile too. */
	entered = ring_enter(ring, actor, &file);
	done = ring_results(ring, &result);
	tap_ok(entered == 1 && done == 1 && result >= 0,
	       "ring_that_is_let_be_opens_a_file (%ld, %d)", entered, result);
	entered = ring_enter(ring, actor, &socket);
	done = ring_results(ring, &result);
	tap_ok(entered == 1 && done == 2 && result >= 0,
	       "ring_that_is_let_be_makes_a_socket (%ld, %d)", entered, result);
}

static void test_refused(struct ring *before, struct ring *later, const struct actor *actor,
			 const struct actor *other)
{
	const struct io_uring_sqe file = open_work();
	int result;
	long entered;

	profile(ALLOW FILES "," RINGS END);
	entered = ring_enter(before, actor, &file);
	tap_ok(entered == -55 && ring_results(before, &result) == 2,
	       "ring_from_before_does_nothing_more (%ld)", entered);
	ring_open(later, actor);
	tap_ok(later->fd == -55, "ring_is_refused (%ld)", later->fd);
	tap_ok(actor_call(actor, SYS_io_uring_register, before->fd, 0, 0, 0) == -55,
	       "ring_from_before_gets_no_resources");
	tap_ok(actor_call32(actor, 425, ENTRIES, 0) == -55 && actor_call32(actor, 426, before->fd, 1, 1, 0) == -55,
	       "ring_is_refused_through_int80");
	/* Another, because the ring's workers are threads, and who has threads gets no namespace. */
	tap_ok(!actor_call(other, SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) && ring_open(later, other) == -55,
	       "ring_is_refused_in_a_new_user_namespace");
	tap_ok(open_call(actor) == -77, "calls_are_refused_as_before");
	tap_ok(gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_io_uring_setup) == 2 &&
	       gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_io_uring_enter) == 1 &&
	       gate_count(&nl, 1, HOODY_ARCH_IA32, 425) == 1, "rings_refused_are_counted");
	/* What it was given to do meanwhile is done when it may enter again. */
	gate_attach(&nl, 1, A, NULL, 0);
	tap_ok(actor_call(actor, SYS_io_uring_enter, before->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) == 1 &&
	       ring_results(before, &result) == 3 && result >= 0 && ring_open(later, actor) >= 0,
	       "rings_work_again_without_a_profile");
}

int main(void)
{
	struct ring before, later;
	struct actor actor, other;

	tap_plan(13);
	shared = shared_memory(PAGE);
	snprintf(shared->path, sizeof(shared->path), "/etc/passwd");
	ring_prepare(&before);
	ring_prepare(&later);
	gate_begin(&nl, A);
	actor = actor_start(A, NULL);
	other = actor_start(A, NULL);
	test_let_be(&before, &actor);
	test_refused(&before, &later, &actor, &other);
	actor_stop(&actor);
	actor_stop(&other);
	tap_ok(!gate_end(&nl, "ring", A), "module_goes");
	return tap_done();
}
