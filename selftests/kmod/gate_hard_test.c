// SPDX-License-Identifier: Apache-2.0
/*
 * The syscall gate where calls are not what they seem: interrupted and restarted
 * ones, 32-bit programs by their fast entry, a filter that the application has set
 * itself, cgroups of many levels, and a container of a thousand tasks.
 */
#include "tap.h"
#include "gate.h"

#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define A	GATE_ROOT "/hard"
#define TASKS	1000

#define ALLOW	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
#define DENY(name, errno)	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" errno "}"
#define DENY_IF(name, errno, value)	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" \
	errno ",\"args\":[{\"index\":0,\"value\":" value ",\"op\":\"SCMP_CMP_EQ\"}]}"
#define END	"]}"

struct shared {
	int		signals;	/* that the actor has handled */
	int		write_at;	/* the one whose handler writes to the pipe */
	unsigned int	refused, passed;
};

static struct shared *shared;
static struct kmod_nl nl;
static uint64_t generation;

static void profile(const char *json)
{
	if (gate_profile(&nl, "hard", ++generation, json))
		kmod_die(nl.text);
}

static void attach(void)
{
	if (gate_attach(&nl, 1, A, "hard", HOODY_GATE_ENFORCE))
		kmod_die(nl.text);
}

/* --- interrupted calls --- */

static void on_signal(int number)
{
	if (++shared->signals == shared->write_at)
		gate_syscall(SYS_write, 5, (long)"x", 1, 0, 0, 0);
}

/* In the actor: a pipe as 4 and 5, and a handler after which calls are restarted. */
static void prepare_pipe(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	int pair[2];

	if (pipe(pair) || pair[0] != 4 || pair[1] != 5 || sigaction(SIGUSR1, &action, NULL))
		_exit(1);
}

static void start_call(const struct actor *actor, long nr, long a, long b, long c, long d)
{
	struct actor_request request = { .nr = nr, .args = { a, b, c, d } };

	if (send(actor->fd, &request, sizeof(request), 0) != sizeof(request))
		kmod_die("send");
}

static long end_call(const struct actor *actor)
{
	long result;

	if (recv(actor->fd, &result, sizeof(result), MSG_WAITALL) != sizeof(result))
		return ACTOR_DEAD;
	return result;
}

/* Until the first line of /proc/PID/@file holds @text; false where it does not. */
static bool becomes(pid_t pid, const char *file, const char *text)
{
	uint64_t end = limit_end_us(20);
	char path[64], content[512];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	while (limit_now_us() < end) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = read(fd, content, sizeof(content) - 1);
		close(fd);
		content[len > 0 ? len : 0] = '\0';
		if (strstr(content, text))
			return true;
		sched_yield();
	}
	return false;
}

/* Interrupts the actor, which sleeps in a read; it sleeps again when this returns. */
static bool interrupt(const struct actor *actor, int signals)
{
	uint64_t end = limit_end_us(20);

	if (!becomes(actor->pid, "wchan", "pipe_read") || kill(actor->pid, SIGUSR1))
		return false;
	while (__atomic_load_n(&shared->signals, __ATOMIC_ACQUIRE) < signals) {
		if (limit_now_us() > end)
			return false;
		sched_yield();
	}
	return true;
}

