/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-sftp: the guest's own SFTP server on stdin and stdout, for images that have none. Started
 * by the guest in the container, as its user and with its limits. It needs nothing of the image: no
 * libraries, and no entry in a user database, without which OpenSSH's server does not start.
 *
 *   sallyport-sftp [-R]    -R: read only
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sftp_server.h"

#define READ_SIZE (256 * 1024)

static int
send_all(void *arg, const uint8_t *data, size_t len)
{
	(void)arg;
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static struct sftp_server server;
	static uint8_t bytes[READ_SIZE];
	bool read_only = argc == 2 && strcmp(argv[1], "-R") == 0;
	int r = 0;

	if (argc != 1 && !read_only) {
		(void)fprintf(stderr, "usage: sallyport-sftp [-R]\n");
		return 2;
	}
	/* A login that may do nothing but SFTP shall not look into this process through /proc. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	sftp_server_init(&server, read_only, send_all, NULL);
	while (r == 0) {
		ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		r = sftp_server_feed(&server, bytes, (size_t)n);
	}
	sftp_server_end(&server);
	if (r == SFTP_SERVER_E_PROTOCOL)
		(void)fprintf(stderr,
		    "sallyport-sftp: this is not SFTP, or a packet is longer than %d bytes\n",
		    SFTP_PACKET_MAX);
	return r == 0 ? 0 : 1;
}
