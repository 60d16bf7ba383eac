/* SPDX-License-Identifier: Apache-2.0 */
/* SFTP server: accounts. The files are the image's or the tenant's: every line may be anything. */
#include "sftp_account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 64
#define LINE_CAP     1024
#define CACHE_SIZE   64 /* listings ask for the same few again and again */
#define LINES_MAX    100000

struct cached {
	bool valid;
	bool found;
	uint32_t id;
	char name[NAME_MAX_LEN + 1];
};

/* "name:password:id:...", cut at each colon; fields beyond the line are "". */
struct line {
	char text[LINE_CAP];
	char *field[6];
};

/* The next line that fits; longer ones are passed over whole. */
static bool
read_line(FILE *f, struct line *l)
{
	while (fgets(l->text, sizeof(l->text), f) != NULL) {
		char *end = strchr(l->text, '\n');
		int c = 0;

		if (end != NULL || feof(f)) {
			if (end != NULL)
				*end = '\0';
			return true;
		}
		while (c != '\n' && c != EOF)
			c = getc(f);
	}
	return false;
}

static void
split(struct line *l)
{
	char *next = l->text;

	for (size_t i = 0; i < sizeof(l->field) / sizeof(l->field[0]); i++) {
		char *colon = strchr(next, ':');

		l->field[i] = next;
		next = colon != NULL ? colon + 1 : next + strlen(next);
		if (colon != NULL)
			*colon = '\0';
	}
}

static bool
id_is(const char *text, uint32_t id)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && value == id;
}

/* The first line with this name, or with this id when name is NULL. */
static bool
find(const char *path, const char *name, uint32_t id, struct line *ret)
{
	FILE *f = fopen(path, "re");
	bool found = false;

	for (int i = 0; f != NULL && !found && i < LINES_MAX && read_line(f, ret); i++) {
		split(ret);
		found = name != NULL ? strcmp(ret->field[0], name) == 0 : id_is(ret->field[2], id);
	}
	if (f != NULL)
		(void)fclose(f);
	return found && ret->field[0][0] != '\0' && strlen(ret->field[0]) <= NAME_MAX_LEN;
}

static const char *
name_of(const char *path, uint32_t id, struct cached *cache)
{
	struct cached *c = &cache[id % CACHE_SIZE];
	struct line l;

	if (!c->valid || c->id != id) {
		c->valid = true;
		c->id = id;
		c->found = find(path, NULL, id, &l);
		if (c->found)
			(void)snprintf(c->name, sizeof(c->name), "%s", l.field[0]);
	}
	return c->found ? c->name : NULL;
}

const char *
sftp_account_user(uint32_t uid)
{
	static struct cached cache[CACHE_SIZE];

	return name_of("/etc/passwd", uid, cache);
}

const char *
sftp_account_group(uint32_t gid)
{
	static struct cached cache[CACHE_SIZE];

	return name_of("/etc/group", gid, cache);
}

bool
sftp_account_home(const char *name, char *out, size_t cap)
{
	struct line l;
	int n;

	if (name[0] == '\0' || !find("/etc/passwd", name, 0, &l) || l.field[5][0] != '/')
		return false;
	n = snprintf(out, cap, "%s", l.field[5]);
	return n > 0 && (size_t)n < cap;
}
