/* SPDX-License-Identifier: Apache-2.0 */
/* The examination of this host: what the kernel lets us do, and who could change what the broker reads. */
#include "doctor.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker_user.h"
#include "config.h"
#include "fd.h"
#include "host_key.h"
#include "ipc.h"
#include "policy.h"
#include "read_file.h"
#include "uid_range.h"
#include "worker_clone.h"
#include "worker_priority.h"

#define WHY_MAX 1024
#define NOBODY  65534

#define SERVICE_USER "sallyport" /* of the packaged unit */

/* limits.pids times limits.nofile, as they are by default. */
#define TERMINALS_OF_A_CONTAINER (256ul * 1024ul)

/* ---- the kernel ---- */

/* The exit code of a child that did not get further than its clone. */
static int
wait_for_child(pid_t pid)
{
	int status = -1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int
nothing_more(void *arg)
{
	(void)arg;
	return 0;
}

/* As the spawner does it, when it is the broker's child. */
static void
examine_namespaces(struct doctor *d)
{
	SP_CLEANUP_FD int pidfd = -1;
	uid_t uid = d->config != NULL ? d->config->worker.uid : NOBODY;
	gid_t gid = d->config != NULL && d->config->worker.n_uids == 0 ? d->config->worker.gid : uid;
	pid_t pid = worker_clone(uid, gid, WORKER_CLONE_ALL, nothing_more, NULL, &pidfd);
	int error = errno;

	if (wait_for_child(pid) == 0)
		doctor_say(d, DOCTOR_OK, "kernel.namespaces", NULL,
		    "a worker can have namespaces of its own");
	else
		doctor_say(d, DOCTOR_ERROR, "kernel.namespaces",
		    "run this as root, or as the user of the spawner with its capabilities; in a "
		    "container, allow namespaces",
		    "a worker cannot have namespaces of its own (%s): it would not be locked down",
		    strerror(pid < 0 ? error : EPERM));
}

/* As the packaged spawner does it, which has no CAP_SYS_ADMIN. */
static void
examine_user_namespaces(struct doctor *d)
{
	static const struct doctor_pair pair = { "kernel.user-namespaces",
		"users may make user namespaces, which the packaged spawner needs", DOCTOR_WARNING,
		"give sallyport-spawner@.service CAP_SYS_ADMIN as systemd/README.md says, or allow them "
		"(kernel.unprivileged_userns_clone, AppArmor)",
		"this kernel refuses user namespaces to users: the packaged spawner cannot start workers, only "
		"a broker that is root can" };
	pid_t pid;

	if (geteuid() != 0)
		return;
	pid = fork();
	if (pid == 0)
		_exit(setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		    unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0);
	doctor_say_either(d, wait_for_child(pid) == 0, &pair);
}

static void
examine_pidfd(struct doctor *d)
{
	static const struct doctor_pair pair = { "kernel.pidfd", "processes can be held by pidfd",
		DOCTOR_ERROR, "use Linux 5.3 or newer",
		"there are no pidfds: the broker could end a process that is not meant" };
	SP_CLEANUP_FD int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	doctor_say_either(d, fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0, &pair);
}

/* A file of the kernel's; empty when it has none of that name. */
static void
read_kernel(const char *path, char *text, size_t cap)
{
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, cap - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
}

static bool
file_has(const char *path, const char *word)
{
	char text[512];

	read_kernel(path, text, sizeof(text));
	return strstr(text, word) != NULL;
}

static unsigned long
file_number(const char *path)
{
	char text[32];

	read_kernel(path, text, sizeof(text));
	return strtoul(text, NULL, 10);
}

static void
examine_seccomp(struct doctor *d)
{
	static const struct doctor_pair pair = {
		"kernel.seccomp", "system call filters can end a process", DOCTOR_ERROR,
		"use a kernel with CONFIG_SECCOMP_FILTER, 4.14 or newer",
		"system call filters cannot end a process: neither worker nor broker would be locked down"
	};

	doctor_say_either(d, file_has("/proc/sys/kernel/seccomp/actions_avail", "kill_process"),
	    &pair);
}

/* One number for the whole kernel, of which a container may take what its processes can open. */
static void
examine_terminals(struct doctor *d)
{
	static const struct doctor_pair pair = { "kernel.terminals",
		"one container cannot open all terminals of this host", DOCTOR_WARNING,
		"sysctl kernel.pty.max=1048576; the package has it in sysctl.d, which systemd-sysctl reads",
		"one container with the default limits can open all terminals of this host, and nobody else "
		"gets one meanwhile" };

	doctor_say_either(d,
	    file_number("/proc/sys/kernel/pty/max") >=
		TERMINALS_OF_A_CONTAINER + file_number("/proc/sys/kernel/pty/reserve"),
	    &pair);
}

void
doctor_kernel(struct doctor *d)
{
	static const struct doctor_pair priority = { "kernel.priority",
		"workers of strangers can have a lower priority than sessions", DOCTOR_WARNING,
		"give the spawner CAP_SYS_NICE, in the first user namespace",
		"workers of strangers have the priority of sessions: a flood of key exchanges slows sessions "
		"down" };
	struct utsname name;

	if (uname(&name) == 0)
		doctor_say(d, DOCTOR_OK, "kernel.version", NULL, "Linux %s, %s", name.release,
		    name.machine);
	examine_namespaces(d);
	examine_user_namespaces(d);
	examine_pidfd(d);
	examine_seccomp(d);
	examine_terminals(d);
	doctor_say_either(d, worker_priority_can_be_raised(), &priority);
}

/* ---- files ---- */

/* By hand there is no way to a credential. */
static bool
is_out_of_reach(const char *path)
{
	return host_key_credential(path) != NULL && getenv("CREDENTIALS_DIRECTORY") == NULL;
}

/* Without the file the manager starts nothing, and says "Protocol error". */
static void
say_out_of_reach(const char *path, char *why, size_t cap)
{
	char file[PATH_MAX];
	struct stat st;

	(void)snprintf(file, sizeof(file), "/etc/sallyport/%s", host_key_credential(path));
	if (lstat(file, &st) < 0 && errno == ENOENT)
		(void)snprintf(why, cap,
		    "host key %s is not checked: only the service manager has it, in the packaged unit from %s, "
		    "which is not there: unless LoadCredential= names another file, the service does not start",
		    path, file);
	else
		(void)snprintf(why, cap,
		    "host key %s is not checked: only the service manager has it", path);
}

int
doctor_try_host_key(const struct config *c, const char *path, char *why, size_t cap)
{
	const char *const one[] = { path, NULL };
	struct stat st;
	int r;

	if (is_out_of_reach(path)) {
		say_out_of_reach(path, why, cap);
		return DOCTOR_KEY_UNKNOWN;
	}
	r = host_key_set_try(one, c->make_host_keys, why, cap);
	if (r != 0)
		return r < 0 ? r : -EINVAL;
	if (host_key_credential(path) != NULL || lstat(path, &st) == 0)
		return 0;
	(void)snprintf(why, cap, "host key %s is not there yet: the broker makes it at its start",
	    path);
	return DOCTOR_KEY_NOT_YET;
}

int
doctor_try_host_keys(const struct config *c, char *why, size_t cap)
{
	const char *within_reach[IPC_HOST_KEYS_MAX + 1] = { NULL };
	size_t n = 0;

	for (const char *const *path = c->host_keys; *path != NULL; path++) {
		if (n < IPC_HOST_KEYS_MAX && !is_out_of_reach(*path))
			within_reach[n++] = *path;
	}
	return n > 0 ? host_key_set_try(within_reach, c->make_host_keys, why, cap) : 0;
}

static const char key_is_bad[] =
    "a host key is a private key without a passphrase that belongs to root or to the broker's user, with "
    "mode 0600";
static const char key_is_withheld[] =
    "have the service manager pass it, as the packaged unit does: LoadCredential=NAME:FILE there, and "
    "\"credential:NAME\" in host_keys; or give the file to the broker's user";
static const char key_is_missing[] =
    "make its directory, and the key: ssh-keygen -t ed25519 -N '' -f FILE, or \"make_host_keys\": true in "
    "broker.json";

const char *
doctor_host_key_advice(int error)
{
	if (error == -EACCES)
		return key_is_withheld;
	return error == -ENOENT ? key_is_missing : key_is_bad;
}

static void
examine_host_keys(struct doctor *d)
{
	char why[WHY_MAX] = "";
	bool each_is_good = true;
	bool other = broker_user_become(d->config);

	for (const char *const *path = d->config->host_keys; *path != NULL; path++) {
		int r = doctor_try_host_key(d->config, *path, why, sizeof(why));

		each_is_good = each_is_good && r >= 0;
		if (r == 0)
			doctor_say(d, DOCTOR_OK, "files.host-key", NULL, "%s can be used", *path);
		else if (r > 0)
			doctor_say(d, DOCTOR_NOTE, "files.host-key", NULL, "%s", why);
		else
			doctor_say(d, DOCTOR_ERROR, "files.host-key", doctor_host_key_advice(r),
			    "%s: the broker does not start", why);
	}
	if (each_is_good && doctor_try_host_keys(d->config, why, sizeof(why)) < 0)
		doctor_say(d, DOCTOR_ERROR, "files.host-key", "take it out of host_keys",
		    "%s: the broker does not start", why);
	if (other)
		broker_user_leave();
}

/* root, this user, or the one of the packaged unit, for whom root asks. */
static bool
is_owner(uid_t uid)
{
	const struct passwd *service = getpwnam(SERVICE_USER);

	return uid == 0 || uid == geteuid() || (service != NULL && uid == service->pw_uid);
}

bool
doctor_is_guarded(const char *path, const struct stat *st, char *why, size_t cap)
{
	char real[PATH_MAX];

	if (trusted_place(path, why, cap) < 0)
		return false;
	if (realpath(path, real) == NULL)
		(void)snprintf(why, cap, "%s: %s", path, strerror(errno));
	else if (trusted_place(real, why, cap) < 0)
		return false;
	else if (!S_ISDIR(st->st_mode))
		(void)snprintf(why, cap, "%s is no directory", path);
	else if (!is_owner(st->st_uid))
		(void)snprintf(why, cap, "%s belongs to uid %u", path, (unsigned)st->st_uid);
	else if ((st->st_mode & 022) != 0)
		(void)snprintf(why, cap, "%s has mode %04o", path, st->st_mode & 07777);
	else
		return true;
	return false;
}

/* A directory that the broker makes when it is not there. */
static void
examine_directory(struct doctor *d, const char *check, const char *path, mode_t forbidden)
{
	char why[WHY_MAX] = "";
	struct stat st;

	if (stat(path, &st) < 0 && errno == ENOENT) {
		doctor_say(d, DOCTOR_NOTE, check, NULL, "%s is not there yet: the broker makes it",
		    path);
		return;
	}
	if (!doctor_is_guarded(path, &st, why, sizeof(why)))
		doctor_say(d, DOCTOR_ERROR, check,
		    "let it, and every directory above it, belong to root or to the broker's user, and "
		    "take the right to write from group and others",
		    "%s: somebody else could put something in its place", why);
	else if ((st.st_mode & forbidden) != 0)
		doctor_say(d, DOCTOR_WARNING, check, "chmod go-rwx what must be nobody else's",
		    "%s has mode %04o: others can look into it", path, st.st_mode & 07777);
	else
		doctor_say(d, DOCTOR_OK, check, NULL, "%s belongs to those who may", path);
}

static const char engine_advice[] =
    "start the engine, or name its socket in engine.socket of broker.json";

/* Whether its unit names the group of the socket is not known here, and taken for granted. */
static bool
is_open_to_broker_user(const struct config *c)
{
	bool is_open;

	if (!broker_user_become(c))
		return true;
	is_open = faccessat(AT_FDCWD, c->engine.socket, W_OK, AT_EACCESS) == 0;
	broker_user_leave();
	return is_open;
}

static void
examine_engine_socket(struct doctor *d)
{
	const char *path = d->config->engine.socket;
	const struct group *g;
	struct stat st;

	if (stat(path, &st) < 0) {
		doctor_say(d, DOCTOR_ERROR, "files.engine-socket",
		    errno == EACCES ? "run this as root, or as the broker's user" : engine_advice,
		    "%s: %s: no container can be made", path, strerror(errno));
		return;
	}
	if (!S_ISSOCK(st.st_mode)) {
		doctor_say(d, DOCTOR_ERROR, "files.engine-socket", engine_advice,
		    "%s is no socket: no container can be made", path);
		return;
	}
	if ((st.st_mode & S_IWOTH) != 0) {
		doctor_say(d, DOCTOR_ERROR, "files.engine-socket", "chmod o-rwx the socket",
		    "%s has mode %04o: everybody on this host can become root by way of the engine",
		    path, st.st_mode & 07777);
		return;
	}
	if (!is_open_to_broker_user(d->config)) {
		doctor_say(d, DOCTOR_ERROR, "files.engine-socket",
		    "give the socket a group and mode 0660, let everybody into its directory (x), and name the "
		    "group in SupplementaryGroups= of the broker's unit",
		    "%s may not be used by user %s, whom the broker runs as: no container can be made",
		    path, broker_user_name(d->config));
		return;
	}
	g = getgrgid(st.st_gid);
	if ((st.st_mode & S_IWGRP) != 0 && st.st_gid != 0)
		doctor_say(d, DOCTOR_NOTE, "files.engine-socket",
		    "nobody but the broker should be in that group",
		    "%s is open to group %s: each member is root on this host by way of the engine",
		    path, g != NULL ? g->gr_name : "without a name");
	else
		doctor_say(d, DOCTOR_OK, "files.engine-socket", NULL, "%s is root's alone", path);
}

/* ---- programs ---- */

static const char *const program_advice =
    "install sallyport again, or name the right place in broker.json; programs belong to root, and "
    "nobody else may write them or a directory above them";

/* A file that everybody may run and nobody else may change. Open descriptor, or -1 after saying why not. */
static int
open_program(struct doctor *d, const char *check, const char *path)
{
	char why[WHY_MAX] = "";
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		doctor_say(d, DOCTOR_ERROR, check, program_advice, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (trusted_place(path, why, sizeof(why)) < 0)
		doctor_say(d, DOCTOR_ERROR, check, program_advice, "%s", why);
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) != 0111)
		doctor_say(d, DOCTOR_ERROR, check, program_advice,
		    "%s has mode %04o: not everybody may run it", path, st.st_mode & 07777);
	else if ((st.st_mode & 022) != 0 || (st.st_uid != 0 && st.st_uid != geteuid()))
		doctor_say(d, DOCTOR_ERROR, check, program_advice, "%s can be changed by others",
		    path);
	else
		return fd_steal(&fd);
	return -1;
}

