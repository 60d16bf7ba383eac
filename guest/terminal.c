/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: terminals. The size and the modes are a stranger's: the kernel cuts the one, and of the others counts what is
 * known here.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "fd.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* As Linux makes a terminal, and sshd leaves it to a client that wants nothing else; kernels of sandboxes may not. */
static void
new_modes(struct termios *t)
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

	t->c_iflag = ICRNL | IXON;
	t->c_oflag = OPOST | ONLCR;
	t->c_cflag = CREAD | CS8 | B38400;
	t->c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
	memcpy(t->c_cc, control_characters, sizeof(t->c_cc));
}

/* The opcodes of RFC 4254 section 8, and RFC 8160, for what there is on Linux: the characters, */
static const struct {
	uint8_t opcode;
	uint8_t character;
} characters[] = {
	{ 1, VINTR },
	{ 2, VQUIT },
	{ 3, VERASE },
	{ 4, VKILL },
	{ 5, VEOF },
	{ 6, VEOL },
	{ 7, VEOL2 },
	{ 8, VSTART },
	{ 9, VSTOP },
	{ 10, VSUSP },
	{ 12, VREPRINT },
	{ 13, VWERASE },
	{ 14, VLNEXT },
	{ 18, VDISCARD },
};

/* the flags, of input (30 to 49), of local modes (50 to 69), of output (70 to 89) and of control (90 to 127), */
static const struct {
	uint8_t opcode;
	tcflag_t bits;
} flags[] = {
	{ 30, IGNPAR },
	{ 31, PARMRK },
	{ 32, INPCK },
	{ 33, ISTRIP },
	{ 34, INLCR },
	{ 35, IGNCR },
	{ 36, ICRNL },
	{ 37, IUCLC },
	{ 38, IXON },
	{ 39, IXANY },
	{ 40, IXOFF },
	{ 41, IMAXBEL },
	{ 42, IUTF8 },
	{ 50, ISIG },
	{ 51, ICANON },
	{ 52, XCASE },
	{ 53, ECHO },
	{ 54, ECHOE },
	{ 55, ECHOK },
	{ 56, ECHONL },
	{ 57, NOFLSH },
	{ 58, TOSTOP },
	{ 59, IEXTEN },
	{ 60, ECHOCTL },
	{ 61, ECHOKE },
	{ 62, PENDIN },
	{ 70, OPOST },
	{ 71, OLCUC },
	{ 72, ONLCR },
	{ 73, OCRNL },
	{ 74, ONOCR },
	{ 75, ONLRET },
	{ 90, CS7 },
	{ 91, CS8 },
	{ 92, PARENB },
	{ 93, PARODD },
};

/* and the speeds, in bits per second. */
#define OPCODE_ISPEED 128
#define OPCODE_OSPEED 129
static const struct {
	uint32_t bits;
	speed_t speed;
} speeds[] = {
	{ 0, B0 },
	{ 50, B50 },
	{ 75, B75 },
	{ 110, B110 },
	{ 134, B134 },
	{ 150, B150 },
	{ 200, B200 },
	{ 300, B300 },
	{ 600, B600 },
	{ 1200, B1200 },
	{ 1800, B1800 },
	{ 2400, B2400 },
	{ 4800, B4800 },
	{ 9600, B9600 },
	{ 19200, B19200 },
	{ 38400, B38400 },
	{ 57600, B57600 },
	{ 115200, B115200 },
	{ 230400, B230400 },
};

static void
set_character(struct termios *t, uint8_t opcode, uint32_t value)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(characters); i++) {
		if (characters[i].opcode == opcode)
			t->c_cc[characters[i].character] = value == 255 ? _POSIX_VDISABLE
									: (cc_t)value;
	}
}

static void
set_flag(struct termios *t, uint8_t opcode, bool on)
{
	tcflag_t *word = opcode < 50 ? &t->c_iflag
	    : opcode < 70            ? &t->c_lflag
	    : opcode < 90            ? &t->c_oflag
				     : &t->c_cflag;

	for (size_t i = 0; i < SP_ARRAY_LEN(flags); i++) {
		if (flags[i].opcode == opcode)
			*word = on ? *word | flags[i].bits : *word & ~flags[i].bits;
	}
}

/* As sshd: one that nobody knows is 9600. */
static speed_t
speed_of(uint32_t bits)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(speeds); i++) {
		if (speeds[i].bits == bits)
			return speeds[i].speed;
	}
	return B9600;
}

/* In their order: two opcodes may stand for the same bits. */
static void
wanted_modes(struct termios *t, struct wire_span modes)
{
	struct wire_reader r;

	wire_reader_init(&r, modes.data, modes.len);
	while (r.left > 0) {
		uint8_t opcode = wire_get_u8(&r);
		uint32_t value = wire_get_u32(&r);

		if (r.failed)
			return;
		if (opcode == OPCODE_ISPEED)
			(void)cfsetispeed(t, speed_of(value));
		else if (opcode == OPCODE_OSPEED)
			(void)cfsetospeed(t, speed_of(value));
		set_character(t, opcode, value);
		set_flag(t, opcode, value != 0);
	}
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
set_up(int slave, const struct terminal_size *size, struct wire_span modes)
{
	struct termios t;

	if (tcgetattr(slave, &t) < 0)
		return -errno;
	new_modes(&t);
	wanted_modes(&t, modes);
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
terminal_open(const struct terminal_size *size, struct wire_span modes, int *ret_master,
    int *ret_slave, char name[TERMINAL_NAME_MAX])
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
	r = set_up(slave, size, modes);
	if (r < 0)
		return r;
	*ret_master = fd_steal(&master);
	*ret_slave = fd_steal(&slave);
	return 0;
}
