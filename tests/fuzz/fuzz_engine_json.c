/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine answers, as JSON: every parser, and the comparison of what it made with what was asked
 * for. The first byte says which call the rest answers.
 *
 * Covers: engine_json_created engine_json_inspect engine_json_list engine_json_image engine_json_wait
 * Covers: engine_json_inspect_podman same_program_podman same_mounts_podman
 * Covers: engine_json_info engine_json_array engine_json_message engine_compare engine_container_free
 * Floor: 41
 */
#include <string.h>

#include "engine_fixture.h"
#include "engine_json_read.h"
#include "fuzz.h"

enum call {
	CREATED,
	INSPECT,
	LIST,
	IMAGE,
	WAIT,
	ARRAY,
	INFO,
	PODMAN, /* inspect, in its words */
	N_CALLS,
};

void
fuzz_setup(void)
{
}

/* What engine_compare() is for, in other words. */
static void
check_confined(const struct engine_container *c)
{
	FUZZ_CHECK(!c->privileged && !c->auto_remove && !c->publish_all_ports && !c->stdio);
	FUZZ_CHECK(c->surplus[0] == '\0' && strcmp(c->network_mode, "none") == 0);
	FUZZ_CHECK(c->podman || (c->n_cap_drop == 1 && strcmp(c->cap_drop[0], "ALL") == 0));
	FUZZ_CHECK(c->podman ? strcmp(c->cgroupns_mode, "private") == 0 && c->n_networks == 0
			     : strcmp(c->ipc_mode, "private") == 0);
	FUZZ_CHECK(strcmp(c->user, "1000:100") == 0 && c->read_only_root);
	FUZZ_CHECK(c->memory == (int64_t)good.memory && c->pids == good.pids);
	FUZZ_CHECK(strcmp(c->path, entrypoint[0]) == 0 && strcmp(c->image, good.image) == 0);
	FUZZ_CHECK(strcmp(c->name, good.name) == 0);
}

static int
inspect(const char *text, size_t len, bool podman, char *why, size_t cap)
{
	struct engine_container *c = NULL;
	int r = podman ? engine_json_inspect_podman(text, len, &c, why, cap)
		       : engine_json_inspect(text, len, &c, why, cap);

	if (r == 0) {
		char difference[256] = "";

		FUZZ_CHECK(engine_id_valid(c->id) && c->name != NULL && c->started_at != NULL);
		FUZZ_CHECK(c->pid >= 0);
		if (engine_compare(&good, c, difference, sizeof(difference)) == 0)
			check_confined(c);
		else
			FUZZ_CHECK(difference[0] != '\0');
		(void)engine_container_label(c, "sallyport.user");
	}
	engine_container_free(c);
	return r;
}

static int
list(const char *text, size_t len, char *why, size_t cap)
{
	struct engine_list l = { 0 };
	int r = engine_json_list(text, len, &l, why, cap);

	for (size_t i = 0; r == 0 && i < l.n; i++) {
		FUZZ_CHECK(engine_id_valid(l.items[i].id) && l.items[i].name != NULL);
		for (size_t k = 0; k < l.items[i].n_labels; k++)
			FUZZ_CHECK(strncmp(l.items[i].labels[k].name, ENGINE_LABEL_PREFIX,
				       strlen(ENGINE_LABEL_PREFIX)) == 0);
	}
	engine_list_clear(&l);
	return r;
}

static int
judge(enum call call, const char *text, size_t len, char *why, size_t cap)
{
	struct engine_json_created created;
	struct engine_info info;
	char image[ENGINE_ID_LEN + 1];
	int64_t code;
	int r;

	switch (call) {
	case CREATED:
		r = engine_json_created(text, len, &created, why, cap);
		FUZZ_CHECK(r != 0 || engine_id_valid(created.id));
		return r;
	case INSPECT:
		return inspect(text, len, false, why, cap);
	case LIST:
		return list(text, len, why, cap);
	case IMAGE:
		r = engine_json_image(text, len, image, why, cap);
		FUZZ_CHECK(r != 0 || engine_id_valid(image));
		return r;
	case WAIT:
		return engine_json_wait(text, len, &code, why, cap);
	case INFO:
		r = engine_json_info(text, len, &info, why, cap);
		FUZZ_CHECK(r != 0 || strlen(info.name) < sizeof(info.name));
		return r;
	case PODMAN:
		return inspect(text, len, true, why, cap);
	case ARRAY:
	case N_CALLS:
		break;
	}
	return engine_json_array(text, len, why, cap);
}

void
fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	enum call call = (enum call)(fuzz_u8(&in) % N_CALLS);
	char message[64];
	char why[160] = "";
	int r = judge(call, (const char *)in.next, in.left, why, sizeof(why));

	FUZZ_CHECK(r == 0 || r == ENGINE_JSON_E_BROKEN);
	FUZZ_CHECK((r == 0) == (why[0] == '\0'));
	engine_json_message((const char *)in.next, in.left, message, sizeof(message));
	FUZZ_CHECK(strnlen(message, sizeof(message)) < sizeof(message));
}

static void
seed(enum call call, const char *text)
{
	static char buf[8192];
	size_t len = strlen(text);

	FUZZ_CHECK(len + 1 <= sizeof(buf));
	buf[0] = (char)call;
	memcpy(buf + 1, text, len);
	fuzz_seed(buf, len + 1);
}

void
fuzz_seeds(void)
{
	seed(CREATED, "{\"Id\":\"" ID "\",\"Warnings\":[\"a limit was dropped\"]}");
	seed(CREATED, "{\"Id\":\"" ID "\",\"Warnings\":null}");
	seed(CREATED, "{\"message\":\"No such image: x\"}");
	seed(INSPECT, inspected);
	seed(PODMAN, inspected_podman);
	seed(LIST,
	    "[{\"Id\":\"" ID "\",\"Names\":[\"/sallyport-1\"],\"State\":\"running\","
	    "\"Labels\":{\"sallyport.instance\":\"x\",\"maintainer\":\"y\"}}]");
	seed(IMAGE, "{\"Id\":\"sha256:" ID "\"}");
	seed(WAIT, "{\"StatusCode\":137,\"Error\":null}");
	seed(ARRAY, "[{\"Name\":\"bridge\"}]");
	seed(ARRAY,
	    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
}
