/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The examination of the engine, over the broker's own HTTP client: one question after the other, each with a
 * deadline. Hostile: every answer; words of it get into findings, which escape them.
 *
 * The numbers are those of the CIS Docker Benchmark.
 */
#include "doctor.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "container.h"
#include "container_plan.h"
#include "data_path_reach.h"
#include "engine.h"
#include "engine_http.h"
#include "engine_json_read.h"
#include "engine_priv.h"
#include "kernel_account.h"
#include "policy.h"

#define PROBE_MS    2000
#define ANSWER_MAX  (4U << 20)
#define PATH_CAP    (3 * ENGINE_IMAGE_MAX + 128)
#define WARNINGS    16 /* of the engine's own, at most */
#define VOLUMES     16 /* of one image, the same */
#define PLUGINS     16 /* the same */
#define ROOM_WANTED (1ULL << 30)

struct talk {
	struct doctor *d;
	struct event_base *base;
	struct engine_http *http;
	unsigned minor; /* of the API that is spoken */
	bool done;
	enum engine_http_outcome outcome;
	unsigned status;
	char detail[ENGINE_HTTP_DETAIL_MAX];
	char version[16];
	char podman[ENGINE_HTTP_VERSION_MAX]; /* "": Docker */
	json_t *body;                         /* NULL: no JSON */
	json_t *info;                         /* what it says of itself; NULL: nothing yet */
};

/* ---- one question ---- */

static void
on_answer(void *arg, const struct engine_http_reply *reply)
{
	struct talk *t = arg;

	t->done = true;
	t->outcome = reply->outcome;
	t->status = reply->status;
	(void)snprintf(t->detail, sizeof(t->detail), "%s", reply->detail);
	(void)snprintf(t->version, sizeof(t->version), "%s", reply->api_version);
	(void)snprintf(t->podman, sizeof(t->podman), "%s", reply->podman);
	t->body = reply->outcome == ENGINE_HTTP_OK
	    ? json_loadb(reply->body, reply->len, JSON_REJECT_DUPLICATES, NULL)
	    : NULL;
	(void)event_base_loopbreak(t->base);
}

/* Ask and wait. False: there was no answer; outcome and detail say why. */
static bool
ask(struct talk *t, const char *path, uint32_t ms)
{
	struct engine_http_ask question = { .method = ENGINE_HTTP_GET,
		.timeout_ms = ms,
		.body_max = ANSWER_MAX };
	char versioned[PATH_CAP + 16];

	json_decref(t->body);
	t->body = NULL;
	t->done = false;
	t->status = 0;
	if (t->minor != 0 && strncmp(path, ENGINE_PODMAN_PATH, strlen(ENGINE_PODMAN_PATH)) != 0)
		(void)snprintf(versioned, sizeof(versioned), "/v1.%u%s", t->minor, path);
	else
		(void)snprintf(versioned, sizeof(versioned), "%s", path);
	question.path = versioned;
	t->outcome = ENGINE_HTTP_E_NO_MEMORY;
	(void)snprintf(t->detail, sizeof(t->detail), "the question cannot be asked");
	if (engine_http_start(t->http, &question, on_answer, t, NULL) < 0)
		return false;
	while (!t->done && event_base_loop(t->base, EVLOOP_ONCE) == 0)
		;
	return t->done && t->outcome == ENGINE_HTTP_OK;
}

