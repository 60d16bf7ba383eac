/* SPDX-License-Identifier: Apache-2.0 */
/* Broker: at start, on the administrator's own files; nothing hostile comes here. */
#include "uid_range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UID_MAX 2147483647 /* above it, tools disagree about signs */

const struct uid_range_files uid_range_system_files = {
	.passwd = "/etc/passwd",
	.group = "/etc/group",
	.subuid = "/etc/subuid",
	.subgid = "/etc/subgid",
	.uid_map = "/proc/self/uid_map",
	.gid_map = "/proc/self/gid_map",
};

static void
closep(FILE **f)
{
	if (*f != NULL)
		(void)fclose(*f);
}

/* Digits only, ended by end; moves *text behind it. */
static bool
take_number(const char **text, char end, unsigned long *ret)
{
	size_t len = strspn(*text, "0123456789");

	if (len == 0 || len > 10 || (*text)[len] != end)
		return false;
	*ret = strtoul(*text, NULL, 10);
	*text += len + (end != '\0');
	return true;
}

const char *
uid_range_parse(const char *text, struct uid_range *ret)
{
	unsigned long first;
	unsigned long last;

	if (!take_number(&text, '-', &first) || !take_number(&text, '\0', &last))
		return "must be a range of uids, such as \"1900000000-1900131071\"";
	if (first == 0)
		return "must not begin with 0: workers face the network and must not run as root";
	if (first > UID_MAX || last > UID_MAX)
		return "has a number that is no uid: 1 to 2147483647";
	if (last < first)
		return "ends before it begins";
	if (last - first >= UID_RANGE_MAX)
		return "has more than 1048576 uids";
	ret->first = (uid_t)first;
	ret->count = (uint32_t)(last - first + 1);
	return NULL;
}

/* One line of a file with ":" between its fields. count < 0: the entry is one number. */
static bool
read_entry(char *line, int first, int count, const char **ret_name, unsigned long *ret_first,
    unsigned long *ret_last)
{
	const char *fields[4] = { NULL };
	unsigned long n = 1;

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < SP_ARRAY_LEN(fields); i++)
		fields[i] = strsep(&line, ":");
	if (fields[first] == NULL || !take_number(&fields[first], '\0', ret_first))
		return false;
	if (count >= 0 && (fields[count] == NULL || !take_number(&fields[count], '\0', &n) || n == 0))
		return false;
	*ret_name = fields[0];
	*ret_last = *ret_first + n - 1;
	return true;
}

static int
file_takes(const struct uid_range *range, const char *path, int first_field, int count_field,
    char *why, size_t cap)
{
	SP_CLEANUP(closep) FILE *f = fopen(path, "re");
	unsigned long end = (unsigned long)range->first + range->count - 1;
	char *line = NULL;
	size_t room = 0;
	int r = 0;

	while (f != NULL && r == 0 && getline(&line, &room, f) > 0) {
		const char *name;
		unsigned long first;
		unsigned long last;

		if (!read_entry(line, first_field, count_field, &name, &first, &last) ||
		    last < range->first || first > end)
			continue;
		if (count_field < 0)
			(void)snprintf(why, cap, "contains %lu, which %s gives to \"%s\"", first,
			    path, name);
		else
			(void)snprintf(why, cap, "overlaps %lu-%lu, which %s gives to \"%s\"",
			    first, last, path, name);
		r = 1;
	}
	free(line);
	return r;
}

int
uid_range_taken(const struct uid_range *range, const struct uid_range_files *files, char *why,
    size_t cap)
{
	int r = file_takes(range, files->passwd, 2, -1, why, cap);

	if (r == 0)
		r = file_takes(range, files->group, 2, -1, why, cap);
	if (r == 0)
		r = file_takes(range, files->subuid, 1, 2, why, cap);
	if (r == 0)
		r = file_takes(range, files->subgid, 1, 2, why, cap);
	return r;
}

/* How many numbers from first on the map has in one piece. 0: none; no file: all there are. */
static unsigned long
mapped_from(const char *path, unsigned long first)
{
	SP_CLEANUP(closep) FILE *f = fopen(path, "re");
	unsigned long found = 0;
	char *line = NULL;
	size_t room = 0;

	if (f == NULL)
		return UID_MAX;
	while (found == 0 && getline(&line, &room, f) > 0) {
		char *at = line;
		unsigned long inside = strtoul(at, &at, 10);
		unsigned long n;

		(void)strtoul(at, &at, 10); /* the same numbers outside */
		n = strtoul(at, NULL, 10);
		if (first >= inside && first - inside < n)
			found = n - (first - inside);
	}
	free(line);
	return found;
}

static int
map_lacks(const struct uid_range *range, const char *path, char *why, size_t cap)
{
	unsigned long at = range->first;
	unsigned long end = at + range->count;

	while (at < end) {
		unsigned long n = mapped_from(path, at);

		if (n == 0) {
			(void)snprintf(why, cap,
			    "contains %lu, which this user namespace does not have (%s)", at, path);
			return 1;
		}
		at += n;
	}
	return 0;
}

int
uid_range_unmapped(const struct uid_range *range, const struct uid_range_files *files, char *why,
    size_t cap)
{
	int r = map_lacks(range, files->uid_map, why, cap);

	return r != 0 ? r : map_lacks(range, files->gid_map, why, cap);
}
