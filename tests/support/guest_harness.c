/* SPDX-License-Identifier: Apache-2.0 */
/* Tests only: containers out of namespaces, and the broker's and worker's side of the guest. */
#include "guest_harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "ipc_chan.h"
#include "test.h"

static const char *guest_file;
static unsigned max_fds;

void
harness_set_guest(const char *path)
{
	guest_file = path;
}

void
harness_set_max_fds(unsigned n)
{
	max_fds = n;
}

int
harness_listen_here(uint32_t *ret_port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	*ret_port = ntohs(here.sin_port);
	return fd;
}

int64_t
harness_now_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the container; everything up to exec runs in a child that may only _exit() ---- */

static _Noreturn void
bad(const char *what)
{
	fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		bad(path);
	(void)close(fd);
}

bool
harness_enter_namespaces(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	char map[64];

	if (unshare(CLONE_NEWNS | CLONE_NEWPID) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) < 0)
		return false;
	write_file("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%d %u 1", HARNESS_UID, (unsigned)uid);
	write_file("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%d %u 1", HARNESS_UID, (unsigned)gid);
	write_file("/proc/self/gid_map", map);
	return true;
}

/* Bind a file or directory of the host to the same place below the current directory. */
static void
bind_in(const char *from, const char *to)
{
	struct stat st;
	char target[256];

	if (lstat(from, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode)) { /* /bin on a merged-usr system */
		ssize_t n = readlink(from, target, sizeof(target) - 1);

		if (n <= 0)
			bad(from);
		target[n] = '\0';
		if (symlink(target, to) < 0)
			bad(to);
		return;
	}
	if (S_ISDIR(st.st_mode) ? mkdir(to, 0755) < 0 : mknod(to, S_IFREG | 0644, 0) < 0)
		bad(to);
	if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
		bad(to);
	/* A user namespace may not drop what is locked; read-only is nice to have here. */
	(void)mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID, NULL);
}

static void
make_dirs(const char *const *names)
{
	for (; *names != NULL; names++) {
		if (mkdir(*names, 0755) < 0)
			bad(*names);
	}
}

/* Where names are looked up in such a root: nobody has any, and who is to be asked does not answer. */
static void
make_etc(void)
{
	static const char *const files[][2] = { { "etc/hosts", "127.0.0.1 localhost\n" },
		/* For the build with glibc, which else is content with the first line that has a name. */
		{ "etc/nsswitch.conf", "hosts: files dns\n" }, { "etc/host.conf", "multi on\n" },
		{ "etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n" } };

	if (mkdir("etc", 0755) < 0 || chmod("etc", 0777) < 0)
		bad("etc");
	for (size_t i = 0; i < SP_ARRAY_LEN(files); i++) {
		if (mknod(files[i][0], S_IFREG | 0644, 0) < 0 || chmod(files[i][0], 0666) < 0)
			bad(files[i][0]);
		write_file(files[i][0], files[i][1]);
	}
}

static void
enter_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		bad("network");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		bad("lo");
	(void)close(fd);
}

static void
fill_root(const char *dir, enum harness_root kind)
{
	static const char *const dirs[] = { "proc", "dev", "dev/pts", "tmp", ".sallyport", NULL };
	static const char *const host[] = { "/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64",
		"/libx32", "/etc" };
	char rendezvous[128];

	make_dirs(dirs);
	(void)chmod("tmp", 01777);
	for (size_t i = 0; kind != HARNESS_ROOT_BARE && i < SP_ARRAY_LEN(host); i++) {
		if (kind == HARNESS_ROOT_HOST || strcmp(host[i], "/etc") != 0)
			bind_in(host[i], host[i] + 1);
	}
	if (kind == HARNESS_ROOT_NAMES)
		make_etc();
	if (kind == HARNESS_ROOT_BARE) {
		if (mkdir("bin", 0755) < 0)
			bad("bin");
		bind_in("/bin/busybox", "bin/busybox");
	}
	bind_in(guest_file, &GUEST_PROGRAM[1]);
	(void)snprintf(rendezvous, sizeof(rendezvous), "%s/rendezvous", dir);
	bind_in(rendezvous, &GUEST_RENDEZVOUS_DIR[1]);
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		bad("proc");
	bind_in("/dev/null", "dev/null");
	if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		"newinstance,ptmxmode=0666,mode=0620") < 0)
		bad("devpts");
	if (symlink("pts/ptmx", "dev/ptmx") < 0)
		bad("ptmx");
}

