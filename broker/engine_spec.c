/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Container specifications: check, copy. Runs in the broker. The values come from the policy and from
 * the broker itself; they are checked again because what leaves here is root's own request.
 */
#include "engine_spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
only(const char *text, const char *allowed, size_t max)
{
	size_t n = strnlen(text, max + 1);

	return n > 0 && n <= max && strspn(text, allowed) == n;
}

bool
engine_id_valid(const char *id)
{
	return id != NULL && strnlen(id, ENGINE_ID_LEN + 1) == ENGINE_ID_LEN &&
	    only(id, "0123456789abcdef", ENGINE_ID_LEN);
}

bool
engine_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	return name != NULL && only(name, allowed, ENGINE_NAME_MAX) && name[1] != '\0' &&
	    strchr("_.-", name[0]) == NULL;
}

bool
engine_image_valid(const char *image)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-/:@+";

	/* "a/../b" would be another path of the API. */
	return image != NULL && only(image, allowed, ENGINE_IMAGE_MAX) &&
	    strchr("/.:@", image[0]) == NULL && strstr(image, "..") == NULL &&
	    strstr(image, "//") == NULL;
}

static bool SP_PRINTF(3, 4) complain(char *why, size_t cap, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, cap, format, args);
	va_end(args);
	return false;
}

static bool
path_valid(const char *path)
{
	size_t n = path != NULL ? strnlen(path, ENGINE_PATH_MAX + 1) : 0;

	return n > 0 && n <= ENGINE_PATH_MAX && path[0] == '/';
}

static bool
check_identity(const struct engine_container_spec *s, char *why, size_t cap)
{
	if (!engine_name_valid(s->name))
		return complain(why, cap, "the container's name is not a name");
	if (!engine_image_valid(s->image))
		return complain(why, cap, "the image is not an image reference");
	if (s->runtime != NULL && !engine_name_valid(s->runtime))
		return complain(why, cap, "the runtime is not a name");
	if (s->network == ENGINE_NETWORK_NAMED && !engine_name_valid(s->network_name))
		return complain(why, cap, "the network is not a name");
	/* Words that are no networks but modes: they would share a namespace with somebody. */
	if (s->network == ENGINE_NETWORK_NAMED &&
	    (strcmp(s->network_name, "host") == 0 || strcmp(s->network_name, "container") == 0))
		return complain(why, cap, "network \"%s\" is a mode, not a network", s->network_name);
	if (s->workdir != NULL && !path_valid(s->workdir))
		return complain(why, cap, "the working directory is not an absolute path");
	return true;
}

static bool
check_limits(const struct engine_container_spec *s, char *why, size_t cap)
{
	if (s->memory == 0 || s->memory > INT64_MAX || s->swap > INT64_MAX - s->memory)
		return complain(why, cap, "the memory limit is zero or too large");
	if (s->nano_cpus == 0 || s->nano_cpus > INT64_MAX)
		return complain(why, cap, "the CPU limit is zero or too large");
	if (s->pids == 0)
		return complain(why, cap, "the process limit is zero");
	if (s->nofile == 0)
		return complain(why, cap, "the file limit is zero");
	return true;
}

static bool
check_mount(const struct engine_mount *m, char *why, size_t cap)
{
	if (!path_valid(m->target) || m->target[1] == '\0')
		return complain(why, cap, "a mount's target is not an absolute path below /");
	switch (m->kind) {
	case ENGINE_MOUNT_BIND:
	case ENGINE_MOUNT_HOME:
		if (!path_valid(m->source))
			return complain(why, cap, "the source of %s is not an absolute path",
			    m->target);
		return true;
	case ENGINE_MOUNT_VOLUME:
		if (!engine_name_valid(m->source))
			return complain(why, cap, "the volume of %s is not a name", m->target);
		return true;
	case ENGINE_MOUNT_TMPFS:
		if (m->size == 0 || m->size > INT64_MAX)
			return complain(why, cap, "the size of %s is zero or too large", m->target);
		return true;
	}
	return complain(why, cap, "a mount of no known kind");
}

static size_t
count_dns(const struct engine_container_spec *s)
{
	size_t n = 0;

	while (s->dns != NULL && s->dns[n] != NULL)
		n++;
	return n;
}

static bool
check_dns(const struct engine_container_spec *s, char *why, size_t cap)
{
	for (size_t i = 0; i < count_dns(s); i++) {
		unsigned char address[16];

		if (i == ENGINE_DNS_MAX)
			return complain(why, cap, "too many name servers");
		if (inet_pton(AF_INET, s->dns[i], address) != 1 &&
		    inet_pton(AF_INET6, s->dns[i], address) != 1)
			return complain(why, cap, "a name server is not an address");
	}
	return true;
}

