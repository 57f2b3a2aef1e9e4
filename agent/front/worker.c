/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker process's main thread: it talks to control, and passes on to the
 * threads what all of them have to do before control gets its answer.
 *
 *	listeners, certificate, image -> threads -> sandbox -> IPC_READY -> serving
 *	serving -> (IPC_DRAIN, or control is gone) -> draining -> end
 */
#include "front/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front/limit.h"
#include "front/pass.h"
#include "front/replay.h"
#include "front/quic.h"
#include "front/sandbox.h"
#include "front/thread.h"
#include "lib/keys.h"
#include "lib/log.h"

/* For clients that are being served when control goes away without a word. */
#define ORPHAN_DEADLINE		30000
/* Milliseconds between looks at how much memory is in use. */
#define MEMORY_CHECK		250
#define MEBIBYTE		(1024 * 1024)

struct worker {
	struct front_board		board;
	struct front_thread		**threads;
	unsigned int			threads_count;
	struct ipc_listeners		listeners;
	int				listener_fds[IPC_FDS_MAX];
	size_t				listener_count;	/* not given to threads yet */
	struct front_tls		*tls;
	struct image			*image;
	struct audit_ring		*rings;		/* NULL: no audit */
	unsigned int			rings_count;
	int				memory_fd;	/* /proc/self/statm */
	long				page_size;
	bool				ready, draining, orphaned;
};

static void close_all(const int *fds, size_t count)
{
	while (count)
		close(fds[--count]);
}

/* Has every thread do @command, and waits until it is done. */
static void command_all(struct worker *worker, const struct front_command *command)
{
	struct front_board *board = &worker->board;
	unsigned int i;

	pthread_mutex_lock(&board->lock);
	for (i = 0; i < worker->threads_count; i++)
		front_thread_command(worker->threads[i], command);
	while (board->pending)
		pthread_cond_wait(&board->changed, &board->lock);
	pthread_mutex_unlock(&board->lock);
}

static int take_listeners(struct worker *worker, const void *payload, size_t length,
			  const int *fds, size_t count)
{
	const struct ipc_listeners *listeners = payload;

	if (worker->listener_count || worker->ready || length != sizeof(*listeners) ||
	    !listeners->threads || !listeners->addresses ||
	    listeners->addresses > FRONT_LISTENERS_MAX ||
	    (uint64_t)(listeners->slot + 1) * listeners->threads > QUIC_CID_SOCKETS ||
	    count != (size_t)listeners->threads * listeners->addresses)
		return -EINVAL;
	worker->listeners = *listeners;
	memcpy(worker->listener_fds, fds, count * sizeof(*fds));
	worker->listener_count = count;
	return 0;
}

/* The content of @fd; the caller frees and, before, wipes it. */
static char *read_file(int fd, size_t *len)
{
	struct stat st;
	char *bytes;
	ssize_t n;

	if (fstat(fd, &st) || st.st_size <= 0 || st.st_size > KEYS_BYTES_MAX)
		return NULL;
	bytes = malloc(st.st_size);
	if (!bytes)
		return NULL;
	*len = st.st_size;
	n = pread(fd, bytes, *len, 0);
	if (n == (ssize_t)*len)
		return bytes;
	explicit_bzero(bytes, *len);
	free(bytes);
	return NULL;
}

static int take_certificate(struct worker *worker, const int *fds, size_t count)
{
	struct front_command command = {.type = FRONT_COMMAND_TLS};
	struct front_tls *tls;
	const char *fault;
	size_t len = 0;
	char *pem;

	if (count != 1)
		return -EINVAL;
	pem = read_file(fds[0], &len);
	if (!pem)
		return -EINVAL;
	tls = front_tls_create(pem, len, worker->tls, &fault);
	explicit_bzero(pem, len);
	free(pem);
	if (!tls) {
		log_error("event=certificate_refused error=\"%s\"", fault);
		return -EINVAL;
	}
	command.tls = tls;
	command_all(worker, &command);
	front_tls_put(worker->tls);
	worker->tls = tls;
	return 0;
}

