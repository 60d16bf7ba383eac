/* SPDX-License-Identifier: Apache-2.0 */
/* Closed grammars: whatever is not listed is refused. Byte by byte, in no locale. */
#include "names.h"

#include <string.h>

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

#define LABEL_MAX  64
#define TAG_MAX    128
#define DIGEST_LEN 64

static bool
one_of(const char *set, char c)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Whether all of text[len] is in set. */
static bool
all_of(const char *set, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!one_of(set, text[i]))
			return false;
	}
	return true;
}

bool
names_login_valid(const char *name, size_t len)
{
	return len >= 1 && len <= LABEL_MAX && one_of(LOWER "_", name[0]) &&
	    all_of(LOWER DIGITS "_.-", name, len);
}

bool
names_target_valid(const char *name, size_t len)
{
	return len >= 1 && len <= LABEL_MAX && one_of(LOWER UPPER DIGITS, name[0]) &&
	    all_of(LOWER UPPER DIGITS "_.-", name, len);
}

const char *
names_label_fault(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return "is empty";
	if (len > LABEL_MAX)
		return "is longer than 64 characters";
	if (!one_of(LOWER UPPER DIGITS, name[0]))
		return "must begin with a letter or a digit";
	if (!all_of(LOWER UPPER DIGITS "_.-", name, len))
		return "may hold letters, digits, \"_\", \".\" and \"-\" only";
	return NULL;
}

const char *
names_engine_fault(const char *name)
{
	const char *fault = names_label_fault(name);

	return fault == NULL && name[1] == '\0' ? "must have at least 2 characters" : fault;
}

const char *
names_variable_fault(const char *name, bool pattern)
{
	size_t len = strlen(name);

	if (len == 0)
		return "is empty";
	if (len > NAMES_VARIABLE_MAX)
		return "is longer than 128 characters";
	if (one_of(DIGITS, name[0]))
		return "must not begin with a digit";
	if (!all_of(pattern ? LOWER UPPER DIGITS "_*?" : LOWER UPPER DIGITS "_", name, len))
		return pattern ? "may hold letters, digits, \"_\", \"*\" and \"?\" only"
			       : "may hold letters, digits and \"_\" only";
	return NULL;
}

static const char *
component_fault(const char *start, size_t len)
{
	if (len == 0)
		return "must not hold \"//\" or end with \"/\"";
	if ((len == 1 && start[0] == '.') || (len == 2 && start[0] == '.' && start[1] == '.'))
		return "must not hold \".\" or \"..\"";
	if (len > 255)
		return "has a component of more than 255 bytes";
	return NULL;
}

const char *
names_path_fault(const char *path)
{
	if (path[0] != '/')
		return "must be an absolute path";
	if (strlen(path) > NAMES_PATH_MAX)
		return "is too long";
	for (const char *p = path; path[1] != '\0' && *p == '/';) {
		size_t len = strcspn(p + 1, "/");
		const char *fault = component_fault(p + 1, len);

		if (fault != NULL)
			return fault;
		p += 1 + len;
	}
	return NULL;
}

bool
names_path_within(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* [a-z0-9]+ with single ".", "_", "__" or any number of "-" in between. */
static bool
image_component_valid(const char *start, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t word = 0;

		while (i < len && one_of(LOWER DIGITS, start[i])) {
			i++;
			word++;
		}
		if (word == 0)
			return false;
		if (i == len)
			return true;
		if (start[i] == '.') {
			i++;
		} else if (start[i] == '_') {
			i++;
			if (i < len && start[i] == '_')
				i++;
		} else if (start[i] == '-') {
			while (i < len && start[i] == '-')
				i++;
		} else {
			return false;
		}
	}
	return false; /* empty, or a separator at the end */
}

static bool
host_valid(const char *start, size_t len)
{
	const char *colon = memchr(start, ':', len);
	size_t name = colon == NULL ? len : (size_t)(colon - start);

	if (name == 0 || start[0] == '.' || start[0] == '-' || start[name - 1] == '.' ||
	    !all_of(LOWER UPPER DIGITS ".-", start, name))
		return false;
	if (colon == NULL)
		return true;
	return len - name - 1 >= 1 && len - name - 1 <= 5 &&
	    all_of(DIGITS, colon + 1, len - name - 1);
}

/* As engines decide it: the first component is a host when it could be no name. */
static bool
is_host(const char *start, size_t len)
{
	return memchr(start, '.', len) != NULL || memchr(start, ':', len) != NULL ||
	    (len == 9 && memcmp(start, "localhost", 9) == 0);
}

static const char *
repository_fault(const char *start, size_t len)
{
	const char *slash = memchr(start, '/', len);
	size_t end = len;

	if (slash != NULL && is_host(start, (size_t)(slash - start))) {
		if (!host_valid(start, (size_t)(slash - start)))
			return "names no valid registry host before the first \"/\"";
		end -= (size_t)(slash - start) + 1;
		start = slash + 1;
	}
	for (size_t i = 0; i < end; i++) {
		if (one_of(UPPER, start[i]))
			return "has upper-case letters in its name; engines refuse them";
	}
	for (;;) {
		size_t n = 0;

		while (n < end && start[n] != '/')
			n++;
		if (!image_component_valid(start, n))
			return "is not of the form [host/]name[:tag][@sha256:digest]";
		if (n == end)
			return NULL;
		start += n + 1;
		end -= n + 1;
	}
}

static const char *
digest_fault(const char *digest)
{
	if (strncmp(digest, "sha256:", 7) != 0)
		return "has a digest that is not \"sha256:\"";
	if (strlen(digest + 7) != DIGEST_LEN || !all_of(DIGITS "abcdef", digest + 7, DIGEST_LEN))
		return "has a digest that is not 64 lower-case hexadecimal digits";
	return NULL;
}

static const char *
tag_fault(const char *tag, size_t len)
{
	if (len == 0 || len > TAG_MAX || tag[0] == '.' || tag[0] == '-' ||
	    !all_of(LOWER UPPER DIGITS "_.-", tag, len))
		return "has no valid tag after \":\"";
	return NULL;
}

const char *
names_image_fault(const char *reference)
{
	size_t len = strlen(reference);
	size_t name = strcspn(reference, "@");
	const char *fault = NULL;
	size_t i = name;

	if (len == 0)
		return "is empty";
	if (len > NAMES_IMAGE_MAX)
		return "is longer than 255 characters";
	if (strcspn(reference, " \t\r\n") != len)
		return "holds blanks";
	if ((len == DIGEST_LEN && all_of(DIGITS "abcdef", reference, len)) ||
	    strncmp(reference, "sha256:", 7) == 0)
		return "is an image ID; name the image, so that it can be found again";
	if (reference[name] == '@')
		fault = digest_fault(reference + name + 1);
	if (fault != NULL)
		return fault;
	/* A colon after the last slash starts the tag; one before it, a port. */
	while (i > 0 && reference[i - 1] != '/' && reference[i - 1] != ':')
		i--;
	if (i > 0 && reference[i - 1] == ':') {
		fault = tag_fault(reference + i, name - i);
		name = i - 1;
	}
	return fault != NULL ? fault : repository_fault(reference, name);
}