static bool
check_lists(const struct engine_container_spec *s, char *why, size_t cap)
{
	size_t n = 0;

	if (s->entrypoint == NULL || s->entrypoint[0] == NULL || s->entrypoint[0][0] != '/')
		return complain(why, cap, "the entrypoint is not an absolute path");
	if (!check_dns(s, why, cap))
		return false;
	while (s->entrypoint[n] != NULL && n <= ENGINE_ARGV_MAX)
		n++;
	if (n > ENGINE_ARGV_MAX || s->n_labels > ENGINE_LABELS_MAX || s->n_mounts > ENGINE_MOUNTS_MAX)
		return complain(why, cap, "too many arguments, labels or mounts");
	for (size_t i = 0; i < s->n_labels; i++) {
		if (!only(s->labels[i].name, "abcdefghijklmnopqrstuvwxyz0123456789.-_",
			ENGINE_LABEL_MAX) ||
		    strnlen(s->labels[i].value, ENGINE_LABEL_MAX + 1) > ENGINE_LABEL_MAX)
			return complain(why, cap, "label %zu is malformed or too long", i);
		for (size_t j = 0; j < i; j++)
			if (strcmp(s->labels[i].name, s->labels[j].name) == 0)
				return complain(why, cap, "label %zu is there twice", i);
	}
	for (size_t i = 0; i < s->n_mounts; i++) {
		if (!check_mount(&s->mounts[i], why, cap))
			return false;
		for (size_t j = 0; j < i; j++)
			if (strcmp(s->mounts[i].target, s->mounts[j].target) == 0)
				return complain(why, cap, "two mounts at %s", s->mounts[i].target);
	}
	return true;
}

int
engine_spec_check(const struct engine_container_spec *spec, char *why, size_t cap)
{
	if (!check_identity(spec, why, cap) || !check_limits(spec, why, cap) ||
	    !check_lists(spec, why, cap))
		return -EINVAL;
	return 0;
}

/* A spec and the memory behind its strings, freed together. */
struct copied {
	struct engine_container_spec spec; /* first: the address is the same */
	struct engine_label *labels;
	struct engine_mount *mounts;
	char **entrypoint;
	const char **dns;
	char *text;
};

static size_t
text_len(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

static size_t
text_total(const struct engine_container_spec *s)
{
	size_t n = text_len(s->name) + text_len(s->image) + text_len(s->workdir) +
	    text_len(s->network_name) + text_len(s->runtime) + text_len(s->owner);

	for (size_t i = 0; s->entrypoint[i] != NULL; i++)
		n += text_len(s->entrypoint[i]);
	for (size_t i = 0; i < count_dns(s); i++)
		n += text_len(s->dns[i]);
	for (size_t i = 0; i < s->n_labels; i++)
		n += text_len(s->labels[i].name) + text_len(s->labels[i].value);
	for (size_t i = 0; i < s->n_mounts; i++)
		n += text_len(s->mounts[i].source) + text_len(s->mounts[i].target);
	return n;
}

/* Move one string into the block at *next; NULL stays NULL. */
static const char *
put(char **next, const char *text)
{
	char *copy = *next;
	size_t n = text_len(text);

	if (n == 0)
		return NULL;
	memcpy(copy, text, n);
	*next += n;
	return copy;
}

static void
fill(struct copied *c, const struct engine_container_spec *s)
{
	char *next = c->text;

	c->spec = *s;
	c->spec.name = put(&next, s->name);
	c->spec.image = put(&next, s->image);
	c->spec.workdir = put(&next, s->workdir);
	c->spec.network_name = put(&next, s->network_name);
	c->spec.runtime = put(&next, s->runtime);
	c->spec.owner = put(&next, s->owner);
	for (size_t i = 0; i < count_dns(s); i++)
		c->dns[i] = put(&next, s->dns[i]);
	for (size_t i = 0; s->entrypoint[i] != NULL; i++) {
		c->entrypoint[i] = next;
		(void)put(&next, s->entrypoint[i]);
	}
	for (size_t i = 0; i < s->n_labels; i++) {
		c->labels[i].name = put(&next, s->labels[i].name);
		c->labels[i].value = put(&next, s->labels[i].value);
	}
	for (size_t i = 0; i < s->n_mounts; i++) {
		c->mounts[i] = s->mounts[i];
		c->mounts[i].source = put(&next, s->mounts[i].source);
		c->mounts[i].target = put(&next, s->mounts[i].target);
	}
	c->spec.entrypoint = (const char *const *)c->entrypoint;
	c->spec.dns = c->dns;
	c->spec.labels = c->labels;
	c->spec.mounts = c->mounts;
}

int
engine_spec_copy(const struct engine_container_spec *spec, struct engine_container_spec **ret)
{
	struct copied *c = calloc(1, sizeof(*c));
	size_t n_argv = 1;

	if (c == NULL)
		return -ENOMEM;
	for (size_t i = 0; spec->entrypoint[i] != NULL; i++)
		n_argv++;
	c->labels = calloc(spec->n_labels + 1, sizeof(*c->labels));
	c->mounts = calloc(spec->n_mounts + 1, sizeof(*c->mounts));
	c->entrypoint = calloc(n_argv, sizeof(*c->entrypoint));
	c->dns = calloc(count_dns(spec) + 1, sizeof(*c->dns));
	c->text = malloc(text_total(spec) + 1);
	if (c->labels == NULL || c->mounts == NULL || c->entrypoint == NULL || c->dns == NULL ||
	    c->text == NULL) {
		engine_spec_free(&c->spec);
		return -ENOMEM;
	}
	fill(c, spec);
	*ret = &c->spec;
	return 0;
}

struct engine_container_spec *
engine_spec_free(struct engine_container_spec *spec)
{
	struct copied *c = (struct copied *)spec;

	if (c == NULL)
		return NULL;
	free(c->labels);
	free(c->mounts);
	free(c->entrypoint);
	free(c->dns);
	free(c->text);
	free(c);
	return NULL;
}

const char *
engine_spec_network_mode(const struct engine_container_spec *spec)
{
	switch (spec->network) {
	case ENGINE_NETWORK_BRIDGE:
		return "bridge";
	case ENGINE_NETWORK_NAMED:
		return spec->network_name;
	case ENGINE_NETWORK_NONE:
		break;
	}
	return "none";
}