static int take_image(struct worker *worker, const int *fds, size_t count)
{
	struct front_command command = {.type = FRONT_COMMAND_IMAGE};
	struct image *image;

	if (count != 1)
		return -EINVAL;
	image = image_open(fds[0]);
	if (!image)
		return -errno;
	if (authorize_check_image(image)) {
		image_put(image);
		return -EBADMSG;
	}
	if (worker->ready &&
	    image_header(image)->settings.threads != worker->threads_count) {
		/* Sockets are bound to threads: a new worker has to be started for that. */
		log_error("event=image_refused error=\"the number of threads changed\" "
			  "hint=\"restart the agent\"");
		image_put(image);
		return -EINVAL;
	}
	command.image = image;
	command_all(worker, &command);
	image_put(worker->image);
	worker->image = image;
	return 0;
}

/* Both descriptors stay the caller's, but for the eventfd of a success. */
static int take_audit(struct worker *worker, const void *payload, size_t length, const int *fds,
		      size_t count)
{
	const struct ipc_audit *audit = payload;
	struct audit_ring *rings;
	int err;

	if (worker->ready || worker->rings || !worker->listener_count ||
	    length != sizeof(*audit) || count != 2 || audit->rings != worker->listeners.threads)
		return -EINVAL;
	rings = calloc(audit->rings, sizeof(*rings));
	if (!rings)
		return -ENOMEM;
	err = audit_ring_map(fds[0], rings, audit->rings, audit->records, fds[1]);
	if (err) {
		free(rings);
		return err;
	}
	worker->rings = rings;
	worker->rings_count = audit->rings;
	return 0;
}

static int take_passes(struct worker *worker, const int *fds, size_t count)
{
	if (worker->ready || worker->board.passes || !worker->listener_count || count != 1)
		return -EINVAL;
	worker->board.passes = pass_table_create(fds[0], worker->listeners.slot);
	return worker->board.passes ? 0 : -errno;
}

static void drain(struct worker *worker, uint32_t deadline, bool replaced)
{
	struct front_command command = {
		.type = FRONT_COMMAND_DRAIN, .deadline = deadline, .replaced = replaced,
	};

	worker->draining = true;
	command_all(worker, &command);
}

static int take_drain(struct worker *worker, const void *payload, size_t length)
{
	const struct ipc_drain *request = payload;

	if (length != sizeof(*request) || !worker->ready)
		return -EINVAL;
	drain(worker, request->deadline_ms, request->replaced);
	return 0;
}

static int send_stats(struct worker *worker, uint64_t sequence)
{
	struct ipc_stats sum;
	unsigned int i;

	memset(&sum, 0, sizeof(sum));
	for (i = 0; i < worker->threads_count; i++) {
#define X(name) sum.name += __atomic_load_n(&worker->threads[i]->stats.name, __ATOMIC_RELAXED);
		IPC_COUNTERS(X)
#undef X
	}
	return ipc_send(IPC_WORKER_FD, IPC_STATS_REPLY, sequence, &sum, sizeof(sum), NULL, 0);
}

static int needs_certificate(const struct worker *worker)
{
	unsigned int i;

	for (i = 0; i < worker->listeners.addresses; i++) {
		if (worker->listeners.flags[i] & IPC_LISTENER_TLS)
			return true;
	}
	return false;
}

/* Thread @index gets its socket of every address. */
static int start_thread(struct worker *worker, unsigned int index)
{
	worker->threads[index] = front_thread_create(&worker->board, worker->image, worker->tls,
						     &worker->listeners, worker->listener_fds,
						     index);
	if (!worker->threads[index])
		return -errno;
	/* It waits for board->started, which is set under a lock. */
	if (worker->rings)
		worker->threads[index]->audit = &worker->rings[index];
	worker->threads_count = index + 1;
	return 0;
}

