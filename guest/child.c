/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest, in the child between fork and exec. The order comes from the broker and is well formed; the
 * file system and the environment around it are the tenant's. Nothing here has more rights than the
 * program will have, nothing is allocated, and each step that fails is reported to the parent,
 * but that of the directory: to whoever reads the program's stderr.
 */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_ALL_MAX  (GUEST_ENV_MAX + 1024)
#define PATH_LEN_MAX 4096
#define SIGNAL_LAST  64

static _Noreturn void
give_up(const struct child_plan *plan, enum guest_fail_stage stage)
{
	struct child_failure f = { (uint32_t)stage, (uint32_t)errno };
	ssize_t n = write(plan->result, &f, sizeof(f));

	_exit(n == sizeof(f) ? 127 : 126);
}

/*
 * A string of the order as a C string. Room is certain: in the record each string stands behind four
 * bytes of length, here it stands before one byte of NUL, and each is copied once.
 */
static char *
copy(struct wire_span s)
{
	static char text[GUEST_ORDER_MAX];
	static size_t used;
	char *start = text + used;

	memcpy(start, s.data, s.len);
	start[s.len] = '\0';
	used += s.len + 1;
	return start;
}

/* Put entry into env, over one of the same name. */
static void
set_env(char **env, size_t *n, char *entry)
{
	size_t name = strcspn(entry, "=");

	for (size_t i = 0; i < *n; i++) {
		if (strncmp(env[i], entry, name) == 0 && env[i][name] == '=') {
			env[i] = entry;
			return;
		}
	}
	if (*n < ENV_ALL_MAX)
		env[(*n)++] = entry;
}

/* The image's environment as the runtime gave it to us, then the order's on top. */
static char **
make_env(const struct child_plan *plan)
{
	static char *env[ENV_ALL_MAX + 1];
	static char path[] = DEFAULT_PATH;
	static char ssh_tty[64];
	size_t n = 0;

	set_env(env, &n, path);
	for (char **e = environ; *e != NULL; e++)
		set_env(env, &n, *e);
	for (uint32_t i = 0; i < plan->order->n_env; i++)
		set_env(env, &n, copy(plan->order->env[i]));
	if (plan->tty != NULL) {
		(void)snprintf(ssh_tty, sizeof(ssh_tty), "SSH_TTY=%s", plan->tty);
		set_env(env, &n, ssh_tty);
	}
	env[n] = NULL;
	return env;
}

static char **
make_argv(const struct guest_spawn *order)
{
	static char *argv[GUEST_ARGV_MAX + 1];

	for (uint32_t i = 0; i < order->n_argv; i++)
		argv[i] = copy(order->argv[i]);
	argv[order->n_argv] = NULL;
	return argv;
}

static const char *
env_value(char **env, const char *name)
{
	size_t len = strlen(name);

	for (; *env != NULL; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return "";
}

/* Does this failure of one PATH entry leave hope for the next? As execvp(3). */
static bool
try_next(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG ||
	    error == ESTALE || error == ENODEV || error == ETIMEDOUT;
}

/*
 * As execvpe(3), with two differences: a file without "#!" is not handed to a shell (there may be
 * none), and an empty entry does not mean the current directory.
 */
static void
exec_in_path(const char *program, char **argv, char **env)
{
	const char *path = env_value(env, "PATH");
	int error = ENOENT;

	if (strchr(program, '/') != NULL) {
		(void)execve(program, argv, env);
		return;
	}
	errno = ENOENT;
	while (*path != '\0' && *program != '\0' && try_next(errno)) {
		int len = (int)strcspn(path, ":");
		char full[PATH_LEN_MAX];
		int n = snprintf(full, sizeof(full), "%.*s/%s", len, path, program);

		if (len > 0 && n > 0 && (size_t)n < sizeof(full)) {
			(void)execve(full, argv, env);
			/* "found, but not for you" says more than "not in the last directory" */
			if (errno == EACCES || !try_next(errno))
				error = errno;
		}
		path += len;
		path += *path == ':';
	}
	errno = error;
}

/*
 * A session of its own, and with a terminal the terminal as its controlling one: TIOCSCTTY makes the
 * leader's group the foreground group too, so that job control works as under sshd.
 */
static void
take_session(const struct child_plan *plan)
{
	if (setsid() < 0)
		give_up(plan, GUEST_FAIL_FORK);
	if (plan->tty != NULL && ioctl(plan->streams[0], TIOCSCTTY, 0) < 0)
		give_up(plan, GUEST_FAIL_PTY);
}

static void
take_streams(const struct child_plan *plan)
{
	for (int i = 0; i < 3; i++) {
		if (dup2(plan->streams[i], i) < 0)
			give_up(plan, GUEST_FAIL_FORK);
	}
	/* All of the guest's are close-on-exec: where the kernel lacks the call nothing is lost. */
	(void)syscall(SYS_close_range, 3U, (unsigned)plan->result - 1U, 0U);
	(void)syscall(SYS_close_range, (unsigned)plan->result + 1U, ~0U, 0U);
}

/* Ignored and blocked signals outlive exec: the program gets none of the guest's. */
static void
reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s <= SIGNAL_LAST; s++)
		(void)sigaction(s, &action, NULL); /* fails for KILL, STOP and libc's own: fine */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * The directory of the order, or else the image's, in which process 1 is, or else HOME, where one logs in elsewhere.
 * A tenant may have taken it away and needs a way in to mend that: as with sshd it is said, and the program begins
 * at the root.
 */
static void
enter_directory(const struct child_plan *plan, char **env)
{
	const char *workdir;
	char root[sizeof("/")]; /* no other path fits */

	if (plan->order->workdir.len > 0) {
		workdir = copy(plan->order->workdir);
		if (chdir(workdir) == 0)
			return;
		(void)dprintf(STDERR_FILENO, "Could not chdir to %s: %s\n", workdir, strerror(errno));
	} else if (getcwd(root, sizeof(root)) != NULL) {
		if (chdir(env_value(env, "HOME")) == 0)
			return;
	} else if (errno == ERANGE) {
		return; /* else it has been removed, and has no name */
	}
	(void)!chdir("/");
}

_Noreturn void
child_run(const struct child_plan *plan)
{
	char **argv = make_argv(plan->order);
	char **env = make_env(plan);
	const char *program = argv[0] != NULL ? argv[0] : "";

	take_session(plan);
	take_streams(plan);
	reset_signals();
	(void)umask(022);
	if (plan->order->argv0.len > 0)
		argv[0] = copy(plan->order->argv0);
	enter_directory(plan, env);
	exec_in_path(program, argv, env);
	give_up(plan, GUEST_FAIL_EXEC);
}
