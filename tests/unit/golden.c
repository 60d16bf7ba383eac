/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over files with known messages. Tests only. */
#include "test.h"

#include "golden.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *
golden_read(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rbe");
	char *text = malloc(1 << 20);

	assert_non_null(f);
	assert_non_null(text);
	*ret_len = fread(text, 1, (1 << 20) - 1, f);
	text[*ret_len] = '\0';
	assert_int_equal(fclose(f), 0);
	return text;
}

static void
write_whole(const char *path, const char *text)
{
	FILE *f = fopen(path, "wbe");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

/* The messages as they are printed, from malloc. */
static char *
print_all(const struct diag_list *diags)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	diag_print(diags, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Each error names a place that exists; so no message ever stands without one. */
static bool
have_places(const struct diag_list *diags)
{
	for (size_t i = 0; i < diags->n; i++) {
		if (diags->items[i].line == 0 || diags->items[i].column == 0 ||
		    diags->items[i].width == 0)
			return false;
	}
	return true;
}

static bool
is_as_expected(const char *err, const char *printed)
{
	char *wanted;
	size_t len;
	bool same;

	if (access(err, R_OK) != 0)
		return printed[0] == '\0';
	wanted = golden_read(err, &len);
	same = strcmp(wanted, printed) == 0;
	if (!same)
		print_error("---- %s wants\n%s---- and got\n%s----\n", err, wanted, printed);
	free(wanted);
	return same;
}

static bool
judge_one(const char *name, int expected, golden_fn *judge)
{
	struct diag_list diags = DIAG_LIST_INIT;
	char err[256];
	char *printed;
	size_t len;
	char *text = golden_read(name, &len);
	int outcome = judge(name, text, len, &diags);
	bool ok = true;

	(void)snprintf(err, sizeof(err), "%.*s.err", (int)(strlen(name) - strlen(".json")), name);
	printed = print_all(&diags);
	if (getenv("SP_UPDATE_GOLDEN") != NULL && printed[0] != '\0')
		write_whole(err, printed);
	if (outcome != expected) {
		print_error("%s: outcome %d instead of %d\n%s", name, outcome, expected, printed);
		ok = false;
	}
	if (!have_places(&diags)) {
		print_error("%s: a message without a place\n%s", name, printed);
		ok = false;
	}
	if ((expected > 0) != (diags.n_errors > 0)) {
		print_error("%s: %zu errors\n", name, diags.n_errors);
		ok = false;
	}
	if (!is_as_expected(err, printed)) {
		print_error("%s: other messages than in %s\n%s", name, err, printed);
		ok = false;
	}
	diag_list_clear(&diags);
	free(printed);
	free(text);
	return ok;
}

unsigned
golden_walk(const char *directory, int expected, golden_fn *judge)
{
	DIR *dir;
	const struct dirent *entry;
	unsigned n = 0;
	unsigned failed = 0;

	assert_int_equal(chdir(directory), 0);
	dir = opendir(".");
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len <= 5 || strcmp(entry->d_name + len - 5, ".json") != 0)
			continue;
		n++;
		failed += !judge_one(entry->d_name, expected, judge);
	}
	assert_int_equal(closedir(dir), 0);
	assert_int_equal(failed, 0);
	return n;
}
