/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: the real sallyportd, locked down as in production, with clients that others wrote. fake_broker
 * plays everything behind it. What is expected is what OpenSSH's sshd does; the sentences are ours.
 *
 * Each case is a line for sh(1), its exit status and all that it prints, standard error included. In
 * the line: $ssh [options] u@h logs in with an Ed25519 key, $port and $dir say where things are.
 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attr.h"
#include "fd.h"

#define SKIPPED    77
#define OUTPUT_MAX 8192

struct scene {
	const char *name;
	const char *line;
	int status;
	const char *output;
};

#define LINE_MS 30000

static char dir[] = "/tmp/test_worker.XXXXXX";
static pid_t broker;
static int broker_out = -1;

/* ---- surroundings ---- */

/* One line of fake_broker's, or what there is of it after a while. */
static void
read_line(char *out, size_t cap)
{
	struct pollfd p = { .fd = broker_out, .events = POLLIN };
	size_t n = 0;

	while (n < cap - 1 && poll(&p, 1, LINE_MS) == 1 && read(broker_out, out + n, 1) == 1 &&
	    out[n] != '\n')
		n++;
	out[n] = '\0';
}

static void
start_broker(const char *const options[4])
{
	char known[512];
	char line[512];
	char type[64];
	char key[256];
	char port[8];
	int ends[2];
	FILE *f;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	broker = fork();
	assert_true(broker >= 0);
	if (broker == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		static char name[] = "fake_broker", program[] = SALLYPORTD;
		char *argv[8] = { name };
		int n = 1;

		for (int i = 0; options != NULL && i < 4 && options[i] != NULL; i++)
			argv[n++] = (char *)(uintptr_t)options[i];
		argv[n] = program;
		execv(FAKE_BROKER, argv);
		_exit(127);
	}
	(void)close(ends[1]);
	broker_out = ends[0];
	read_line(line, sizeof(line));
	assert_int_equal(sscanf(line, "host-key %63s %255s", type, key), 2);
	read_line(line, sizeof(line));
	assert_int_equal(sscanf(line, "listening %7s", port), 1);
	(void)snprintf(known, sizeof(known), "%s/known", dir);
	f = fopen(known, "we");
	assert_non_null(f);
	fprintf(f, "[127.0.0.1]:%s %s %s\n", port, type, key);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(setenv("port", port, 1), 0);
}

static void
stop_broker(void)
{
	assert_int_equal(kill(broker, SIGTERM), 0);
	assert_int_equal(waitpid(broker, NULL, 0), broker);
	fd_close(&broker_out);
}

/* How the last worker ended, in fake_broker's words ("exit 0", "signal 31"). */
static void
expect_worker_end(const char *end)
{
	char line[128];
	char pid[16];
	int at = 0;

	read_line(line, sizeof(line));
	if (sscanf(line, "worker %15s %n", pid, &at) != 1 || strcmp(line + at, end) != 0)
		fail_msg("the worker ended with \"%s\", not with \"%s\"", line, end);
}

/* Run a line; its status, and what it printed in out. */
static int
run(const char *line, char *out, size_t cap)
{
	char script[2048];
	size_t n = 0;
	size_t got;
	FILE *p;
	int status;

	(void)snprintf(script, sizeof(script),
	    "exec 2>&1 </dev/null; cd \"$dir\"\n"
	    "ssh=\"ssh -F none -p $port -i $dir/key -o IdentitiesOnly=yes -o BatchMode=yes "
	    "-o UserKnownHostsFile=$dir/known -o HostName=127.0.0.1 -o HostKeyAlias=[127.0.0.1]:$port "
	    "-o StrictHostKeyChecking=yes -o LogLevel=ERROR\"\n"
	    "h=u@h\n%s",
	    line);
	p = popen(script, "re");
	assert_non_null(p);
	while (n < cap - 1 && (got = fread(out + n, 1, cap - 1 - n, p)) > 0)
		n += got;
	out[n] = '\0';
	status = pclose(p);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
play(const struct scene *scenes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct scene *s = &scenes[i];
		char out[OUTPUT_MAX];
		int status = run(s->line, out, sizeof(out));

		if (status != s->status || strcmp(out, s->output) != 0)
			fail_msg("%s: status %d, not %d; output:\n%s\nnot:\n%s", s->name, status,
			    s->status, out, s->output);
		expect_worker_end("exit 0");
	}
}