/* Before the fork: it is the parent's namespaces that its first child is born into. */
static void
make_root(const char *dir, enum harness_root kind)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		bad("private");
	if (chdir(dir) < 0 || mount("root", "root", "tmpfs", MS_NOSUID, "mode=0755") < 0 ||
	    chdir("root") < 0)
		bad("root");
	fill_root(dir, kind);
	if (chroot(".") < 0 || chdir("/") < 0)
		bad("chroot");
}

static _Noreturn void
become_guest(const char *dir, enum harness_root kind)
{
	static char program[] = GUEST_PROGRAM;
	char *argv[] = { program, NULL };
	char *const host_env[] = { (char[]){ "HOME=/tmp" }, (char[]){ "IMAGE=image" },
		(char[]){ "KEPT=kept" }, (char[]){ "PATH=/usr/bin:/bin:/usr/sbin:/sbin" },
		(char[]){ "ASAN_OPTIONS=detect_leaks=0:handle_segv=0" }, NULL };
	char *const bare_env[] = { (char[]){ "HOME=/" }, NULL };
	int inherited = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (kind == HARNESS_ROOT_NAMES)
		enter_network();
	make_root(dir, kind);
	/* A runtime's mistake: a descriptor that nobody closed. No program may see it. */
	if (dup2(inherited, 50) < 0)
		bad("dup2");
	if (max_fds != 0 && setrlimit(RLIMIT_NOFILE, &(struct rlimit){ max_fds, max_fds }) < 0)
		bad("setrlimit");
	if (getuid() != HARNESS_UID &&
	    (setresgid(HARNESS_UID, HARNESS_UID, HARNESS_UID) < 0 ||
		setresuid(HARNESS_UID, HARNESS_UID, HARNESS_UID) < 0))
		bad("setresuid");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		bad("no_new_privs");
	(void)umask(077); /* the programs must not inherit it */
	(void)signal(SIGPIPE, SIG_IGN);
	execve(program, argv, kind == HARNESS_ROOT_BARE ? bare_env : host_env);
	bad("exec of the guest");
}

static _Noreturn void
run_container(const char *dir, enum harness_root kind)
{
	pid_t first;
	int status;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (!harness_enter_namespaces())
		_exit(77);
	first = fork();
	if (first < 0)
		bad("fork");
	if (first == 0)
		become_guest(dir, kind);
	while (waitpid(first, &status, 0) < 0) {
		if (errno != EINTR)
			bad("waitpid");
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

bool
harness_is_possible(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(harness_enter_namespaces() ? 0 : 77);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}

bool
harness_is_static(const char *path)
{
	SP_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ElfW(Ehdr) head;
	ElfW(Phdr) program;

	if (fd < 0 || access(path, X_OK) < 0 ||
	    pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + i * sizeof(program));

		if (pread(fd, &program, sizeof(program), at) != (ssize_t)sizeof(program) ||
		    program.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void
listen_in(struct harness *h)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char path[128];

	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/sallyport-guest.XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(chmod(h->dir, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/root", h->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/rendezvous", h->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/rendezvous/socket", h->dir);
	h->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(h->listener >= 0);
	assert_int_equal(bind(h->listener, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(chmod(addr.sun_path, 0666), 0);
	assert_int_equal(listen(h->listener, 1), 0);
}

static void
wait_readable(int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, HARNESS_WAIT_MS) != 1)
		fail_msg("nothing came: %s", what);
}

void
harness_start(struct harness *h, enum harness_root root)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	memset(h, 0, sizeof(*h));
	listen_in(h);
	h->runner = fork();
	assert_true(h->runner >= 0);
	if (h->runner == 0)
		run_container(h->dir, root);
	wait_readable(h->listener, "the guest's report");
	h->order = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(h->order >= 0);
	assert_int_equal(getsockopt(h->order, SOL_SOCKET, SO_PEERCRED, &peer, &len), 0);
	h->guest = peer.pid;
	assert_int_equal(shutdown(h->order, SHUT_RD), 0); /* as the broker does */
}

static void
remove_dir(struct harness *h)
{
	static const char *const names[] = { "/rendezvous/socket", "/rendezvous", "/root", "" };

	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s%s", h->dir, names[i]);
		assert_int_equal(remove(path), 0);
	}
}

int
harness_wait(struct harness *h)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;
	int status;
	pid_t pid;

	while ((pid = waitpid(h->runner, &status, WNOHANG)) == 0) {
		if (harness_now_ms() > until)
			fail_msg("process 1 does not end");
		(void)usleep(2000);
	}
	assert_int_equal(pid, h->runner);
	fd_close(&h->order);
	fd_close(&h->listener);
	remove_dir(h);
	return status;
}

int
harness_stop(struct harness *h)
{
	fd_close(&h->order);
	return harness_wait(h);
}

unsigned
harness_guest_fds(const struct harness *h)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)h->guest);
	dir = opendir(path);
	assert_non_null(dir);
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	assert_int_equal(closedir(dir), 0);
	return n;
}