/* About one thing of the engine's by its name. */
static bool
ask_about(struct talk *t, const char *kind, const char *name, const char *tail)
{
	char escaped[3 * ENGINE_IMAGE_MAX + 1];
	char path[PATH_CAP];

	if (engine_http_escape(name, escaped, sizeof(escaped)) < 0)
		return false;
	(void)snprintf(path, sizeof(path), "/%s/%s%s", kind, escaped, tail);
	return ask(t, path, t->d->config->engine.call_timeout_ms);
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static bool
is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- is it there, and does it speak our language ---- */

/* False: no container can be made with it. */
static bool
examine_podman(const struct talk *t)
{
	char why[256];

	if (engine_http_owner(t->http) != 0)
		doctor_say(t->d, DOCTOR_ERROR, "engine.podman",
		    "use the socket of the Podman that root runs: systemctl enable --now podman.socket",
		    ENGINE_PODMAN_ROOTLESS);
	else if (kernel_account_available(why, sizeof(why)) < 0)
		doctor_say(t->d, DOCTOR_ERROR, "engine.podman",
		    "let it see /proc: sallyport-broker.json(5) says how a service does",
		    ENGINE_PODMAN_UNSEEN ": %s", why);
	else {
		doctor_say(t->d, DOCTOR_NOTE, "engine.podman", NULL, "the engine is Podman %s: %s",
		    t->podman, ENGINE_PODMAN_SENTENCE);
		return true;
	}
	return false;
}

/* What to do about an engine that gives no answer. */
static const char *
advice_on_silence(enum engine_http_outcome outcome)
{
	if (outcome == ENGINE_HTTP_E_TIMEOUT)
		return "restart the engine: one that hangs does not recover by itself";
	if (outcome == ENGINE_HTTP_E_LOST)
		return "whoever listens there ends the connection: read its log, or the tunnel's to an engine "
		       "elsewhere, which ends it when the engine is not reached or a certificate is not good";
	return "start the engine, name its socket in engine.socket of broker.json, and let the broker's user "
	       "reach it";
}

static bool
examine_ping(struct talk *t)
{
	struct doctor *d = t->d;
	unsigned minor;

	if (!ask(t, "/_ping", PROBE_MS)) {
		doctor_say(d, DOCTOR_ERROR, "engine.reachable", advice_on_silence(t->outcome),
		    "the engine does not answer on %s (%s): no container can be made",
		    d->config->engine.socket, t->detail);
		return false;
	}
	if (t->podman[0] != '\0' && !examine_podman(t))
		return false;
	minor = engine_parse_api(t->version);
	if (minor < ENGINE_API_MIN) {
		doctor_say(d, DOCTOR_ERROR, "engine.api", "use Docker 20.10 or newer",
		    "the engine speaks API \"%s\", and at least 1.%u is needed: no container can be made",
		    t->version, ENGINE_API_MIN);
		return false;
	}
	t->minor = minor < ENGINE_API_MAX ? minor : ENGINE_API_MAX;
	doctor_say(d, DOCTOR_OK, "engine.api", NULL, "the engine speaks API 1.%u; 1.%u is used",
	    minor, t->minor);
	return true;
}

/* An engine that is locked up for good still answers a ping. */
static bool
examine_locked_up(struct talk *t)
{
	if (ask(t, "/networks", PROBE_MS) && t->status == 200) {
		doctor_say(t->d, DOCTOR_OK, "engine.responds", NULL,
		    "the engine answers more than a ping");
		return true;
	}
	if (t->outcome == ENGINE_HTTP_OK)
		doctor_say(t->d, DOCTOR_ERROR, "engine.responds",
		    "look into the engine's log; does it serve this version of the API?",
		    "the engine answers the list of its networks with %u (%s)", t->status,
		    text_of(t->body, "message"));
	else
		doctor_say(t->d, DOCTOR_ERROR, "engine.responds",
		    "restart the engine: one that has locked up does not recover by itself",
		    "the engine answers a ping and then nothing (%s): new sessions wait in vain",
		    t->detail);
	return false;
}

/* ---- what it says of itself ---- */

/* A limit that an engine may not be able to keep. */
static const struct limit {
	const char *key;        /* in the engine's information */
	const char *controller; /* of cgroup v2, which brings it */
	const char *check;
	enum doctor_level without;
	const char *what;
} limits[] = {
	{ "MemoryLimit", "memory", "engine.memory", DOCTOR_ERROR, "memory (CIS 5.11)" },
	{ "PidsLimit", "pids", "engine.pids", DOCTOR_ERROR, "processes (CIS 5.29)" },
	{ "SwapLimit", "memory", "engine.swap", DOCTOR_WARNING, "swap" },
	{ "CpuCfsQuota", "cpu", "engine.cpu", DOCTOR_WARNING, "processor time (CIS 5.12)" },
};

static bool
has_text(const json_t *list, const char *text)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(list, i, entry)
	{
		if (json_string_value(entry) != NULL && strcmp(json_string_value(entry), text) == 0)
			return true;
	}
	return false;
}

