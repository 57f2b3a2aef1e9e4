// SPDX-License-Identifier: Apache-2.0
/* One order, see acme_order.h; the hook's own side is acme_hook.c. */
#include "control/acme_order.h"
#include "control/certificates.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORDER_US	(300 * 1000000ull)	/* an account, or a certificate with its challenge */
#define CHALLENGE_US	(30 * 1000000ull)	/* until workers have it */
#define ERROR_MAX	256
#define ERRORS_BYTES_MAX (64 * 1024)	/* of one child; more is not read */

struct acme_order {
	struct control	*control;
	char		domain[KEYS_NAME_MAX];
	int		directory;
	struct spawn_identity identity;
	bool		account;		/* the child makes the account */
	acme_order_done	*done;
	void		*context;
	pid_t		pid;			/* 0: none */
	int		sock, errors;		/* -1: none */
	uint64_t	wanted;			/* workers are to have it; 0: nothing is */
	char		error[ERROR_MAX];	/* the last line that the child said */
	size_t		error_len, error_total;
	bool		error_ended;		/* that line is complete */
	sd_event_source	*child, *hook, *reader, *timer, *challenge;
};

/* ---- challenges ---- */

static void answer(struct acme_order *order, char status)
{
	order->wanted = 0;
	order->challenge = sd_event_source_disable_unref(order->challenge);
	if (send(order->sock, &status, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		log_warning("the hook does not listen: domain=%s error=\"%s\"", order->domain,
			    strerror(errno));
}

void acme_order_progress(struct acme_order *order)
{
	if (order->wanted && supervise_certificate_acked(order->control->supervisor) >= order->wanted)
		answer(order, 0);
}

static int on_late(sd_event_source *source, uint64_t usec, void *context)
{
	struct acme_order *order = context;

	log_error("no worker has taken the challenge: domain=%s", order->domain);
	answer(order, 1);
	return 0;
}

static bool has_listener(const struct config *config, bool tls)
{
	for (unsigned int i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (tls ? listener->tls && !listener->quic : listener->redirects)
			return true;
	}
	return false;
}

/* Whether we can answer challenges of this type. */
static bool is_offered(const struct config *config, const char *type, enum keys_kind *kind)
{
	if (!strcmp(type, "http-01")) {
		*kind = KEYS_HTTP;
		return config->acme_challenge != CONFIG_CHALLENGE_ALPN && has_listener(config, false);
	}
	*kind = KEYS_ALPN;
	return !strcmp(type, "tls-alpn-01") && config->acme_challenge != CONFIG_CHALLENGE_HTTP &&
	       has_listener(config, true);
}

/* base64url and dots: nothing that means something in a line of the text for workers. */
static bool is_plain(const char *text)
{
	return text[0] && !text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					     "0123456789-_.")];
}

static void take_challenge(struct acme_order *order, const struct acme_hook_message *message)
{
	struct certificates_challenge challenge = { 0 };

	if (strcmp(message->domain, order->domain) || !is_plain(message->token) ||
	    !is_plain(message->text) ||
	    !is_offered(order->control->config, message->type, &challenge.kind))
		goto err;
	snprintf(challenge.host, sizeof(challenge.host), "%s", message->domain);
	snprintf(challenge.token, sizeof(challenge.token), "%s", message->token);
	snprintf(challenge.text, sizeof(challenge.text), "%s", message->text);
	if (challenge.kind == KEYS_ALPN) {
		challenge.pem = acme_challenge_certificate(message->domain, message->text);
		if (!challenge.pem)
			goto err;
	}
	if (certificates_add_challenge(order->control->certificates, &challenge))
		goto err;
	order->wanted = certificates_push(order->control);
	if (!order->wanted ||
	    sd_event_add_time_relative(order->control->event, &order->challenge, CLOCK_MONOTONIC,
				       CHALLENGE_US, 1000, on_late, order) < 0)
		answer(order, 1);
	return;
err:
	free(challenge.pem);
	log_debug("challenge declined: domain=%s type=%s", order->domain, message->type);
	answer(order, 1);
}

static void clear_challenges(struct acme_order *order)
{
	struct certificates *certificates = order->control->certificates;

	if (!certificates->challenges_count)
		return;
	certificates_clear_challenges(certificates);
	certificates_push(order->control);
}

static int on_hook(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct acme_order *order = context;
	struct acme_hook_message message;
	ssize_t n = recv(fd, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	if (n < 0)
		return 0;
	if (n != sizeof(message) || order->wanted) {
		answer(order, 1);
		return 0;
	}
	message.method[sizeof(message.method) - 1] = message.type[sizeof(message.type) - 1] =
		message.domain[sizeof(message.domain) - 1] =
		message.token[sizeof(message.token) - 1] =
		message.text[sizeof(message.text) - 1] = '\0';
	if (!strcmp(message.method, "begin")) {
		take_challenge(order, &message);
	} else {
		clear_challenges(order);
		answer(order, 0);
	}
	return 0;
}

/* ---- the child ---- */

/* Keeps the last line, printable. */
static void take_error(struct acme_order *order, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n') {
			order->error_ended = order->error_len > 0;
			continue;
		}
		if (order->error_ended)
			order->error_len = 0;
		order->error_ended = false;
		if (order->error_len < sizeof(order->error) - 1)
			order->error[order->error_len++] =
				bytes[i] < ' ' || bytes[i] > '~' || bytes[i] == '"' ? '\'' : bytes[i];
	}
	order->error[order->error_len] = '\0';
}