/* Once everything is there: threads, sandbox, ready. */
static int start(struct worker *worker)
{
	unsigned int i;
	int err;

	if (worker->ready || !worker->listener_count || !worker->image ||
	    (needs_certificate(worker) && !worker->tls))
		return 0;
	if (image_header(worker->image)->settings.threads != worker->listeners.threads) {
		log_error("event=start_failed error=\"listeners for %u threads, image for %u\"",
			  worker->listeners.threads,
			  image_header(worker->image)->settings.threads);
		return -EINVAL;
	}
	worker->threads = calloc(worker->listeners.threads, sizeof(struct front_thread *));
	if (!worker->threads)
		return -ENOMEM;
	err = quic_prepare();
	worker->board.limits = limit_table_create();
	/* Without shared memory they are good here, and nowhere else. */
	if (!worker->board.passes)
		worker->board.passes = pass_table_create(-1, 0);
	worker->board.replays = replay_table_create();
	if (!err && (!worker->board.limits || !worker->board.passes || !worker->board.replays))
		err = -ENOMEM;
	/* Behind the sandbox there are no files. */
	worker->page_size = sysconf(_SC_PAGESIZE);
	worker->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (!err && worker->memory_fd < 0)
		err = -errno;
	if (!err)
		err = sandbox_enter();
	/* One for up to four threads: a check is rare, and remembered. */
	if (!err) {
		worker->board.helper = auth_helper_create((worker->listeners.threads + 3) / 4,
							  AUTHORIZE_QUEUE_MAX,
							  AUTHORIZE_CLIENT_MAX);
		err = worker->board.helper ? 0 : -errno;
	}
	for (i = 0; !err && i < worker->listeners.threads; i++)
		err = start_thread(worker, i);
	if (!err)
		err = sandbox_seal();
	if (err) {
		log_error("event=start_failed error=\"%s\"", strerror(-err));
		return err;
	}
	worker->ready = true;
	pthread_mutex_lock(&worker->board.lock);
	worker->board.started = true;
	pthread_cond_broadcast(&worker->board.changed);
	pthread_mutex_unlock(&worker->board.lock);
	log_info("event=worker_ready threads=%u", worker->threads_count);
	return ipc_send(IPC_WORKER_FD, IPC_READY, 0, NULL, 0, NULL, 0);
}

/* Answers one message. Below 0: the worker cannot go on. */
static int handle(struct worker *worker, const struct ipc_message *message, const void *payload,
		  const int *fds, size_t count)
{
	struct ipc_ack ack = {0};
	int err;

	switch (message->type) {
	case IPC_LISTENERS:
		err = take_listeners(worker, payload, message->length, fds, count);
		if (err)
			close_all(fds, count);
		return err ? err : start(worker);
	case IPC_CERTIFICATE:
		ack.status = take_certificate(worker, fds, count);
		break;
	case IPC_IMAGE:
		ack.status = take_image(worker, fds, count);
		break;
	case IPC_DRAIN:
		ack.status = take_drain(worker, payload, message->length);
		break;
	case IPC_AUDIT:
		ack.status = take_audit(worker, payload, message->length, fds, count);
		/* The eventfd is in use as long as the process lives. */
		count -= ack.status == 0;
		break;
	case IPC_PASSES:
		ack.status = take_passes(worker, fds, count);
		break;
	case IPC_STATS:
		close_all(fds, count);
		return send_stats(worker, message->sequence);
	default:
		ack.status = -EOPNOTSUPP;
		break;
	}
	close_all(fds, count);
	err = ipc_send(IPC_WORKER_FD, IPC_ACK, message->sequence, &ack, sizeof(ack), NULL, 0);
	return err ? err : start(worker);
}

static int receive(struct worker *worker)
{
	union {
		struct ipc_listeners	listeners;
		struct ipc_drain	drain;
		struct ipc_audit	audit;
	} payload;
	struct ipc_message message;
	int fds[IPC_FDS_MAX];
	size_t count = 0;
	ssize_t len;

	len = ipc_receive(IPC_WORKER_FD, &message, &payload, sizeof(payload), fds, &count);
	if (len == -EAGAIN || len == -EINTR)
		return 0;
	if (len < 0)
		return len;
	return handle(worker, &message, &payload, fds, count);
}

