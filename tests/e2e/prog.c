/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file of the image "onebinary": proves that a container needs nothing of its image.
 * Tells how it was started and copies its input; "exit N" as its last argument ends it with N.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char buf[4096];
	ssize_t n;
	int i;

	for (i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	printf("pid>1=%d uid=%d tty=%d\n", getpid() > 1, (int)getuid(), isatty(0));
	fflush(stdout);
	fprintf(stderr, "this is stderr\n");
	if (argc > 1 && strncmp(argv[argc - 1], "exit ", 5) == 0)
		return atoi(argv[argc - 1] + 5);
	while ((n = read(0, buf, sizeof(buf))) > 0) {
		if (write(1, buf, (size_t)n) != n)
			return 99;
	}
	return 0;
}