void
harness_expect_fds(const struct harness *h, unsigned n)
{
	int64_t until = harness_now_ms() + HARNESS_WAIT_MS;

	if (getuid() != 0)
		return; /* not ours to look at: the guest is not dumpable */
	while (harness_guest_fds(h) != n) {
		if (harness_now_ms() > until)
			fail_msg("the guest has %u descriptors, not %u", harness_guest_fds(h), n);
		(void)usleep(2000);
	}
}

/* ---- the broker's side ---- */

struct wire_span
harness_span(const char *s)
{
	struct wire_span span = { (const uint8_t *)s, strlen(s) };

	return span;
}

void
harness_set_argv(struct guest_spawn *order, const char *const *argv)
{
	for (order->n_argv = 0; argv[order->n_argv] != NULL; order->n_argv++)
		order->argv[order->n_argv] = harness_span(argv[order->n_argv]);
}

void
harness_send_raw(const struct harness *h, const void *data, size_t len, const int *fds, unsigned n_fds)
{
	assert_int_equal(ipc_chan_send(h->order, data, len, fds, n_fds, 0), 0);
}

void
harness_order(const struct harness *h, const struct guest_spawn *order, struct program_ends *ret)
{
	static uint8_t record[GUEST_ORDER_MAX];
	struct wire_writer w;
	int child[4] = { -1, -1, -1, -1 };
	int ends[4] = { -1, -1, -1, -1 };
	int pair[2];

	wire_writer_init(&w, record, sizeof(record));
	guest_put_spawn(&w, order);
	assert_false(w.failed);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	child[0] = pair[0];
	ends[0] = pair[1];
	for (int i = 1; !order->want_pty && i < 4; i++) {
		assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
		child[i] = pair[i == 1 ? 0 : 1];
		ends[i] = pair[i == 1 ? 1 : 0];
	}
	harness_send_raw(h, w.data, w.len, child, order->want_pty ? 1 : 4);
	fd_close_all(child, 4);
	*ret = (struct program_ends){ ends[0], ends[1], ends[2], ends[3], -1 };
}

static void
order_sh(const struct harness *h, const char *script, bool pty, struct program_ends *ret)
{
	static struct guest_spawn order;
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };

	memset(&order, 0, sizeof(order));
	order.want_pty = pty;
	order.columns = 91;
	order.rows = 37;
	order.hangup_grace_ms = 300;
	harness_set_argv(&order, argv);
	harness_order(h, &order, ret);
}

void
harness_sh(const struct harness *h, const char *script, struct program_ends *ret)
{
	order_sh(h, script, false, ret);
}

void
harness_sh_pty(const struct harness *h, const char *script, struct program_ends *ret)
{
	order_sh(h, script, true, ret);
}

void
program_ends_close(struct program_ends *e)
{
	fd_close(&e->ctl);
	fd_close(&e->in);
	fd_close(&e->out);
	fd_close(&e->err);
	fd_close(&e->master);
}

void
harness_expect_gone(const struct harness *h, const char *file, const char *pattern)
{
	struct program_ends e;
	char script[256], text[64];

	(void)snprintf(script, sizeof(script),
	    "while cat /proc/[0-9]*/%s 2>/dev/null | tr '\\0' ' ' | grep -q '%s'; do sleep 0.05; done; "
	    "echo gone",
	    file, pattern);
	harness_sh(h, script, &e);
	harness_expect_started(&e);
	wait_readable(e.out, pattern);
	harness_read_all(e.out, text, sizeof(text));
	assert_string_equal(text, "gone\n");
	harness_expect_exit(&e, 0);
	program_ends_close(&e);
}

