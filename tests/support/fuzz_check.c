/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void
fuzz_broken(const char *file, int line, const char *promise)
{
	(void)fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
	abort();
}

_Noreturn void
fuzz_unable(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

int
fuzz_next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fuzz_unable("/dev/null");
	(void)close(fd);
	return fd;
}

char *
fuzz_read_data(const char *name, size_t *ret_len)
{
	char path[1024];
	struct stat st;
	char *text;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", SP_TEST_DATA, name);
	f = fopen(path, "re");
	if (f == NULL || fstat(fileno(f), &st) < 0)
		fuzz_unable(path);
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL || fread(text, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		fuzz_unable(path);
	(void)fclose(f);
	text[st.st_size] = '\0';
	*ret_len = (size_t)st.st_size;
	return text;
}
