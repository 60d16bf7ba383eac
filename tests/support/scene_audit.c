/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene's audit log: a real file, read line by line as the broker writes it. Each line is ASCII and one
 * JSON object, none is missing, and what is allowed is there before it happens.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "fd.h"
#include "fuzz_check.h"
#include "scene_private.h"

#define LINE_MAX_BYTES (8 * IPC_RECORD_MAX)

static struct scene_audit seen;
static int log_fd;
static json_int_t next_number;
static unsigned started, connected, listening;
static char line[LINE_MAX_BYTES];

struct audit *
scene_audit_begin(void)
{
	char directory[] = "/tmp/sp-scene-XXXXXX";
	struct audit *a = NULL;
	char why[256] = "";
	char path[64];

	seen = (struct scene_audit){ 0 };
	next_number = 0;
	started = connected = listening = 0;
	FUZZ_CHECK(mkdtemp(directory) != NULL);
	(void)snprintf(path, sizeof(path), "%s/audit", directory);
	FUZZ_CHECK(audit_open(path, true, &a, why, sizeof(why)) == 0);
	log_fd = open(path, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(log_fd >= 0);
	(void)unlink(path);
	(void)rmdir(directory);
	return a;
}

static bool
text_is(const json_t *event, const char *name, const char *expected)
{
	const char *text = json_string_value(json_object_get(event, name));

	return text != NULL && strcmp(text, expected) == 0;
}

static void
tally(const json_t *event)
{
	bool allowed = text_is(event, "outcome", "allowed");
	const json_t *left_out = json_object_get(event, "left_out");

	if (text_is(event, "event", "request"))
		seen.programs[allowed]++;
	else if (text_is(event, "event", "forward"))
		seen.forwards[allowed]++;
	else if (text_is(event, "event", "listen"))
		seen.listens[allowed]++;
	else if (text_is(event, "event", "disconnect"))
		(void)snprintf(seen.ended, sizeof(seen.ended), "%s",
		    json_string_value(json_object_get(event, "reason")));
	else if (text_is(event, "event", "request.refused"))
		seen.told += left_out != NULL ? (unsigned)json_integer_value(left_out) : 1;
}

static void
read_line(size_t len)
{
	json_t *event = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_int_t number = json_integer_value(json_object_get(event, "number"));

	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(line[i] >= 0x20 && line[i] < 0x7f);
	FUZZ_CHECK(json_is_object(event));
	/* Where lines were lost, the next one that is there says so. */
	if (text_is(event, "event", "audit.gap"))
		FUZZ_CHECK(scene_now->faulty && number > next_number);
	else
		FUZZ_CHECK(number == next_number);
	next_number = number + 1;
	tally(event);
	json_decref(event);
	seen.lines++;
}

const struct scene_audit *
scene_audit_read(void)
{
	ssize_t n;

	while ((n = pread(log_fd, line, sizeof(line), (off_t)seen.bytes)) > 0) {
		const char *end = memchr(line, '\n', (size_t)n);

		FUZZ_CHECK(end != NULL); /* no line is as long, and none is torn */
		read_line((size_t)(end - line));
		seen.bytes += (size_t)(end - line) + 1;
	}
	FUZZ_CHECK(n == 0);
	return &seen;
}

void
scene_audit_took_effect(enum scene_effect effect)
{
	scene_enter(false);
	(void)scene_audit_read();
	if (effect == SCENE_LISTENER)
		FUZZ_CHECK(++listening <= seen.listens[true]);
	else if (effect == SCENE_FORWARD)
		FUZZ_CHECK(++connected <= seen.forwards[true]);
	else
		FUZZ_CHECK(++started <= seen.programs[true]);
	scene_enter(true);
}

void
scene_audit_had_none(enum scene_effect effect)
{
	unsigned *n = effect == SCENE_LISTENER ? &listening
	    : effect == SCENE_FORWARD          ? &connected
					       : &started;

	FUZZ_CHECK(*n > 0);
	--*n;
}

void
scene_audit_end(struct scene *s)
{
	(void)scene_audit_read();
	if (!s->faulty && !s->muddled) {
		FUZZ_CHECK(seen.programs[false] + seen.programs[true] == s->programs);
		FUZZ_CHECK(seen.forwards[false] + seen.forwards[true] == s->forwards);
		FUZZ_CHECK(seen.listens[false] + seen.listens[true] == s->listens);
		FUZZ_CHECK(seen.told == s->told);
	}
	audit_free(s->broker.audit);
	fd_close(&log_fd);
}