/* Of cgroup v2 Podman tells Docker's clients less than it can do: its own account has the controllers. */
static void
examine_limits(struct talk *t, const json_t *info)
{
	bool ask_podman = t->podman[0] != '\0' && strcmp(text_of(info, "CgroupVersion"), "2") == 0;
	const json_t *controllers = NULL;

	if (ask_podman && ask(t, ENGINE_PODMAN_PATH "/info", t->d->config->engine.call_timeout_ms))
		controllers = json_object_get(json_object_get(t->body, "host"), "cgroupControllers");
	for (size_t i = 0; i < SP_ARRAY_LEN(limits); i++) {
		const struct limit *l = &limits[i];

		if (is_true(info, l->key) || has_text(controllers, l->controller))
			doctor_say(t->d, DOCTOR_OK, l->check, NULL, "%s can be limited", l->what);
		else
			doctor_say(t->d, l->without, l->check,
			    "switch the controller on (cgroup_enable=memory swapaccount=1 on the kernel's "
			    "command line, or cgroup v2), or delegate it to a rootless engine",
			    "the engine cannot limit %s: one session can take it all", l->what);
	}
}

/* An entry of SecurityOptions, "name=seccomp,profile=default"; NULL: none of that name. */
static const char *
security_option(const json_t *info, const char *name)
{
	size_t i;
	const json_t *entry;
	size_t len = strlen(name);

	json_array_foreach(json_object_get(info, "SecurityOptions"), i, entry)
	{
		const char *text = json_string_value(entry);

		if (text != NULL && strncmp(text, "name=", 5) == 0 &&
		    strncmp(text + 5, name, len) == 0 &&
		    (text[5 + len] == '\0' || text[5 + len] == ','))
			return text;
	}
	return NULL;
}

static bool
has_loaded_profile(void)
{
	FILE *f = fopen("/sys/kernel/security/apparmor/profiles", "re");
	char line[256];
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		found = strncmp(line, "docker-default ", 15) == 0;
	if (f != NULL)
		(void)fclose(f);
	return found;
}

/* Its package merely recommends the parser, and without it Docker starts nothing. An engine elsewhere has its own. */
static bool
lacks_parser(const struct talk *t, const json_t *info)
{
	static const char *const paths[] = { "/usr/sbin/apparmor_parser", "/sbin/apparmor_parser",
		"/usr/local/sbin/apparmor_parser", "/usr/bin/apparmor_parser" };
	struct utsname name;

	if (t->podman[0] != '\0' || uname(&name) < 0 ||
	    strcmp(text_of(info, "Name"), name.nodename) != 0)
		return false;
	for (size_t i = 0; i < SP_ARRAY_LEN(paths); i++) {
		if (access(paths[i], X_OK) == 0)
			return false;
	}
	return !has_loaded_profile();
}

static void
examine_security(const struct talk *t, const json_t *info)
{
	struct doctor *d = t->d;
	static const struct doctor_pair filter = { "engine.seccomp",
		"containers have a system call filter (CIS 5.22)", DOCTOR_ERROR,
		"remove \"seccomp-profile\": \"unconfined\" from daemon.json, or use a kernel with seccomp",
		"containers have no system call filter (CIS 5.22): the whole kernel is within reach of every "
		"user" };
	const char *seccomp = security_option(info, "seccomp");

	doctor_say_either(d, seccomp != NULL && strstr(seccomp, "unconfined") == NULL, &filter);
	if (security_option(info, "apparmor") != NULL && lacks_parser(t, info))
		doctor_say(d, DOCTOR_ERROR, "engine.lsm", "apt install apparmor",
		    "AppArmor is on, and apparmor_parser is not there, by which the engine loads its profile: "
		    "no container starts");
	else if (security_option(info, "apparmor") != NULL || security_option(info, "selinux") != NULL)
		doctor_say(d, DOCTOR_OK, "engine.lsm", NULL,
		    "containers are confined by %s (CIS 5.2, 5.3)",
		    security_option(info, "apparmor") != NULL ? "AppArmor" : "SELinux");
	else
		doctor_say(d, DOCTOR_NOTE, "engine.lsm", "switch on what the distribution has",
		    "neither AppArmor nor SELinux confines containers (CIS 5.2, 5.3): one wall less");
	if (security_option(info, "rootless") != NULL)
		doctor_say(d, DOCTOR_OK, "engine.users", NULL,
		    "the engine is rootless: whoever gets out of a container is an ordinary user");
	else if (security_option(info, "userns") != NULL)
		doctor_say(d, DOCTOR_OK, "engine.users", NULL,
		    "root in a container is nobody outside (CIS 2.9)");
	else
		doctor_say(d, DOCTOR_NOTE, "engine.users",
		    t->podman[0] != '\0'
			? NULL
			: "\"userns-remap\" in daemon.json, where nothing else on this host depends on uids",
		    "uids in containers are the host's (CIS 2.9): a profile that unsafe lets run as root "
		    "has the host's root uid");
}

