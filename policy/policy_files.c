/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a policy: one, or those of a directory. Runs in the broker and the admin tool. */
#include "policy_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 256

static int
no_memory(struct diag_list *diags, const char *path)
{
	diag_add(diags, DIAG_E_MEMORY, path, 0, 0, 0, NULL, NULL, "out of memory");
	return -ENOMEM;
}

static int
complain(int error, struct diag_list *diags, const char *path, const char *why)
{
	diag_add(diags, DIAG_E_FILE, path, 0, 0, 0, NULL, NULL, "%s", why);
	return error;
}

/* Who may put a file into the directory may write the policy. */
static const char *
directory_fault(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs neither to root nor to the user that this runs as";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "can be written by others than its owner; chmod go-w";
	return NULL;
}

static int
is_policy(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
add_file(const char *path, struct policy_files *files, struct diag_list *diags)
{
	int r = json_text_load(path, "a policy may be a directory of files",
	    &files->texts[files->n], diags);

	files->n += r == 0;
	return r > 0 ? POLICY_E_INVALID : r;
}

static int
add_entries(const char *path, struct dirent **entries, int n, struct policy_files *files,
    struct diag_list *diags)
{
	int worst = 0;

	/* Also after a bad file: all errors come in one run. */
	if (n == 0)
		return complain(-ENOENT, diags, path, "has no file *.json");
	if (n > FILES_MAX)
		return complain(POLICY_E_INVALID, diags, path, "has more than 256 files *.json");
	files->texts = calloc((size_t)n, sizeof(struct json_text *));
	if (files->texts == NULL)
		return no_memory(diags, path);
	for (int i = 0; i < n; i++) {
		char *name = NULL;
		int r;

		if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0)
			return no_memory(diags, path);
		r = add_file(name, files, diags);
		free(name);
		if (worst == 0)
			worst = r;
	}
	return worst;
}

static int
load_directory(const char *path, const struct stat *st, struct policy_files *files,
    struct diag_list *diags)
{
	struct dirent **entries = NULL;
	int n;
	int r;

	files->directory = true;
	if (directory_fault(st) != NULL)
		return complain(-EPERM, diags, path, directory_fault(st));
	n = scandir(path, &entries, is_policy, compare_names);
	if (n < 0)
		return complain(-errno, diags, path, strerror(errno));
	r = add_entries(path, entries, n, files, diags);
	for (int i = 0; i < n; i++)
		free(entries[i]);
	free(entries);
	return r;
}

int
policy_files_load(const char *path, struct policy_files *ret, struct diag_list *diags)
{
	struct stat st;

	*ret = (struct policy_files){ 0 };
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return load_directory(path, &st, ret, diags);
	ret->texts = calloc(1, sizeof(struct json_text *));
	if (ret->texts == NULL)
		return no_memory(diags, path);
	return add_file(path, ret, diags);
}

void
policy_files_clear(struct policy_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		json_text_free(files->texts[i]);
	free(files->texts);
	*files = (struct policy_files){ 0 };
}
