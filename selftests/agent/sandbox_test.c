/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's sandbox from inside: each forbidden thing is tried by a process
 * (and by a thread that was there before) that has sealed itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front/sandbox.h"
#include "lib/log.h"
#include "tap.h"

#define KILLED	(-1)	/* ended by SIGSYS */

static int inherited;	/* a TCP socket from before */

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int try_create(void)
{
	return open("/tmp/hoody-sandbox-test", O_RDWR | O_CREAT, 0600) < 0 ? errno : 0;
}

static int try_exec(void)
{
	execl("/bin/true", "true", NULL);
	return errno;
}

static int try_fork(void)
{
	return fork() < 0 ? errno : 0;
}

static void *nothing(void *argument)
{
	return argument;
}

static int try_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL);
}

static int try_bind(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};

	return bind(inherited, (struct sockaddr *)&any, sizeof(any)) ? errno : 0;
}

static int try_listen(void)
{
	return listen(inherited, 1) ? errno : 0;
}

static int try_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
}

static int try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? errno : 0;
}

static int try_udp(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? errno : 0;
}

static int try_raw(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_TCP) < 0 ? errno : 0;
}

static int try_option(void)
{
	int one = 1;

	return setsockopt(inherited, SOL_IP, IP_TRANSPARENT, &one, sizeof(one)) ? errno : 0;
}

static int try_execute_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED ? errno : 0;
}

static int try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? errno : 0;
}

static int try_kill(void)
{
	return kill(1, 0) ? errno : 0;
}

static int try_unlink(void)
{
	return unlink("/tmp/hoody-sandbox-test") ? errno : 0;
}

static int try_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) < 0 ? errno : 0;
}

static int try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? errno : 0;
}

static int try_needed(void)
{
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	void *memory = malloc(1 << 22);
	bool has_memory = memory;

	free(memory);
	if (!has_memory)
		return ENOMEM;
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		return errno;
	return close(fd) ? errno : 0;
}

static const struct {
	const char	*name;
	int		(*attempt)(void);
	int		wanted;		/* errno, 0 for success, or KILLED */
} attempts[] = {
	{"open_a_file", try_open, EACCES},
	{"create_a_file", try_create, EACCES},
	{"remove_a_file", try_unlink, KILLED},
	{"run_a_program", try_exec, KILLED},
	{"fork", try_fork, KILLED},
	{"make_a_thread", try_thread, KILLED},
	{"bind_a_port", try_bind, KILLED},
	{"listen", try_listen, KILLED},
	{"unix_socket", try_unix, KILLED},
	{"netlink_socket", try_netlink, KILLED},
	{"udp_socket", try_udp, KILLED},
	{"raw_socket", try_raw, KILLED},
	{"transparent_option", try_option, KILLED},
	{"executable_memory", try_execute_memory, KILLED},
	{"ptrace", try_ptrace, KILLED},
	{"signal_a_process", try_kill, KILLED},
	{"bpf", try_bpf, KILLED},
	{"io_uring", try_io_uring, KILLED},
	{"what_it_needs_works", try_needed, 0},
};

/* The attempt made by a thread that existed when the filter was installed. */
struct early_thread {
	pthread_mutex_t	lock;
	pthread_cond_t	sealed;
	bool		go;
	int		(*attempt)(void);
	int		result;
};

static void *early_main(void *argument)
{
	struct early_thread *early = argument;

	pthread_mutex_lock(&early->lock);
	while (!early->go)
		pthread_cond_wait(&early->sealed, &early->lock);
	pthread_mutex_unlock(&early->lock);
	early->result = early->attempt();
	return NULL;
}

static void run_child(int (*attempt)(void), bool in_thread)
{
	static struct early_thread early = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.sealed = PTHREAD_COND_INITIALIZER,
	};
	static const struct rlimit no_core = {0};
	pthread_t thread;

	setrlimit(RLIMIT_CORE, &no_core);
	early.attempt = attempt;
	if (sandbox_enter())
		_exit(200);
	if (in_thread && pthread_create(&thread, NULL, early_main, &early))
		_exit(201);
	if (sandbox_seal())
		_exit(202);
	if (!in_thread)
		_exit(attempt());
	pthread_mutex_lock(&early.lock);
	early.go = true;
	pthread_cond_signal(&early.sealed);
	pthread_mutex_unlock(&early.lock);
	pthread_join(thread, NULL);
	_exit(early.result);
}

/* What became of a sealed process that made @attempt: errno, or KILLED. */
static int result_of(int (*attempt)(void), bool in_thread)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		run_child(attempt, in_thread);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 203;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : 204;
	return WEXITSTATUS(status);
}

int main(void)
{
	size_t count = sizeof(attempts) / sizeof(attempts[0]), i;
	int result;

	log_init("sandbox_test", LOG_FORMAT_TEXT);
	inherited = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	tap_plan(count + 2);
	for (i = 0; i < count; i++) {
		result = result_of(attempts[i].attempt, false);
		if (!tap_ok(result == attempts[i].wanted, "sandbox_%s", attempts[i].name))
			tap_note("got %d, wanted %d (%d: ended by SIGSYS)", result,
				 attempts[i].wanted, KILLED);
	}
	tap_ok(result_of(try_fork, true) == KILLED, "sandbox_holds_in_threads_made_before");
	tap_ok(result_of(try_needed, true) == 0, "sandbox_threads_made_before_can_work");
	return tap_done();
}