static void
examine_storage(struct doctor *d, const json_t *info)
{
	const char *driver = text_of(info, "Driver");
	const char *root = text_of(info, "DockerRootDir");
	struct statvfs fs;

	if (strcmp(driver, "vfs") == 0)
		doctor_say(d, DOCTOR_WARNING, "engine.storage",
		    "use overlay2, on a filesystem that can",
		    "storage driver vfs copies the whole image for each container: logins are slow, and "
		    "each takes the image's size on disk");
	else if (strcmp(driver, "devicemapper") == 0 || strcmp(driver, "aufs") == 0)
		doctor_say(d, DOCTOR_WARNING, "engine.storage", "use overlay2 (CIS 2.5)",
		    "storage driver %s is out of maintenance", driver);
	else
		doctor_say(d, DOCTOR_OK, "engine.storage", NULL, "storage driver %s", driver);
	/* Where the engine is on this host. */
	if (root[0] == '/' && statvfs(root, &fs) == 0 &&
	    (uint64_t)fs.f_bavail * fs.f_frsize < ROOM_WANTED)
		doctor_say(d, DOCTOR_WARNING, "engine.room", "make room, or move the engine's data",
		    "%s has less than 1 GiB left: containers soon fail to start", root);
}

/* Podman says it as Go does. */
static const char *
machine_of(const json_t *info)
{
	const char *machine = text_of(info, "Architecture");

	if (strcmp(machine, "amd64") == 0)
		return "x86_64";
	return strcmp(machine, "arm64") == 0 ? "aarch64" : machine;
}

static void
examine_machine(const struct talk *t, const json_t *info)
{
	struct doctor *d = t->d;
	const char *os = text_of(info, "OSType");
	const char *machine = machine_of(info);
	struct utsname name;

	if (strcmp(os, "linux") != 0)
		doctor_say(d, DOCTOR_ERROR, "engine.machine", "use an engine for Linux containers",
		    "the engine runs containers for \"%s\"", os);
	else if (uname(&name) == 0 && strcmp(machine, name.machine) != 0)
		doctor_say(d, DOCTOR_ERROR, "engine.machine",
		    "use a guest bundle that was built for the engine's machine",
		    "the engine runs on %s, and our guest is for %s: it would not start", machine,
		    name.machine);
	else
		doctor_say(d, DOCTOR_OK, "engine.machine", NULL, "%s %s, %s, cgroup version %s",
		    t->podman[0] != '\0' ? "Podman" : "Docker Engine",
		    text_of(info, "ServerVersion"), machine,
		    text_of(info, "CgroupVersion")[0] != '\0' ? text_of(info, "CgroupVersion") : "1");
}

/*
 * A plugin is asked about each of the broker's requests, and sees them: one that hangs or refuses is why logins
 * fail.
 */
static void
examine_authorization(struct doctor *d, const json_t *info)
{
	const json_t *plugins = json_object_get(json_object_get(info, "Plugins"), "Authorization");
	size_t i;
	const json_t *one;

	if (json_array_size(plugins) == 0)
		doctor_say(d, DOCTOR_NOTE, "engine.authorization", NULL,
		    "no plugin judges requests to the engine (CIS 2.12): whoever reaches its socket may do "
		    "everything");
	json_array_foreach(plugins, i, one)
	{
		const char *name = json_string_value(one);

		if (name != NULL && i < PLUGINS)
			doctor_say(d, DOCTOR_NOTE, "engine.authorization",
			    "let it allow the broker's requests; when it hangs or refuses, logins fail",
			    "the engine asks plugin %.100s about each request (CIS 2.12), which sees what "
			    "sallyport asks for",
			    name);
	}
}