/* Control is gone: nobody can revoke anything any more, so we do not stay. */
static void orphaned(struct worker *worker, int err)
{
	log_warning("event=control_gone error=\"%s\"", strerror(-err));
	worker->orphaned = true;
	if (worker->ready && !worker->draining)
		drain(worker, ORPHAN_DEADLINE, false);
}

static unsigned int running(struct worker *worker)
{
	unsigned int count;

	pthread_mutex_lock(&worker->board.lock);
	count = worker->board.running;
	pthread_mutex_unlock(&worker->board.lock);
	return count;
}

/*
 * Memory of our own, without what is shared (image, audit rings, passes): over
 * the limit nothing new is taken on, until an eighth of it is free again. What
 * cannot be read counts as full.
 */
static void check_memory(struct worker *worker)
{
	const uint64_t most =
		(uint64_t)image_header(worker->image)->settings.memory_max * MEBIBYTE;
	bool full = worker->board.memory_full;
	unsigned long resident = 0, shared = 0;
	uint64_t used = UINT64_MAX;
	char text[128];
	ssize_t len = pread(worker->memory_fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	if (sscanf(text, "%*u %lu %lu", &resident, &shared) == 2 && resident >= shared)
		used = (uint64_t)(resident - shared) * worker->page_size;
	full = most && used > (full ? most - most / 8 : most);
	if (full == worker->board.memory_full)
		return;
	__atomic_store_n(&worker->board.memory_full, full, __ATOMIC_RELAXED);
	if (full)
		log_warning("event=memory_full used_mib=%llu hint=\"nothing new is taken on; see "
			    "memory_max in hoody-agent.conf(5)\"",
			    (unsigned long long)(used / MEBIBYTE));
	else
		log_info("event=memory_free used_mib=%llu", (unsigned long long)(used / MEBIBYTE));
}

/* Until control has no more to say and the threads have nothing more to do. */
static void serve(struct worker *worker)
{
	struct pollfd fds[2] = {
		{.fd = IPC_WORKER_FD, .events = POLLIN},
		{.fd = worker->board.ended_fd, .events = POLLIN},
	};
	uint64_t ended;
	int err;

	while (!worker->draining || running(worker)) {
		int count = poll(fds, 2, worker->ready ? MEMORY_CHECK : -1);

		if (worker->ready)
			check_memory(worker);
		if (count <= 0)
			continue;
		if (fds[1].revents && read(worker->board.ended_fd, &ended, sizeof(ended)) < 0)
			log_debug("event=eventfd error=\"%s\"", strerror(errno));
		if (!fds[0].revents)
			continue;
		err = receive(worker);
		if (err < 0) {
			orphaned(worker, err);
			fds[0].fd = -1;
			if (!worker->ready)
				return;
		}
	}
}

int worker_run(void)
{
	static struct worker worker;	/* zeroed; too large for a stack */
	unsigned int i;

	signal(SIGPIPE, SIG_IGN);
	/* A terminal's ^C is for control, which will tell us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	pthread_mutex_init(&worker.board.lock, NULL);
	pthread_cond_init(&worker.board.changed, NULL);
	worker.board.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker.board.ended_fd < 0) {
		log_error("event=start_failed error=\"no eventfd\"");
		return EXIT_FAILURE;
	}
	serve(&worker);
	if (!worker.ready)
		close_all(worker.listener_fds, worker.listener_count);
	/* All threads have ended: what is given back now is theirs to free. */
	if (worker.ready)
		auth_helper_destroy(worker.board.helper);
	for (i = 0; worker.ready && i < worker.threads_count; i++)
		front_thread_destroy(worker.threads[i]);
	limit_table_destroy(worker.board.limits);
	pass_table_destroy(worker.board.passes);
	replay_table_destroy(worker.board.replays);
	free(worker.threads);
	audit_ring_unmap(worker.rings, worker.rings_count);
	free(worker.rings);
	front_tls_put(worker.tls);
	image_put(worker.image);
	log_info("event=worker_end");
	return worker.ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