static int on_errors(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct acme_order *order = context;
	char bytes[2048];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		order->error_total += n;
		take_error(order, bytes, n);
		if (order->error_total > ERRORS_BYTES_MAX)
			break;
	}
	if (n >= 0 && source)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static void clear_child(struct acme_order *order)
{
	order->child = sd_event_source_disable_unref(order->child);
	order->hook = sd_event_source_disable_unref(order->hook);
	order->reader = sd_event_source_disable_unref(order->reader);
	order->timer = sd_event_source_disable_unref(order->timer);
	order->challenge = sd_event_source_disable_unref(order->challenge);
	order->wanted = 0;
	if (order->sock >= 0)
		close(order->sock);
	if (order->errors >= 0)
		close(order->errors);
	order->sock = order->errors = -1;
	order->pid = 0;
}

static int start(struct acme_order *order);

static void finish(struct acme_order *order, const char *error)
{
	char text[ERROR_MAX];

	if (error)
		snprintf(text, sizeof(text), "%s", error);
	order->done(order->context, error ? text : NULL);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct acme_order *order = context;
	bool good = info->si_code == CLD_EXITED && info->si_status == 0;
	char text[ERROR_MAX];

	on_errors(NULL, order->errors, 0, order);
	clear_child(order);
	clear_challenges(order);
	if (order->account) {
		/*
		 * An account that exists is an error to uacme like any other. Where there
		 * really is none, the order itself fails.
		 */
		if (!good)
			log_debug("account not made: error=\"%s\"", order->error);
		order->account = false;
		if (start(order))
			finish(order, "uacme cannot be started again");
		return 0;
	}
	if (order->error_len)
		snprintf(text, sizeof(text), "%s", order->error);
	else
		snprintf(text, sizeof(text), "uacme ended with %s %d",
			 info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
	finish(order, good ? NULL : text);
	return 0;
}

static int on_order_late(sd_event_source *source, uint64_t usec, void *context)
{
	struct acme_order *order = context;
	static const char late[] = "the authority did not finish in time\n";

	take_error(order, late, sizeof(late) - 1);
	kill(-order->pid, SIGKILL);
	kill(order->pid, SIGKILL);
	return 0;
}

static pid_t spawn(struct acme_order *order, int sock, int errors)
{
	const struct config *config = order->control->config;
	char *const account[] = {
		"uacme", "-c", ".", "-y", "-a", (char *)config->acme_directory, "new",
		config->acme_contact[0] ? (char *)config->acme_contact : NULL, NULL,
	};
	char *const issue[] = {
		"uacme", "-c", ".", "-f", "-i", "-o", "-t", "EC", "-h", "/proc/self/fd/4", "-a",
		(char *)config->acme_directory, "issue", order->domain, NULL,
	};
	char ca_file[PATH_MAX + 16];
	char *const environment[] = {
		"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin", ACME_HOOK_WORD "=1",
		config->acme_ca_file[0] ? ca_file : NULL, NULL,
	};
	struct spawn_program program = {
		.path = config->acme_program, .arguments = order->account ? account : issue,
		.environment = environment, .directory = order->directory, .sock = sock,
		.errors = errors,
	};
	pid_t pid;

	snprintf(ca_file, sizeof(ca_file), "UACME_CAINFO=%s", config->acme_ca_file);
	program.program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (program.program_fd < 0)
		return -errno;
	pid = spawn_program(&order->identity, &program);
	close(program.program_fd);
	return pid;
}

static int watch(struct acme_order *order)
{
	sd_event *event = order->control->event;

	if (sd_event_add_child(event, &order->child, order->pid, WEXITED, on_child, order) < 0 ||
	    sd_event_add_io(event, &order->hook, order->sock, EPOLLIN, on_hook, order) < 0 ||
	    sd_event_add_io(event, &order->reader, order->errors, EPOLLIN, on_errors, order) < 0 ||
	    sd_event_add_time_relative(event, &order->timer, CLOCK_MONOTONIC, ORDER_US, 1000,
				       on_order_late, order) < 0)
		return -ENOMEM;
	return 0;
}

/* 0 or a negative errno. */
static int start(struct acme_order *order)
{
	int pair[2], pipes[2], ret;
	pid_t pid;

	order->error_len = order->error_total = 0;
	order->error[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = -errno;
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	pid = spawn(order, pair[1], pipes[1]);
	close(pair[1]);
	close(pipes[1]);
	order->sock = pair[0];
	order->errors = pipes[0];
	ret = pid;
	if (pid < 0)
		goto err_clear;
	order->pid = pid;
	ret = watch(order);
	if (!ret)
		return 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
err_clear:
	clear_child(order);
	return ret;
}

struct acme_order *acme_order_create(struct control *control, const char *domain, int directory,
				     uid_t user, gid_t group, bool account, acme_order_done *done,
				     void *context)
{
	struct acme_order *order = calloc(1, sizeof(*order));
	int ret;

	if (!order)
		return NULL;
	order->control = control;
	snprintf(order->domain, sizeof(order->domain), "%s", domain);
	order->directory = directory;
	order->identity = (struct spawn_identity){ .change = geteuid() == 0, .uid = user, .gid = group };
	order->account = account;
	order->done = done;
	order->context = context;
	order->sock = order->errors = -1;
	ret = start(order);
	if (!ret)
		return order;
	free(order);
	errno = -ret;
	return NULL;
}

const char *acme_order_domain(const struct acme_order *order)
{
	return order->domain;
}

void acme_order_destroy(struct acme_order *order)
{
	if (!order)
		return;
	if (order->pid) {
		kill(-order->pid, SIGKILL);
		kill(order->pid, SIGKILL);
		waitpid(order->pid, NULL, 0);
	}
	clear_child(order);
	clear_challenges(order);
	free(order);
}