static void
examine_habits(const struct talk *t, const json_t *info)
{
	struct doctor *d = t->d;
	static const struct doctor_pair live_restore = {
		"engine.live-restore", "containers survive a restart of the engine (CIS 2.15)",
		DOCTOR_NOTE, "\"live-restore\": true in daemon.json",
		"a restart of the engine ends every session and every container that is kept (CIS 2.15)"
	};
	size_t i;
	const json_t *warning;

	/* Podman's containers depend on no service of its own. */
	doctor_say_either(d, t->podman[0] != '\0' || is_true(info, "LiveRestoreEnabled"),
	    &live_restore);
	json_array_foreach(json_object_get(info, "Warnings"), i, warning)
	{
		const char *text = json_string_value(warning);

		if (text != NULL && i < WARNINGS)
			doctor_say(d, DOCTOR_NOTE, "engine.warning", NULL,
			    "the engine says: %.300s", text);
	}
}

/* False: it has not answered, and will not answer the rest. */
static bool
examine_info(struct talk *t)
{
	struct doctor *d = t->d;
	const json_t *info;

	if (!ask(t, "/info", d->config->engine.call_timeout_ms) || t->status != 200 ||
	    !json_is_object(t->body)) {
		doctor_say(d, DOCTOR_ERROR, "engine.info", "look into the engine's log",
		    "the engine does not say what it can do (%s)",
		    t->outcome == ENGINE_HTTP_OK ? "not as it should" : t->detail);
		return false;
	}
	info = t->info = json_incref(t->body); /* the next answer takes its place there */
	examine_machine(t, info);
	examine_storage(d, info);
	examine_limits(t, info);
	examine_security(t, info);
	if (t->podman[0] == '\0') /* the other one has no such plugins */
		examine_authorization(d, info);
	examine_habits(t, info);
	return true;
}

/* ---- what profiles need of it ---- */

static bool
uses_bridge(const struct policy *p)
{
	const struct policy_profile *profile;

	for (size_t i = 0; p != NULL && (profile = policy_profile_at(p, i)) != NULL; i++) {
		if (profile->network == POLICY_NETWORK_BRIDGE)
			return true;
	}
	return false;
}

static bool
examine_bridge(struct talk *t)
{
	const char *advice = t->podman[0] != '\0' ? NULL : "\"icc\": false in daemon.json";
	const json_t *options;

	if (!ask(t, "/networks/bridge", t->d->config->engine.call_timeout_ms))
		return false;
	options = json_object_get(t->body, "Options");
	if (t->status == 404)
		doctor_say(t->d, uses_bridge(t->d->policy) ? DOCTOR_ERROR : DOCTOR_OK, "engine.icc",
		    NULL, "the engine has no default bridge");
	else if (strcmp(text_of(options, "com.docker.network.bridge.enable_icc"), "false") == 0)
		doctor_say(t->d, DOCTOR_OK, "engine.icc", NULL,
		    "containers on the default bridge do not reach each other (CIS 2.2)");
	else if (uses_bridge(t->d->policy))
		doctor_say(t->d, DOCTOR_WARNING, "engine.icc", advice,
		    "sessions with \"network\": \"bridge\" reach each other (CIS 2.2)");
	else
		doctor_say(t->d, DOCTOR_NOTE, "engine.icc", advice,
		    "containers on the default bridge reach each other (CIS 2.2); no profile uses it");
	return true;
}

/* The API does not tell; of the engine's own file only this one key is of interest. */
static void
examine_proxy(struct doctor *d)
{
	static const struct doctor_pair pair = { "engine.userland-proxy",
		"ports are published without a proxy of the engine's (CIS 2.16)", DOCTOR_NOTE,
		"\"userland-proxy\": false in daemon.json, if others publish ports",
		"/etc/docker/daemon.json does not switch the userland proxy off (CIS 2.16); sallyport "
		"publishes no ports" };
	json_t *file = json_load_file("/etc/docker/daemon.json", JSON_REJECT_DUPLICATES, NULL);

	doctor_say_either(d, json_is_false(json_object_get(file, "userland-proxy")), &pair);
	json_decref(file);
}

static bool
is_same(const char *path, const char *text, size_t len)
{
	return strlen(path) == len && memcmp(path, text, len) == 0;
}