static void test_restart(void)
{
	/* Static: the actor has its own, at the same place. */
	static const struct timespec sleep = { .tv_sec = 60 };
	static char byte;
	struct actor actor = actor_start(A, prepare_pipe);

	/* Hooked, and let through: the argument is looked at. */
	profile(ALLOW DENY_IF("read", "77", "9999") END);
	attach();
	shared->write_at = 2;
	start_call(&actor, SYS_read, 4, (long)&byte, 1, 0);
	tap_ok(interrupt(&actor, 1) && interrupt(&actor, 2), "restart_interrupts_a_hooked_call_twice");
	tap_ok(end_call(&actor) == 1, "restart_lets_it_go_on");
	start_call(&actor, SYS_read, 4, (long)&byte, 1, 0);
	becomes(actor.pid, "wchan", "pipe_read");
	profile(ALLOW DENY_IF("read", "77", "4") END);
	tap_ok(becomes(actor.pid, "wchan", "pipe_read"), "restart_new_profile_leaves_who_sleeps_already");
	tap_ok(interrupt(&actor, 3) && end_call(&actor) == -77, "restart_is_decided_anew");

	/* What goes on by a call of another number is decided as that one. */
	profile(ALLOW DENY("restart_syscall", "55") END);
	start_call(&actor, SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&sleep, 0);
	tap_ok(becomes(actor.pid, "wchan", "nanosleep") && !kill(actor.pid, SIGSTOP) &&
	       becomes(actor.pid, "status", "T (stopped)") && !kill(actor.pid, SIGCONT) &&
	       end_call(&actor) == -55, "restart_syscall_is_a_call");
	actor_stop(&actor);
}

/* --- a filter of the application's own --- */

static void prepare_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 33),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(1);
}

static void test_filter(void)
{
	struct actor actor = actor_start(A, prepare_filter);

	profile(ALLOW DENY("getppid", "77") "," DENY("getpgrp", "55") END);
	attach();
	tap_ok(actor_call(&actor, SYS_getppid) == -33 &&
	       !gate_count(&nl, 1, HOODY_ARCH_X86_64, SYS_getppid), "filter_has_the_first_word");
	tap_ok(actor_call(&actor, SYS_getpgrp) == -55, "filter_that_allows_takes_nothing_away");
	actor_stop(&actor);
}

/* --- a 32-bit program --- */

/* getppid through the entry that the kernel names in AT_SYSINFO; exit status 0 for -77. */
static const uint8_t fast_entry[] = {
	0x89, 0xe6,			/*	mov    %esp,%esi		*/
	0x8b, 0x06,			/*	mov    (%esi),%eax	argc	*/
	0x8d, 0x74, 0x86, 0x08,		/*	lea    8(%esi,%eax,4),%esi	*/
	0xad,				/* 8:	lods   (%esi),%eax	envp	*/
	0x85, 0xc0,			/*	test   %eax,%eax		*/
	0x75, 0xfb,			/*	jne    8			*/
	0x8b, 0x06,			/* d:	mov    (%esi),%eax	auxv	*/
	0x8b, 0x7e, 0x04,		/*	mov    4(%esi),%edi		*/
	0x83, 0xc6, 0x08,		/*	add    $8,%esi			*/
	0x85, 0xc0,			/*	test   %eax,%eax		*/
	0x74, 0x15,			/*	je     2e			*/
	0x83, 0xf8, 0x20,		/*	cmp    $AT_SYSINFO,%eax		*/
	0x75, 0xef,			/*	jne    d			*/
	0xb8, 0x40, 0x00, 0x00, 0x00,	/*	mov    $getppid,%eax		*/
	0xff, 0xd7,			/*	call   *%edi			*/
	0x83, 0xf8, 0xb3,		/*	cmp    $-77,%eax		*/
	0x75, 0x0b,			/*	jne    35			*/
	0x31, 0xdb,			/*	xor    %ebx,%ebx		*/
	0xeb, 0x0c,			/*	jmp    3a			*/
	0xbb, 0x02, 0x00, 0x00, 0x00,	/* 2e:	mov    $2,%ebx			*/
	0xeb, 0x05,			/*	jmp    3a			*/
	0xbb, 0x01, 0x00, 0x00, 0x00,	/* 35:	mov    $1,%ebx			*/
	0xb8, 0x01, 0x00, 0x00, 0x00,	/* 3a:	mov    $exit,%eax		*/
	0xcd, 0x80,			/*	int    $0x80			*/
};

