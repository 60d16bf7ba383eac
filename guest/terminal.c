/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: terminals. Nothing here comes from a stranger but the size, which the kernel cuts. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "fd.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/*
 * What a stock client on an ordinary terminal asks for in its pty-req. sshd starts from the kernel's
 * defaults and applies that list; the library that speaks SSH for us does not hand the list on, so
 * these stand for it. IUTF8 (RFC 8160) is on, as terminals have had it for many years: with it, erasing
 * a character in canonical mode erases all of its bytes, and plain ASCII is not affected.
 */
static void
usual_modes(struct termios *t)
{
	static const cc_t control_characters[NCCS] = {
		[VINTR] = 3,
		[VQUIT] = 28,
		[VERASE] = 127,
		[VKILL] = 21,
		[VEOF] = 4,
		[VSTART] = 17,
		[VSTOP] = 19,
		[VSUSP] = 26,
		[VREPRINT] = 18,
		[VWERASE] = 23,
		[VLNEXT] = 22,
		[VDISCARD] = 15,
		[VMIN] = 1,
	};

	t->c_iflag = ICRNL | IXON | IUTF8;
	t->c_oflag = OPOST | ONLCR;
	t->c_cflag = CREAD | CS8 | B38400;
	t->c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
	memcpy(t->c_cc, control_characters, sizeof(t->c_cc));
}

static unsigned short
cut(uint32_t v)
{
	return v > 65535 ? 65535 : (unsigned short)v;
}

int
terminal_resize(int fd, const struct terminal_size *size)
{
	struct winsize ws = { .ws_row = cut(size->rows),
		.ws_col = cut(size->columns),
		.ws_xpixel = cut(size->width_px),
		.ws_ypixel = cut(size->height_px) };

	return ioctl(fd, TIOCSWINSZ, &ws) < 0 ? -errno : 0;
}

static int
set_up(int slave, const struct terminal_size *size)
{
	struct termios t;

	if (tcgetattr(slave, &t) < 0)
		return -errno;
	usual_modes(&t);
	if (tcsetattr(slave, TCSANOW, &t) < 0)
		return -errno;
	return terminal_resize(slave, size);
}

/* Runtimes make /dev/ptmx a link into the container's own devpts; not every one makes it at all. */
static int
open_multiplexer(void)
{
	int fd = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int
terminal_open(const struct terminal_size *size, int *ret_master, int *ret_slave,
    char name[TERMINAL_NAME_MAX])
{
	SP_CLEANUP_FD int master = open_multiplexer();
	SP_CLEANUP_FD int slave = -1;
	int unlock = 0;
	int number;
	int r;

	if (master < 0)
		return master;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return -errno;
	(void)snprintf(name, TERMINAL_NAME_MAX, "/dev/pts/%d", number);
	/* By handle where the kernel can: a path could be something else. */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	r = set_up(slave, size);
	if (r < 0)
		return r;
	*ret_master = fd_steal(&master);
	*ret_slave = fd_steal(&slave);
	return 0;
}
