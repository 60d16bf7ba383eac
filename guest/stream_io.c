/* SPDX-License-Identifier: Apache-2.0 */
/* Guest: see stream_io.h. */
#include "stream_io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

size_t
stream_io_room(const struct stream_io *io)
{
	return sizeof(io->out) - io->out_len;
}

/* Written so that a compiler sees, too, that it is never more than there is. */
size_t
stream_io_in_room(const struct stream_io *io)
{
	return io->in_len < sizeof(io->in) ? sizeof(io->in) - io->in_len : 0;
}

size_t
stream_io_sendable(const struct stream_io *io, uint64_t credit)
{
	const size_t around = STREAM_OUT_RESERVE + STREAM_FRAME_MAX - STREAM_DATA_MAX;
	size_t space = stream_io_room(io);

	if (space <= around)
		return 0;
	space -= around;
	if (space > STREAM_DATA_MAX)
		space = STREAM_DATA_MAX;
	return credit < space ? (size_t)credit : space;
}

void
stream_io_say(struct stream_io *io, const struct stream_frame *f)
{
	struct wire_writer w;

	wire_writer_init(&w, io->out + io->out_len, stream_io_room(io));
	stream_put(&w, f);
	io->out_len += w.len;
}

void
stream_io_say_failed(struct stream_io *io, enum guest_fail_stage stage, int error)
{
	struct guest_ctl m = { .id = GUEST_CTL_FAILED };
	uint8_t record[GUEST_CTL_MAX];
	struct wire_writer w;

	m.failed.stage = stage;
	m.failed.error = (uint32_t)error;
	wire_writer_init(&w, record, sizeof(record));
	guest_put_ctl(&w, &m);
	stream_io_say(io, &(struct stream_frame){ .kind = STREAM_CTL, .data = { w.data, w.len } });
}

bool
stream_io_flush(struct stream_io *io)
{
	ssize_t n;

	if (io->out_len == 0)
		return true;
	n = write(STDOUT_FILENO, io->out, io->out_len);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n <= 0)
		return true;
	io->out_len -= (size_t)n;
	memmove(io->out, io->out + n, io->out_len);
	return true;
}

bool
stream_io_read(struct stream_io *io)
{
	ssize_t n = read(STDIN_FILENO, io->in + io->in_len, stream_io_in_room(io));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	io->in_len += (size_t)n;
	return true;
}

void
stream_io_cut(int *fd)
{
	const struct linger reset = { .l_onoff = 1 };

	/* Other than of TCP there is no such end. */
	(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	fd_close(fd);
}

int
stream_io_take(struct stream_io *io, int (*act)(void *arg, const struct stream_frame *f), void *arg)
{
	size_t used = 0;
	int result = 0;

	while (result == 0) {
		struct stream_frame f;
		size_t len;

		result = stream_get(io->in + used, io->in_len - used, &f, &len);
		if (result == STREAM_E_SHORT) {
			result = 0;
			break;
		}
		result = result == 0 ? act(arg, &f) : STREAM_FRAME_BAD;
		if (result == 0)
			used += len;
	}
	io->in_len -= used;
	memmove(io->in, io->in + used, io->in_len);
	return result;
}