/* Whether an ELF program needs no loader, which an image need not have. */
static bool
is_static(int fd)
{
	Elf64_Ehdr head;

	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		Elf64_Phdr part;

		if (pread(fd, &part, sizeof(part),
			(off_t)(head.e_phoff + (uint64_t)i * sizeof(part))) != (ssize_t)sizeof(part))
			return false;
		if (part.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void
examine_guest(struct doctor *d)
{
	static const char *const names[] = { "sallyport-guest", "sallyport-sftp" };

	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		char path[PATH_MAX];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", d->config->engine.guest_dir, names[i]);
		fd = open_program(d, "files.guest", path);
		if (fd < 0)
			continue;
		if (is_static(fd))
			doctor_say(d, DOCTOR_OK, "files.guest", NULL, "%s is static", path);
		else
			doctor_say(d, DOCTOR_ERROR, "files.guest", program_advice,
			    "%s is no static program: it does not run in every image", path);
		fd_close(&fd);
	}
}

static void
examine_worker(struct doctor *d)
{
	int fd = open_program(d, "files.worker", d->config->worker.program);

	if (fd >= 0)
		doctor_say(d, DOCTOR_OK, "files.worker", NULL, "%s can be run",
		    d->config->worker.program);
	fd_close(&fd);
	if (!d->config->worker.sandbox_required)
		doctor_say(d, DOCTOR_WARNING, "worker.sandbox",
		    "\"worker\": { \"sandbox\": \"required\" } in broker.json",
		    "workers serve strangers also where they cannot be locked down");
}

static void
examine_uids(struct doctor *d)
{
	const struct config_worker *w = &d->config->worker;
	struct uid_range range = { w->uid, w->n_uids };
	char why[WHY_MAX] = "";

	if (w->n_uids == 0)
		doctor_say(d, DOCTOR_WARNING, "worker.uids",
		    "run the broker or its spawner with the right to set uids, and give worker.uids",
		    "all workers run as uid %u: what keeps one from another is the filter and the "
		    "namespaces alone",
		    (unsigned)w->uid);
	else if (uid_range_taken(&range, &uid_range_system_files, why, sizeof(why)) != 0 ||
	    uid_range_unmapped(&range, &uid_range_system_files, why, sizeof(why)) != 0)
		doctor_say(d, DOCTOR_ERROR, "worker.uids", "choose another range for worker.uids",
		    "worker.uids %u-%u %s", (unsigned)w->uid, (unsigned)(w->uid + w->n_uids - 1),
		    why);
	else
		doctor_say(d, DOCTOR_OK, "worker.uids", NULL, "%u to %u are nobody's",
		    (unsigned)w->uid, (unsigned)(w->uid + w->n_uids - 1));
}

void
doctor_files(struct doctor *d)
{
	examine_host_keys(d);
	examine_directory(d, "files.state", d->config->state_dir, 077);
	/* The control socket's group gets in. */
	examine_directory(d, "files.runtime", d->config->runtime_dir, 022);
	examine_engine_socket(d);
	examine_worker(d);
	examine_guest(d);
	examine_uids(d);
}