/* Whether the profile mounts something at target, which an image may write with slashes at its end. */
static bool
mounts_at(const struct policy_profile *p, const char *target)
{
	size_t len = strlen(target);
	bool found = false;

	while (len > 1 && target[len - 1] == '/')
		len--;
	for (size_t i = 0; i < p->n_tmpfs; i++)
		found |= is_same(p->tmpfs[i].target, target, len);
	for (size_t i = 0; i < p->n_volumes; i++)
		found |= is_same(p->volumes[i].target, target, len);
	for (size_t i = 0; i < p->n_binds; i++)
		found |= is_same(p->binds[i].target, target, len);
	return found;
}

/* For what an image declares and nobody mounts, the engine makes a volume that nobody asked for. */
static void
examine_image_volumes(const struct talk *t, const struct policy_profile *p)
{
	json_t *volumes = json_object_get(json_object_get(t->body, "Config"), "Volumes");
	const char *target;
	json_t *nothing;
	unsigned n = 0;

	json_object_foreach(volumes, target, nothing)
	{
		(void)nothing;
		if (mounts_at(p, target) || n++ >= VOLUMES)
			continue;
		doctor_say(t->d, DOCTOR_ERROR, "policy.image-volume",
		    "mount a tmpfs, a volume or a directory there",
		    "profile \"%s\": image %s declares a volume at %.128s, where the profile mounts "
		    "nothing: its logins fail",
		    p->name, p->image, target);
	}
}

static bool
examine_image(struct talk *t, const struct policy_profile *p)
{
	if (!ask_about(t, "images", p->image, "/json"))
		return false;
	if (t->status == 200) {
		doctor_say(t->d, DOCTOR_OK, "policy.image", NULL,
		    "profile \"%s\": image %s is there", p->name, p->image);
		examine_image_volumes(t, p);
	} else {
		doctor_say(t->d, DOCTOR_ERROR, "policy.image",
		    "pull or load it on the engine's host: sallyport never does",
		    "profile \"%s\": the engine has no image %s (%u): its logins fail", p->name,
		    p->image, t->status);
	}
	return true;
}

/* By what the engine says of itself, as the broker does it. */
static void
choose_data_path(const struct talk *t, struct engine_info *ret)
{
	struct policy_engine engine;
	char why[768];

	engine_json_take_info(t->info, ret);
	data_path_detect(t->d->config, ret, t->podman[0] != '\0', &engine, why, sizeof(why));
	policy_set_engine(t->d->policy, &engine);
}

static void
examine_data_path(const struct talk *t, const struct policy_profile *p, const struct engine_info *info)
{
	enum policy_data_path path = policy_data_path(t->d->policy, p);
	char why[768];

	if (t->podman[0] != '\0' && !container_plan_suits_podman(path))
		doctor_say(t->d, DOCTOR_ERROR, "policy.data-path", "use the data path \"direct\"",
		    "profile \"%s\": " CONTAINER_NOT_WITH_PODMAN, p->name);
	else if (!data_path_reaches(t->d->config, path, p->runtime, info, why, sizeof(why)))
		doctor_say(t->d, DOCTOR_ERROR, "policy.data-path", DATA_PATH_REACH_ADVICE,
		    "profile \"%s\": %s: its logins fail", p->name, why);
	else if (p->data_path == POLICY_DATA_PATH_AUTO && path == POLICY_DATA_PATH_ENGINE &&
	    !data_path_reaches(t->d->config, POLICY_DATA_PATH_DIRECT, p->runtime, info, why,
		sizeof(why)))
		doctor_say(t->d, DOCTOR_OK, "policy.data-path", NULL,
		    "profile \"%s\": its data path is \"engine\": %s", p->name, why);
}

static bool
examine_network(struct talk *t, const struct policy_profile *p)
{
	if (p->network != POLICY_NETWORK_NAMED || doctor_is_template(p->network_name))
		return true;
	if (!ask_about(t, "networks", p->network_name, ""))
		return false;
	if (t->status == 200)
		doctor_say(t->d, DOCTOR_OK, "policy.network", NULL,
		    "profile \"%s\": network %s is there", p->name, p->network_name);
	else
		doctor_say(t->d, DOCTOR_ERROR, "policy.network",
		    "create it with docker network create",
		    "profile \"%s\": the engine has no network %s (%u): its logins fail", p->name,
		    p->network_name, t->status);
	return true;
}