static bool
have(const char *program)
{
	char line[128];
	char out[OUTPUT_MAX];

	(void)snprintf(line, sizeof(line), "command -v %s >/dev/null", program);
	return run(line, out, sizeof(out)) == 0;
}

static int
set_up(void **state)
{
	(void)state;
	start_broker(NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	stop_broker();
	return 0;
}

/* ---- cases ---- */

static void
test_commands(void **state)
{
	static const struct scene scenes[] = {
		{ "status", "$ssh $h 'exit 7'", 7, "" },
		{ "stderr apart", "$ssh $h 'echo out; echo err >&2' 2>/dev/null", 0, "out\n" },
		{ "signal", "$ssh $h 'kill -TERM $$'", 255, "" },
		{ "no such program", "$ssh $h no-such-program 2>/dev/null", 127, "" },
		{ "quoting", "$ssh $h \"printf '%s|' a 'b  c' '\\$x'\"", 0, "a|b  c|$x|" },
		{ "stdin", "printf 'b\\na\\n' | $ssh $h sort", 0, "a\nb\n" },
		{ "output after the end of input", "echo x | $ssh $h 'cat; sleep 0.2; echo y'", 0,
		    "x\ny\n" },
		{ "input is not read", "head -c 3000000 /dev/zero | $ssh $h 'echo no'", 0, "no\n" },
		{ "closed streams", "$ssh $h 'exec >&- 2>&-; sleep 0.3; exit 5'", 5, "" },
		{ "nobody reads", "$ssh $h yes | head -1", 0, "y\n" },
		{ "background, detached", "timeout 50 $ssh $h 'sleep 60 >/dev/null 2>&1 & echo x'",
		    0, "x\n" },
		{ "background, holds output", "$ssh $h '(sleep 0.5; echo late) & exit 9'", 9,
		    "late\n" },
		{ "shell without a terminal", "echo 'echo in; exit 4' | $ssh -T $h", 4, "in\n" },
		{ "long command", "$ssh $h \"echo $(head -c 30000 /dev/zero | tr '\\0' x) | wc -c\"",
		    0, "30001\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_terminals(void **state)
{
	static const struct scene scenes[] = {
		{ "a terminal", "$ssh -tt $h 'test -t 0 && test -t 1 && test -t 2; echo $?'", 0,
		    "0\r\n" },
		{ "its type", "TERM=vt220 $ssh -tt $h 'echo $TERM'", 0, "vt220\r\n" },
		{ "no terminal", "$ssh $h 'test -t 0'", 1, "" },
		{ "shell", "printf 'echo $((40+2))\\nexit 4\\n' | $ssh -tt $h | grep -c 42", 0,
		    "1\n" },
		{ "background", "timeout 50 $ssh -tt $h 'sleep 60 & echo x; exit 3'", 3, "x\r\n" },
		{ "input ends, terminal goes on", "$ssh -tt $h 'sleep 0.3; echo on' </dev/null", 0,
		    "on\r\n" },
		{ "output up to the last byte", "$ssh -tt $h 'head -c 200000 /dev/zero' | wc -c", 0,
		    "200000\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_variables(void **state)
{
	static const struct scene scenes[] = {
		{ "patterns",
		    "LC_A=1 TEST_A=2 TEST_AB=3 OTHER=4 $ssh -o SendEnv='LC_* TEST_* OTHER' $h "
		    "'echo $LC_A $TEST_A .$TEST_AB. .$OTHER.'",
		    0, "1 2 .. ..\n" },
		{ "hostile value", "LC_A='$(exit 1);\"\\' $ssh -o SendEnv=LC_A $h 'echo \"$LC_A\"'",
		    0, "$(exit 1);\"\\\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_refusals(void **state)
{
	static const struct scene scenes[] = {
		{ "subsystem", "$ssh -s $h sftp", 255, "subsystem request failed on channel 0\r\n" },
		{ "by policy", "$ssh $h fake:refuse", 255, "A rule says no.\n" },
		{ "by the engine", "$ssh $h fake:fail", 255,
		    "The container engine is not responding.\n" },
		{ "by the engine, terminal", "$ssh -tt $h fake:fail", 255,
		    "The container engine is not responding.\r\n" },
		{ "no forwards", "$ssh -W localhost:1 $h 2>&1 | head -1", 0,
		    "stdio forwarding failed\r\n" },
		{ "notice", "$ssh $h fake:notice", 0, "This host goes down at noon.\nran\n" },
		{ "late answer", "$ssh -o ServerAliveInterval=1 $h 'fake:slow echo late'", 0,
		    "late\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

#define THREE_SESSIONS                                                                                   \
	"eval \"$(ssh-agent -s)\" >/dev/null; $ssh -A -M -S $dir/agent -o ControlPersist=yes -N -f $h; " \
	"for i in 1 2 3; do $ssh -A -S $dir/agent $h fake:agents; done; "                                \
	"$ssh -S $dir/agent -O exit $h 2>/dev/null; kill $SSH_AGENT_PID"

/* It is asked for with each session, unless the policy has refused it: a container that was full may not be any more. */
static void
test_an_agent_in_vain(void **state)
{
	static const struct scene scenes[] = {
		{ "refused", "h=agent-refused@h; " THREE_SESSIONS, 0, "1\n1\n1\n" },
		{ "failed", "h=agent-failed@h; " THREE_SESSIONS, 0, "1\n2\n3\n" },
		{ "not in the guest", "h=agent-not-in-guest@h; " THREE_SESSIONS, 0, "1\n2\n3\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

/* A guest that lies, floods or dies: its own channel ends, with a word and a status. */
static void
test_hostile_guest(void **state)
{
	static const struct scene scenes[] = {
		{ "garbage", "$ssh $h fake:garbage", 255, "The container broke the protocol.\n" },
		{ "flood", "$ssh $h fake:flood", 255, "The container broke the protocol.\n" },
		{ "exit before start", "$ssh $h fake:exit-first", 255,
		    "The container broke the protocol.\n" },
		{ "no multiplexer", "$ssh -tt $h fake:null", 255,
		    "The container broke the protocol.\r\n" },
		{ "ended", "$ssh $h fake:end | sort", 0, "The container has ended.\nlast words\n" },
		{ "no program", "$ssh $h fake:no-program", 127,
		    "sh cannot be run in this container: No such file or directory\n" },
		{ "silent", "timeout 4 $ssh $h fake:silent", 124, "" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_other_channels_go_on(void **state)
{
	static const struct scene scenes[] = {
		{ "beside a hostile guest",
		    "$ssh -M -S $dir/mux -o ControlPersist=yes -N -f $h\n"
		    "for i in 1 2 3 4; do $ssh -S $dir/mux $h \"sleep 0.5; echo $i\" & done\n"
		    "$ssh -S $dir/mux $h fake:garbage >/dev/null 2>&1\n"
		    "timeout 0.2 $ssh -S $dir/mux $h yes >/dev/null\n"
		    "wait; $ssh -S $dir/mux -O exit $h 2>/dev/null",
		    0, NULL },
	};
	char out[OUTPUT_MAX];

	(void)state;
	assert_int_equal(run(scenes[0].line, out, sizeof(out)), 0);
	for (int i = '1'; i <= '4'; i++)
		assert_non_null(strchr(out, i));
	expect_worker_end("exit 0");
}

static void
test_bulk(void **state)
{
	static const struct scene scenes[] = {
		{ "make",
		    "head -c 40000000 /dev/urandom > $dir/bulk; sha256sum < $dir/bulk > $dir/sum; "
		    "$ssh $h true",
		    0, "" },
		{ "down", "$ssh $h \"cat $dir/bulk\" | sha256sum | cmp - $dir/sum", 0, "" },
		{ "up", "$ssh $h sha256sum < $dir/bulk | cmp - $dir/sum", 0, "" },
		{ "both", "$ssh $h cat < $dir/bulk | sha256sum | cmp - $dir/sum", 0, "" },
		{ "client's rekeys",
		    "$ssh -o RekeyLimit=1M $h cat < $dir/bulk | sha256sum | "
		    "cmp - $dir/sum",
		    0, "" },
		{ "other ciphers",
		    "$ssh -c aes256-ctr -m hmac-sha2-512-etm@openssh.com $h cat < "
		    "$dir/bulk | sha256sum | cmp - $dir/sum",
		    0, "" },
		{ "stdout and stderr at once",
		    "$ssh $h \"cat $dir/bulk >&2 & cat $dir/bulk; wait\" 2>$dir/err | sha256sum | "
		    "cmp - $dir/sum && sha256sum < $dir/err | cmp - $dir/sum",
		    0, "" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_server_rekeys(void **state)
{
	static const struct scene scenes[] = {
		{ "server's rekeys",
		    "head -c 30000000 /dev/urandom > $dir/bulk; sha256sum < $dir/bulk > "
		    "$dir/sum; $ssh $h cat < $dir/bulk | sha256sum | cmp - $dir/sum",
		    0, "" },
	};

	(void)state;
	start_broker((const char *const[4]){ "-r", "1" });
	play(scenes, SP_ARRAY_LEN(scenes));
	stop_broker();
}

static void
test_key_types(void **state)
{
	static const struct scene scenes[] = {
		{ "ecdsa",
		    "ssh-keygen -q -t ecdsa -b 384 -N '' -f $dir/ecdsa; "
		    "$ssh -F none -o IdentityFile=$dir/ecdsa $h true",
		    0, "" },
		{ "rsa-sha2-256",
		    "ssh-keygen -q -t rsa -b 2048 -N '' -f $dir/rsa; "
		    "$ssh -o IdentityFile=$dir/rsa -o PubkeyAcceptedAlgorithms=rsa-sha2-256 "
		    "$h true",
		    0, "" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
exchange_with(const char *name)
{
	char line[256];
	struct scene scene = { name, line, 0, "" };

	(void)snprintf(line, sizeof(line), "$ssh -o KexAlgorithms=%s $h true", name);
	play(&scene, 1);
}

static void
test_exchanges(void **state)
{
	static const char *const names[] = { "curve25519-sha256", "curve25519-sha256@libssh.org",
		"diffie-hellman-group16-sha512" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++)
		exchange_with(names[i]);
}

static const char *const older_exchanges[] = { "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
	"ecdh-sha2-nistp521", "diffie-hellman-group14-sha256" };

static void
test_older_exchanges_are_not_offered(void **state)
{
	char line[256];
	char out[OUTPUT_MAX];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_LEN(older_exchanges); i++) {
		(void)snprintf(line, sizeof(line), "$ssh -v -o KexAlgorithms=%s $h true",
		    older_exchanges[i]);
		assert_int_equal(run(line, out, sizeof(out)), 255);
		if (strstr(out, "no matching key exchange method") == NULL)
			fail_msg("%s", out);
		expect_worker_end("exit 10");
	}
}

/* But where the configuration has them, and behind those that are better. */
static void
test_older_exchanges(void **state)
{
	static const struct scene first[] = {
		{ "what is agreed on otherwise",
		    "$ssh -v $h true 2>&1 | grep -c 'kex: algorithm: .*25519'", 0, "1\n" },
	};

	(void)state;
	start_broker((const char *const[4]){ "-o" });
	for (size_t i = 0; i < SP_ARRAY_LEN(older_exchanges); i++)
		exchange_with(older_exchanges[i]);
	play(first, SP_ARRAY_LEN(first));
	stop_broker();
}

/* What withstands a quantum computer; OpenSSH's client warns of servers without it. */
static void
test_post_quantum_exchanges(void **state)
{
	static const char *const names[] = { "mlkem768x25519-sha256", "sntrup761x25519-sha512",
		"sntrup761x25519-sha512@openssh.com" };
	static const struct scene first[] = {
		{ "what is agreed on",
		    "$ssh -v $h true 2>&1 | tr -d '\r' | grep -o 'kex: algorithm: .*'", 0,
		    "kex: algorithm: mlkem768x25519-sha256\n" },
	};
	char out[OUTPUT_MAX];

	(void)state;
	/* They came into OpenSSH one after the other, the first of these as the last. */
	if (!LIBSSH_HAS_POST_QUANTUM ||
	    run("ssh -Q kex | grep -qx mlkem768x25519-sha256", out, sizeof(out)) != 0)
		skip();
	for (size_t i = 0; i < SP_ARRAY_LEN(names); i++)
		exchange_with(names[i]);
	play(first, SP_ARRAY_LEN(first));
}

static void
test_compression_is_not_offered(void **state)
{
	static const struct scene scenes[] = {
		{ "-C", "$ssh -C -v -o LogLevel=DEBUG1 $h true 2>&1 | grep -c 'compression: none'",
		    0, "2\n" },
	};

	(void)state;
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_refused_login(void **state)
{
	char out[OUTPUT_MAX];

	(void)state;
	assert_int_equal(run("$ssh refused@h true", out, sizeof(out)), 255);
	assert_string_equal(out, "refused@127.0.0.1: Permission denied (publickey).\r\n");
	expect_worker_end("exit 11");
	assert_int_equal(run("for i in 1 2 3 4 5 6 7; do ssh-keygen -q -t ed25519 -N '' -f $dir/many$i; "
			     "k=\"$k -i $dir/many$i\"; done; $ssh $k refused@h true",
			     out, sizeof(out)),
	    255);
	assert_non_null(strstr(out, "Too many authentication failures"));
	expect_worker_end("exit 11");
}

static void
test_broker_ends_a_session(void **state)
{
	char out[OUTPUT_MAX];

	(void)state;
	assert_int_equal(run("$ssh $h fake:notice-end", out, sizeof(out)), 255);
	/* To the end of its line, as output or as the reason of the disconnect. */
	assert_true(strstr(out, "The administrator ended this session.\n") != NULL ||
	    strstr(out, ": The administrator ended this session.\r\n") != NULL);
	expect_worker_end("exit 0");
}

static void
test_silent_client(void **state)
{
	char out[OUTPUT_MAX];

	(void)state;
	start_broker((const char *const[4]){ "-k", "1" });
	/* It logs in, and is then stopped: its kernel still acknowledges everything. */
	assert_int_equal(run("$ssh $h 'echo in; sleep 600' >in 2>&1 & c=$!; echo $c >pid; n=0; "
			     "until [ -s in ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done; "
			     "kill -STOP $c; cat in",
			     out, sizeof(out)),
	    0);
	assert_string_equal(out, "in\n");
	expect_worker_end("exit 13");
	assert_int_equal(run("kill -KILL $(cat pid)", out, sizeof(out)), 0);
	stop_broker();
}

static void
test_putty(void **state)
{
	static const struct scene scenes[] = {
		{ "plink",
		    "puttygen $dir/key -o $dir/key.ppk; plink -batch -ssh -P $port -i $dir/key.ppk "
		    "-hostkey $(cut -d' ' -f2- $dir/known | ssh-keygen -lf - | cut -d' ' -f2) "
		    "u@127.0.0.1 'echo putty; exit 3'",
		    3, "putty\n" },
	};

	(void)state;
	if (!have("plink") || !have("puttygen"))
		skip();
	play(scenes, SP_ARRAY_LEN(scenes));
}

static void
test_dropbear(void **state)
{
	static const struct scene scenes[] = {
		{ "dbclient",
		    "dropbearconvert openssh dropbear $dir/key $dir/key.db 2>/dev/null; "
		    "dbclient -y -y -p $port -i $dir/key.db u@127.0.0.1 'echo dropbear; exit 4' "
		    "2>/dev/null",
		    4, "dropbear\n" },
	};

	(void)state;
	if (!have("dbclient") || !have("dropbearconvert"))
		skip();
	play(scenes, SP_ARRAY_LEN(scenes));
}

struct hostile_case {
	const char *name;
	const char *end;
};

/* A client that breaks rules, written for it; see hostile_client.py. */
static void
play_hostile(const struct hostile_case *cases, size_t n)
{
	char out[OUTPUT_MAX];

	if (run("/usr/bin/python3 -c 'import paramiko' 2>/dev/null", out, sizeof(out)) != 0)
		skip();
	for (size_t i = 0; i < n; i++) {
		char line[512];
		int status;

		(void)snprintf(line, sizeof(line),
		    "timeout 100 /usr/bin/python3 " HOSTILE_CLIENT " $port $dir/key %s",
		    cases[i].name);
		status = run(line, out, sizeof(out));
		if (status != 0)
			fail_msg("%s: status %d:\n%s", cases[i].name, status, out);
		expect_worker_end(cases[i].end);
	}
}

/* Of what waits for a client little is the kernel's, so that the rest is the worker's. */
static void
test_hostile_reader(void **state)
{
	static const struct hostile_case cases[] = {
		{ "replies_never_read", "exit 0" },
		{ "replies_never_read_beside_a_program", "exit 0" },
		{ "replies_read_slowly", "exit 0" },
		{ "exit_after_the_output", "exit 0" },
	};

	(void)state;
	start_broker((const char *const[4]){ "-s", "4096" });
	play_hostile(cases, SP_ARRAY_LEN(cases));
	stop_broker();
}

/* Who does not do its part of an exchange that we have begun is small, and has as long as one that is silent. */
static void
test_exchange_never_answered(void **state)
{
	static const struct hostile_case cases[] = {
		{ "exchange_never_answered", "exit 13" },
		{ "exchange_never_answered_beside_requests", "exit 13" },
		{ "exchange_answered_late", "exit 0" },
	};

	(void)state;
	start_broker((const char *const[4]){ "-r", "1", "-k", "1" });
	play_hostile(cases, SP_ARRAY_LEN(cases));
	stop_broker();
}

static void
test_hostile_clients(void **state)
{
	static const struct hostile_case cases[] = {
		{ "gssapi", "exit 0" },
		{ "user_change", "exit 12" },
		{ "password", "exit 11" },
		{ "none_again", "exit 11" },
		{ "pipelined_logins", "exit 0" },
		{ "channel_before_login", "exit 12" },
		{ "channel_flood", "exit 0" },
		{ "unknown_requests", "exit 0" },
		/* libssh says goodbye by itself, where it can */
		{ "no_more_sessions", LIBSSH_HAS_NO_MORE_SESSIONS ? "exit 0" : "exit 12" },
		{ "second_program", "exit 0" },
		{ "variables_without_end", "exit 0" },
		{ "input_never_read", "exit 0" },
		{ "end_right_behind_the_data", "exit 0" },
		{ "window_ignored", "exit 12" },
		{ "output_never_read", "exit 0" },
		{ "exchange_ended_late", "exit 0" },
		{ "signals", "exit 0" },
		{ "window_change", "exit 0" },
		{ "small_packets", "exit 0" },
		{ "http", "exit 10" },
		{ "giant_packet", "exit 12" },
		{ "nothing", "exit 10" },
	};

	(void)state;
	play_hostile(cases, SP_ARRAY_LEN(cases));
}

/* An argument is a pattern of names: run just those. */
int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_terminals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_variables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_agent_in_vain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_guest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_channels_go_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bulk, set_up, tear_down),
		cmocka_unit_test(test_server_rekeys),
		cmocka_unit_test_setup_teardown(test_key_types, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exchanges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_older_exchanges_are_not_offered, set_up,
		    tear_down),
		cmocka_unit_test(test_older_exchanges),
		cmocka_unit_test_setup_teardown(test_post_quantum_exchanges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_compression_is_not_offered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_login, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broker_ends_a_session, set_up, tear_down),
		cmocka_unit_test(test_silent_client),
		cmocka_unit_test_setup_teardown(test_putty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dropbear, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_clients, set_up, tear_down),
		cmocka_unit_test(test_hostile_reader),
		cmocka_unit_test(test_exchange_never_answered),
	};
	char out[OUTPUT_MAX];
	int failed;

#ifdef SP_SANITIZE
	if (setenv("SALLYPORT_SANITIZER_KB", "600000", 1) < 0)
		return 1;
#endif
	if (mkdtemp(dir) == NULL || setenv("dir", dir, 1) < 0 || setenv("port", "0", 1) < 0)
		return 1;
	if (!have("ssh") || run("ssh-keygen -q -t ed25519 -N '' -f $dir/key", out, sizeof(out)) != 0)
		return SKIPPED;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)run("rm -rf \"$dir\"", out, sizeof(out));
	return failed;
}