/* The program in a memfd; its descriptor. */
static int fast_program(void)
{
	struct {
		Elf32_Ehdr	head;
		Elf32_Phdr	part;
		uint8_t		code[sizeof(fast_entry)];
	} file = {
		.head = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT,
			.e_phoff = sizeof(Elf32_Ehdr), .e_ehsize = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1,
			.e_entry = 0x10000 + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
		},
		.part = {
			.p_type = PT_LOAD, .p_vaddr = 0x10000, .p_paddr = 0x10000,
			.p_flags = PF_R | PF_X, .p_align = 0x1000,
			.p_filesz = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr) + sizeof(fast_entry),
			.p_memsz = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr) + sizeof(fast_entry),
		},
	};
	int fd = memfd_create("fast", MFD_CLOEXEC);

	memcpy(file.code, fast_entry, sizeof(fast_entry));
	if (fd < 0 || write(fd, &file, file.part.p_filesz) != (ssize_t)file.part.p_filesz)
		kmod_die("memfd");
	return fd;
}

static int fast_status(int fd)
{
	char *const arguments[] = { "fast", NULL };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		gate_move(A, 0);
		fexecve(fd, arguments, arguments + 1);
		_exit(100);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_fast_entry(void)
{
	int fd = fast_program(), status;

	profile(ALLOW DENY("getppid", "77") END);
	gate_attach(&nl, 1, A, NULL, 0);
	status = fast_status(fd);
	tap_ok(status == 1, "fast_entry_without_a_profile_goes_through (%d)", status);
	attach();
	status = fast_status(fd);
	tap_ok(!status, "fast_entry_of_a_32_bit_program_is_refused (%d)", status);
	close(fd);
}

/* --- deep nesting --- */

#define LEVELS	70	/* more than the gate has bits for */

static void test_nesting(void)
{
	struct actor actor = actor_start(A, NULL);
	size_t length[LEVELS];
	char path[512] = A, above[512];

	profile(ALLOW DENY("getppid", "77") END);
	for (int i = 0; i < LEVELS; i++) {
		length[i] = strlen(path);
		memcpy(above, path, sizeof(above));
		strcat(path, "/n");
		gate_cgroup(path);
		if (i == LEVELS - 2)
			gate_attach(&nl, 1, path, "hard", HOODY_GATE_ENFORCE);
	}
	gate_move(path, actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) == -77, "nesting_holds_seventy_levels_deep");
	gate_move(above, actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) == -77, "nesting_holds_in_the_cgroup_itself");
	above[length[LEVELS - 2]] = '\0';
	gate_move(above, actor.pid);
	tap_ok(actor_call(&actor, SYS_getppid) > 0, "nesting_leaves_the_level_above");
	actor_stop(&actor);
	for (int i = LEVELS - 1; i >= 0; i--) {
		rmdir(path);
		path[length[i]] = '\0';
	}
}

/* --- many tasks --- */

static void test_tasks(void)
{
	uint64_t start;
	int gate[2], status, made = 0;
	char byte;

	profile(ALLOW DENY("getppid", "77") END);
	gate_attach(&nl, 1, A, NULL, 0);
	if (pipe(gate))
		kmod_die("pipe");
	fflush(stdout);
	for (int i = 0; i < TASKS; i++) {
		pid_t pid = fork();

		if (!pid) {
			close(gate[1]);
			gate_syscall(SYS_read, gate[0], (long)&byte, 1, 0, 0, 0);
			__atomic_add_fetch(gate_syscall(SYS_getppid, 0, 0, 0, 0, 0, 0) == -77 ?
						   &shared->refused : &shared->passed,
					   1, __ATOMIC_RELAXED);
			_exit(0);
		}
		if (pid > 0)
			gate_move(A, pid);
		made += pid > 0;
	}
	start = limit_now_us();
	attach();
	tap_note("attached to %d tasks in %llu us", made, (unsigned long long)(limit_now_us() - start));
	close(gate[1]);
	close(gate[0]);
	while (wait(&status) > 0)
		;
	tap_ok(made == TASKS && shared->refused == TASKS && !shared->passed,
	       "tasks_are_all_refused (%u of %d)", shared->refused, made);
}

int main(void)
{
	tap_plan(14);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	gate_begin(&nl, A);
	test_restart();
	test_filter();
	test_fast_entry();
	test_nesting();
	test_tasks();
	tap_ok(!gate_end(&nl, "hard", A), "module_goes");
	return tap_done();
}
