/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of a fuzz target without libFuzzer, for any compiler: runs its seeds and every file that is
 * named, or stands in a directory that is named. What broke it once cannot break it again unseen.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

/* The sanitizers' runtime has it; other builds do not. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
	(void)data;
	(void)max;
	return size;
}

static void
run_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	FILE *f = fopen(path, "re");

	if (f == NULL || fstat(fileno(f), &st) < 0) {
		perror(path);
		exit(2);
	}
	data = malloc((size_t)st.st_size + 1);
	if (data == NULL || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
		perror(path);
		exit(2);
	}
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
}

static unsigned
run_path(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0;

	if (d == NULL) {
		run_file(path);
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		char name[1024];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		run_file(name);
		n++;
	}
	(void)closedir(d);
	return n;
}

/* The log of the code under test is of no interest; what the sanitizers say is. */
static void
silence_log(void)
{
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (kept < 0 || null < 0 || dup2(null, STDERR_FILENO) < 0)
		exit(2);
	(void)close(null);
	stderr = fdopen(kept, "we");
	if (stderr == NULL)
		exit(2);
	(void)setvbuf(stderr, NULL, _IONBF, 0);
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)kept);
}

int
main(int argc, char **argv)
{
	unsigned n = 0;

	silence_log();
	(void)LLVMFuzzerInitialize(&argc, &argv);
	fuzz_seeds();
	for (int i = 1; i < argc; i++)
		n += run_path(argv[i]);
	(void)printf("all seeds and %u files of the corpus\n", n);
	return 0;
}