/* ---- the worker's side ---- */

void
harness_recv(int ctl, struct guest_ctl *ret, int *ret_fd)
{
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_reader r;
	unsigned n_fds = 0;
	size_t len;

	*ret_fd = -1;
	wait_readable(ctl, "a message on ctl");
	assert_int_equal(ipc_chan_recv_fds(ctl, buf, sizeof(buf), &len, ret_fd, 1, &n_fds, 0), 0);
	wire_reader_init(&r, buf, len);
	assert_int_equal(guest_get_ctl(&r, ret), 0);
}

void
harness_expect_started(struct program_ends *e)
{
	struct guest_ctl m;
	bool pty = e->out < 0;

	harness_recv(e->ctl, &m, &e->master);
	if (m.id == GUEST_CTL_FAILED)
		fail_msg("FAILED stage %d: %s", (int)m.failed.stage, strerror((int)m.failed.error));
	assert_int_equal(m.id, GUEST_CTL_STARTED);
	assert_int_equal(e->master >= 0, pty);
}

void
harness_expect_failed(struct program_ends *e, enum guest_fail_stage stage, int error)
{
	struct guest_ctl m;
	int fd;

	harness_recv(e->ctl, &m, &fd);
	assert_int_equal(fd, -1);
	assert_int_equal(m.id, GUEST_CTL_FAILED);
	assert_int_equal(m.failed.stage, stage);
	assert_int_equal(m.failed.error, error);
}

static void
expect_exited(struct program_ends *e, bool signaled, unsigned value)
{
	struct guest_ctl m;
	int fd;

	harness_recv(e->ctl, &m, &fd);
	assert_int_equal(fd, -1);
	assert_int_equal(m.id, GUEST_CTL_EXITED);
	assert_int_equal(m.exited.signaled, signaled);
	assert_int_equal(m.exited.value, value);
}

void
harness_expect_exit(struct program_ends *e, unsigned code)
{
	expect_exited(e, false, code);
}

void
harness_expect_signaled(struct program_ends *e, int number)
{
	expect_exited(e, true, (unsigned)number);
}

void
harness_expect_end(int ctl)
{
	uint8_t buf[GUEST_CTL_MAX];
	size_t len;

	wait_readable(ctl, "the end of ctl");
	assert_int_equal(ipc_chan_recv(ctl, buf, sizeof(buf), &len, 0), IPC_CHAN_E_END);
}

void
harness_signal(const struct program_ends *e, int number)
{
	struct guest_ctl m = { .id = GUEST_CTL_SIGNAL, .signal = { (uint32_t)number } };
	uint8_t buf[GUEST_CTL_MAX];
	struct wire_writer w;

	wire_writer_init(&w, buf, sizeof(buf));
	guest_put_ctl(&w, &m);
	assert_int_equal(ipc_chan_send_plain(e->ctl, w.data, w.len, 0), 0);
}

static size_t
read_some(int fd, char *text, size_t cap, size_t len)
{
	ssize_t n;

	if (len + 1 >= cap)
		fail_msg("more output than expected: %.200s", text);
	wait_readable(fd, text);
	n = read(fd, text + len, cap - 1 - len);
	if (n < 0)
		assert_int_equal(errno, EIO);
	n = n < 0 ? 0 : n;
	text[len + (size_t)n] = '\0';
	return (size_t)n;
}

void
harness_read_all(int fd, char *text, size_t cap)
{
	size_t len = 0;
	size_t n;

	text[0] = '\0';
	while ((n = read_some(fd, text, cap, len)) > 0)
		len += n;
}

void
harness_read_until(int fd, char *text, size_t cap, const char *what)
{
	size_t len = 0;

	text[0] = '\0';
	while (strstr(text, what) == NULL) {
		size_t n = read_some(fd, text, cap, len);

		if (n == 0)
			fail_msg("ended without \"%s\": %s", what, text);
		len += n;
	}
}

bool
harness_ends_within(int fd, int ms)
{
	int64_t until = harness_now_ms() + ms;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - harness_now_ms();
		char dropped[512];

		if (left < 0 || poll(&p, 1, (int)left) == 0)
			return false;
		if (read(fd, dropped, sizeof(dropped)) <= 0)
			return true;
	}
}
