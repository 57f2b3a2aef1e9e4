// SPDX-License-Identifier: Apache-2.0
/*
 * Who may speak to the module: the root of another user namespace may nothing,
 * whatever network namespace it stands in, and hears only of its own.
 */
#include "kmod.h"
#include "tap.h"

/* Runs @test with the rights of root of another user namespace. */
static bool as_foreign_root(int (*test)(void), int more_namespaces)
{
	int status = -1;
	pid_t child = fork();

	if (!child) {
		int fd;

		if (unshare(CLONE_NEWUSER | more_namespaces))
			_exit(40);
		fd = open("/proc/self/uid_map", O_WRONLY);
		if (write(fd, "0 0 1", 5) != 5)
			_exit(41);
		close(fd);
		_exit(test());
	}
	waitpid(child, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		tap_note("status %x", status);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* EPERM, or EOPNOTSUPP where the command does not exist in this form. */
static bool form_refused(struct kmod_nl *nl, int command, int flags, int *refusals)
{
	char buffer[512];
	int err = kmod_nl_talk(nl, kmod_nl_message(nl, buffer, command, flags), NULL, NULL);

	*refusals += err == -EPERM;
	return err == -EPERM || err == -EOPNOTSUPP;
}

/* 0, or the number of a command that was not refused with EPERM. */
static int all_commands_refused(void)
{
	struct kmod_nl nl;

	if (kmod_nl_open(&nl))
		return 50;
	for (int command = 1; command <= HOODY_CMD_MAX; command++) {
		int refusals = 0;

		if (!form_refused(&nl, command, 0, &refusals) ||
		    !form_refused(&nl, command, NLM_F_DUMP, &refusals))
			return command;
		/* Events are for the other direction: the command exists in no form. */
		if (!refusals != (command == HOODY_CMD_EVENT))
			return command;
	}
	return 0;
}

static int group_refused(void)
{
	struct kmod_nl nl;

	if (kmod_nl_open(&nl))
		return 50;
	if (!setsockopt(mnl_socket_get_fd(nl.socket), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
			&nl.group, sizeof(nl.group)))
		return 1;
	return errno == EPERM ? 0 : 2;
}

/* The owner of a namespace may listen there; it hears of nothing elsewhere. */
static int group_allowed(void)
{
	return group_refused() == 1 ? 0 : 1;
}

int main(void)
{
	if (kmod_load(""))
		kmod_die("hoody.ko cannot be loaded");
	tap_plan(4);
	tap_ok(as_foreign_root(all_commands_refused, 0), "permission_user_namespace_root_refused");
	tap_ok(as_foreign_root(all_commands_refused, CLONE_NEWNET),
	       "permission_user_namespace_root_refused_in_own_network");
	tap_ok(as_foreign_root(group_refused, 0), "permission_events_of_the_host_refused");
	tap_ok(as_foreign_root(group_allowed, CLONE_NEWNET),
	       "permission_events_of_own_network_allowed");
	kmod_unload();
	return tap_done();
}