static bool
examine_volumes(struct talk *t, const struct policy_profile *p)
{
	for (size_t i = 0; i < p->n_volumes; i++) {
		const char *name = p->volumes[i].volume;

		if (doctor_is_template(name))
			continue;
		if (!ask_about(t, "volumes", name, ""))
			return false;
		if (t->status == 200)
			doctor_say(t->d, DOCTOR_OK, "policy.volume", NULL,
			    "profile \"%s\": volume %s is there", p->name, name);
		else
			doctor_say(t->d, DOCTOR_NOTE, "policy.volume",
			    "create it with docker volume create, if it should have an owner and content",
			    "profile \"%s\": the engine has no volume %s (%u): it makes an empty one at the "
			    "first login",
			    p->name, name, t->status);
	}
	return true;
}

/* containerd finds a shim by its name, in no list of the engine's. */
static void
examine_runtime(const struct talk *t, const struct policy_profile *p)
{
	const json_t *runtimes = json_object_get(t->info, "Runtimes");

	if (p->runtime == NULL || !json_is_object(runtimes))
		return;
	if (json_object_get(runtimes, p->runtime) != NULL)
		doctor_say(t->d, DOCTOR_OK, "policy.runtime", NULL,
		    "profile \"%s\": the engine has runtime %s", p->name, p->runtime);
	else if (strncmp(p->runtime, "io.containerd.", 14) == 0)
		doctor_say(t->d, DOCTOR_NOTE, "policy.runtime", NULL,
		    "profile \"%s\": runtime %s is a shim that the engine looks for at a start: whether it "
		    "is there is not known",
		    p->name, p->runtime);
	else
		doctor_say(t->d, DOCTOR_ERROR, "policy.runtime",
		    "install it on the engine's host, and name it under \"runtimes\" in daemon.json",
		    "profile \"%s\": the engine has no runtime %s: its logins fail", p->name,
		    p->runtime);
}

/* Docker refuses more than there are. */
static void
examine_cpus(const struct talk *t, const struct policy_profile *p)
{
	json_int_t has = json_integer_value(json_object_get(t->info, "NCPU"));

	if (t->podman[0] == '\0' && has > 0 && has < 1 << 20 &&
	    p->nano_cpus > (uint64_t)has * 1000000000)
		doctor_say(t->d, DOCTOR_ERROR, "policy.cpus",
		    "a smaller \"cpus\" in the \"limits\" of the profile",
		    "profile \"%s\": \"cpus\" is %g, and the engine's machine has %d: its logins fail",
		    p->name, (double)p->nano_cpus / 1e9, (int)has);
}

static void
examine_profiles(struct talk *t)
{
	const struct policy_profile *p;
	struct engine_info info;

	if (t->d->policy == NULL)
		return;
	choose_data_path(t, &info);
	for (size_t i = 0; (p = policy_profile_at(t->d->policy, i)) != NULL; i++) {
		if (p->image == NULL)
			continue;
		examine_data_path(t, p, &info);
		examine_runtime(t, p);
		examine_cpus(t, p);
		if (examine_image(t, p) && examine_network(t, p) && examine_volumes(t, p))
			continue;
		doctor_say(t->d, DOCTOR_ERROR, "engine.responds", "look into the engine's log",
		    "the engine has stopped answering (%s): the rest is not examined", t->detail);
		return;
	}
}

void
doctor_engine(struct doctor *d)
{
	struct talk t = { .d = d, .base = event_base_new() };

	if (t.base == NULL || engine_http_new(t.base, d->config->engine.socket, &t.http) < 0)
		doctor_say(d, DOCTOR_ERROR, "engine.reachable", NULL,
		    "the engine cannot be asked: out of memory, or the path of its socket is too long");
	else if (examine_ping(&t) && examine_locked_up(&t) && examine_info(&t) && examine_bridge(&t)) {
		if (t.podman[0] == '\0')
			examine_proxy(d);
		examine_profiles(&t);
	}
	json_decref(t.body);
	json_decref(t.info);
	engine_http_free(t.http);
	if (t.base != NULL)
		event_base_free(t.base);
}
