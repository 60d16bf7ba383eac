/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs when this is built, and is not installed: compiles sandbox_rules.c to sandbox_filter.c.
 * usage: compile_filter OUTPUT
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sandbox_rules.h"

#define API_KILL_PROCESS 3 /* libseccomp's level of kernels that can end a process */

static struct sock_filter program[BPF_MAXINSNS];

/* How many instructions, 0 after a failure. */
static size_t
compile(void)
{
	FILE *f = tmpfile();
	size_t n = 0;
	int r;

	if (f == NULL) {
		perror("compile_filter: tmpfile");
		return 0;
	}
	/* Workers' kernels can; what this one can, on which only the compiler runs, does not matter. */
	r = seccomp_api_set(API_KILL_PROCESS);
	if (r == 0)
		r = lockdown_seccomp_export(sandbox_rules, sandbox_n_rules, fileno(f));
	if (r < 0) {
		(void)fprintf(stderr, "compile_filter: %s\n", strerror(-r));
	} else {
		rewind(f);
		n = fread(program, sizeof(program[0]), BPF_MAXINSNS, f);
	}
	(void)fclose(f);
	return n;
}

static bool
write_source(const char *path, size_t n)
{
	FILE *f = fopen(path, "we");
	bool failed;

	if (f == NULL)
		return false;
	(void)fputs("/* Made by compile_filter from daemon/sandbox_rules.c. */\n"
		    "#include \"sandbox_filter.h\"\n\n"
		    "const struct sock_filter sandbox_filter[] = {\n",
	    f);
	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *p = &program[i];

		(void)fprintf(f, "\t{ 0x%04x, %u, %u, 0x%08x },\n", p->code, p->jt, p->jf, p->k);
	}
	(void)fprintf(f, "};\n\nconst size_t sandbox_filter_len = %zu;\n", n);
	failed = ferror(f) != 0;
	return fclose(f) == 0 && !failed;
}

int
main(int argc, char **argv)
{
	size_t n;

	if (argc != 2) {
		(void)fputs("usage: compile_filter OUTPUT\n", stderr);
		return 2;
	}
	n = compile();
	if (n == 0)
		return 1;
	if (!write_source(argv[1], n)) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
