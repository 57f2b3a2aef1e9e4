/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a worker process or the relay: own user, no capability left in any set, no new
 * privileges, no file descriptor but standard ones and its channel, a clean
 * environment. It is this program, executed anew with --worker, so that nothing
 * of control's memory is in it.
 */
#ifndef HOODY_CONTROL_SPAWN_H
#define HOODY_CONTROL_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct spawn_identity {
	bool	change;		/* false: control has no right to change, same user */
	uid_t	uid;
	gid_t	gid;
};

/*
 * spawn_identity_find(): who a worker of @user will be. 0, -ENOENT where there
 * is no such user, -EPERM where it is root.
 */
int spawn_identity_find(const char *user, struct spawn_identity *identity);

/*
 * spawn_worker(): returns the pid and control's end of the channel in @sock
 * (non-blocking, close-on-exec), or a negative errno. A child that fails before
 * it is a worker logs why and exits with 126.
 */
pid_t spawn_worker(const struct spawn_identity *identity, int *sock);
/* The same for the relay (relay/relay.h). */
pid_t spawn_relay(const struct spawn_identity *identity, int *sock);
/* The same for a look-up of @name (control/resolve.h). */
pid_t spawn_resolver(const struct spawn_identity *identity, const char *name, int *sock);

/*
 * Another program, as a child without privileges: @sock and @program_fd become
 * the descriptors IPC_WORKER_FD and the next one, @errors the standard error, and
 * all others are closed; it starts in @directory. @environment and @arguments end
 * with NULL.
 */
struct spawn_program {
	const char	*path;
	char *const	*arguments, *const *environment;
	int		directory, sock, program_fd, errors;
};
pid_t spawn_program(const struct spawn_identity *identity, const struct spawn_program *program);

/*
 * spawn_go_first(): of a child of control's, which calls it before anything else: where
 * memory ends the kernel takes it, and not control. spawn_*() do.
 */
void spawn_go_first(void);

/*
 * spawn_restrict_control(): gives up every capability that control does not
 * need, for good, and sets no_new_privs. 0 or a negative errno.
 */
int spawn_restrict_control(void);

#endif /* HOODY_CONTROL_SPAWN_H */
