/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's configuration: single values that are paths, names of host keys and addresses. */
#include <string.h>

#include "config_priv.h"
#include "host_key.h"
#include "listen_address.h"

#define PATH_LEN_MAX 4095

/*
 * Append the names of text to out[*len], an absolute path without a slash at its end. Engines make the same of the
 * paths that they get, and are held to them letter by letter. A ".." takes a name away at the beginning only, where
 * out has no links: behind a name of text's it may lead elsewhere. False: there is one.
 */
static bool
append_names(char *out, size_t *len, const char *text)
{
	bool named = false;

	for (const char *p = text + strspn(text, "/"); *p != '\0'; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n == 2 && strncmp(p, "..", n) == 0) {
			if (named)
				return false;
			while (*len > 0 && out[--*len] != '/')
				;
		} else if (n != 1 || *p != '.') {
			out[(*len)++] = '/';
			memmove(out + *len, p, n);
			*len += n;
			named = true;
		}
		p += n;
	}
	return true;
}

/* The one spelling of a path, absolute; NULL after saying what is wrong. directory: of relative ones. */
static const char *
clean(struct json_reader *r, const struct json_node *value, const char *directory, const char *text)
{
	const char *start = text[0] == '/' || strcmp(directory, "/") == 0 ? "" : directory;
	size_t len = strlen(start);
	char *path = arena_format(r->arena, "%s/%s", start, text);

	if (path == NULL)
		return NULL;
	if (!append_names(path, &len, text)) {
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE, "write the path without it",
		    "%s has a \"..\" behind a name, which leads elsewhere when that is a link",
		    json_read_name(r, value));
		return NULL;
	}
	if (len == 0)
		path[len++] = '/';
	path[len] = '\0';
	return path;
}

/* A path made absolute; NULL after saying what is wrong. */
static const char *
absolute(struct json_reader *r, const struct json_node *value, size_t max)
{
	const char *text = json_read_text(r, value, 1, max);
	const char *path = text != NULL ? clean(r, value, config_draft_of(r)->directory, text) : NULL;

	if (path == NULL || strlen(path) <= max)
		return path;
	json_read_diag(r, DIAG_E_TOO_LONG, value, JSON_AT_VALUE, NULL,
	    "%s is too long together with the directory of this file: at most %zu bytes",
	    json_read_name(r, value), max);
	return NULL;
}

void
config_read_path(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *path = absolute(r, value, field->max != 0 ? field->max : PATH_LEN_MAX);

	if (path != NULL)
		*(const char **)target = path;
}

/* Docker's own tools name a socket by a URL. */
void
config_read_engine_socket(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = json_node_kind(value) == JSON_KIND_STRING ? json_node_string(value) : "";

	if (strstr(text, "://") != NULL)
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE,
		    strncmp(text, "unix://", 7) == 0 ? "leave \"unix://\" out" : NULL,
		    "%s must be the path of a Unix socket, and no URL", json_read_name(r, value));
	else
		config_read_path(r, value, field, target);
}

/* A path on another host, the engine's: ours say nothing about it. */
void
config_read_foreign_path(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *text = json_read_text(r, value, 1, PATH_LEN_MAX);
	const char *path = NULL;

	(void)field;
	if (text != NULL && text[0] != '/')
		json_read_diag(r, DIAG_E_PATH, value, JSON_AT_VALUE, NULL,
		    "%s must be an absolute path", json_read_name(r, value));
	else if (text != NULL)
		path = clean(r, value, "/", text);
	if (path != NULL)
		*(const char **)target = path;
}

/* systemd takes more for a name; these are enough, and are one file in one directory. */
static bool
is_credential_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 255 && name[0] != '.' &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

/* A path made absolute, or a credential as it stands: where that is found out when it is read. */
static const char *
host_key_source(struct json_reader *r, const struct json_node *value)
{
	const char *text = json_read_text(r, value, 1, PATH_LEN_MAX);
	const char *name = text != NULL ? host_key_credential(text) : NULL;

	if (name == NULL)
		return absolute(r, value, PATH_LEN_MAX);
	if (is_credential_name(name))
		return text;
	json_read_diag(r, DIAG_E_NAME, value, JSON_AT_VALUE, NULL,
	    "\"%s\" names no credential: letters, digits, \"_\", \".\" and \"-\"", text);
	return NULL;
}

void
config_read_host_keys(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *given = json_read_texts(r, value, field->min, field->max);
	const struct json_node *e;
	const char **paths;
	size_t n = 0;

	if (given == NULL)
		return;
	paths = arena_array(r->arena, json_node_count(value) + 1, sizeof(*paths));
	if (paths == NULL)
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e)) {
		paths[n] = host_key_source(r, e);
		if (paths[n] == NULL)
			return;
		for (size_t i = 0; i < n; i++) {
			if (strcmp(paths[i], paths[n]) == 0)
				json_read_diag(r, DIAG_E_TWICE, e, JSON_AT_VALUE, NULL,
				    "\"%s\" is listed twice", json_node_string(e));
		}
		n++;
	}
	*(const char *const **)target = paths;
}

void
config_read_listen(struct json_reader *r, const struct json_node *value,
    const struct json_field *field, void *target)
{
	const char *const *addresses = json_read_texts(r, value, field->min, field->max);
	const struct json_node *e;
	size_t n = 0;

	if (addresses == NULL)
		return;
	for (e = json_node_first(value); e != NULL; e = json_node_next(e), n++) {
		struct sockaddr_storage address;
		socklen_t len;
		const char *fault = listen_address_parse(addresses[n], &address, &len);

		for (size_t i = 0; fault == NULL && i < n; i++)
			fault = strcmp(addresses[i], addresses[n]) == 0 ? "is listed twice" : NULL;
		if (fault != NULL)
			json_read_diag(r, DIAG_E_ADDRESS, e, JSON_AT_VALUE, NULL, "\"%s\" %s",
			    addresses[n], fault);
	}
	*(const char *const **)target = addresses;
}
