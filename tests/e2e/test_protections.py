# SPDX-License-Identifier: Apache-2.0
"""
A test of the tests: one protection after the other is taken out of a copy of the sources, and the
test that answers for it has to fail. A test that stays green without what it tests says nothing.
"""
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.broker import BUILD, TREE
from kit.docker import LABEL
from kit.mutant import Mutant
from kit.target import PATIENCE

pytestmark = [pytest.mark.timeout(900), pytest.mark.alone]

AT_A_TIME = 10

FORGED = "test_forged_login.py::"
EVIL = "test_evil_worker.py::"

# protection: the test that has to notice, and what to change where in the sources
PROTECTIONS = {
    # signing and logins
    "nonce": (FORGED + "test_host_key_signs_nothing_else[old-exchange]", {
        "if (!wire_span_is(t->server_version, expected))":
        "if (false && !wire_span_is(t->server_version, expected))"}),
    "host-key-in-the-transcript": (FORGED + "test_host_key_signs_nothing_else[other-host-key]", {
        "if (why == NULL && !wire_span_eq(t.host_key,":
        "if (false && !wire_span_eq(t.host_key,"}),
    "negotiated-algorithm": (FORGED + "test_host_key_signs_nothing_else[not-negotiated]", {
        "if (strcmp(name, algorithm) != 0)\n\t\treturn \"the algorithm is not":
        "if (false)\n\t\treturn \"the algorithm is not"}),
    "first-exchange-as-rekey": (FORGED + "test_first_exchange_as_rekey", {
        "if (kexinit_list_has(client->exchanges, name))": "if (false)"}),
    "session-id-in-the-login": (FORGED + "test_forged_login[empty-session]", {
        "wire_put_str(w, s->session_id, s->session_id_len);":
        "wire_put_str(w, s->session_id, 0);"}),
    "user-in-the-login": (FORGED + "test_forged_login[other-user]", {
        "wire_put_str(w, m->user.data, m->user.len);\n\twire_put_cstr(w, \"ssh-connection\");":
        "wire_put_cstr(w, \"solo\");\n\twire_put_cstr(w, \"ssh-connection\");"}),
    "signature": (FORGED + "test_forged_login[invented-signature]", {
        "if (!verify(s, m, key, false) && !verify(s, m, key, true))":
        "if (false && !verify(s, m, key, false) && !verify(s, m, key, true))"}),
    "touch-of-a-security-key": (FORGED + "test_security_key_that_nobody_touched", {
        "if (ssh_key_is_sk(key) && (m->sk_flags & SSH_KEY_SK_PRESENT) == 0)": "if (false)"}),
    "keys-of-the-user": (FORGED + "test_key_of_another_user", {
        "if (!known)\n\t\treturn unknown;": ""}),
    "number-of-attempts": (FORGED + "test_many_attempts", {
        "return \"too many login attempts\";": "return NULL;"}),
    # the table of messages and states, and their shape
    "state": (FORGED + "test_second_signature", {
        "if ((rule->when & (unsigned)p->state) == 0)": "if (false)"}),
    "trailing-bytes": (FORGED + "test_malformed[trailing-byte]", {
        "return r->failed || r->left != 0 ?": "return r->failed ?"}),
    "length-of-a-record": (FORGED + "test_record_too_long[65537]", {
        "if ((msg_flags & MSG_TRUNC) != 0)": "if (false)"}),
    "descriptors-with-a-record": (FORGED + "test_smuggled_descriptors[1]", {
        "return (msg_flags & MSG_CTRUNC) != 0 ? IPC_CHAN_E_VIOLATION : 0;": "return 0;"}),
    "full-queue": (FORGED + "test_never_reads", {
        "peer_violation(p, \"it does not read its answers\");": "return true;"}),
    "rate-of-records": (FORGED + "test_flood", {
        "if (!record_allowed(p) && !p->exited) {": "if (false) {",
        "static bool\nrecord_allowed(": "__attribute__((__unused__)) static bool\nrecord_allowed("}),
    "price-of-what-is-written": (FORGED + "test_what_is_written_has_a_bound[commands]", {
        "write_budget_spend(p->budget, (int64_t)(written(p) - before));": "(void)before;"}),
    "price-of-a-refusal": (FORGED + "test_what_is_written_has_a_bound[forwards]", {
        "write_budget_spend(p->budget, REFUSAL_BYTES);": "(void)0;"}),
    # what a login gives
    "decision-on-each-request": (FORGED + "test_what_the_login_may_not[pty]", {
        "why = refuse_by_policy(p, &m, &words);\n":
        "(void)refuse_by_policy(p, &m, &words);\n\twhy = NULL;\n"}),
    "bytes-that-become-fewer": (FORGED + "test_fewer_bytes_than_before", {
        "if (m->bytes_in < a->in || m->bytes_out < a->out)": "if (false)"}),
    # what there may be at a time
    "ceilings": ("test_ceilings.py::test_twenty_at_once_and_five_are_let_in[per_user-for one user]", {
        "if (e != NULL && is_full(e, kind, claim, now_ms)) {": "if (e != NULL && false) {",
        "static bool\nis_full(": "__attribute__((__unused__)) static bool\nis_full("}),
    "a-pool-has-places-too": ("test_ceilings.py::test_a_pool_stays_within_what_everybody_may_have[limit1]", {
        ".limits = { [CEILING_GLOBAL] = limits_of(&policy_ceilings(b->policy)->global) },":
        ".limits = { [CEILING_GLOBAL] = limits_of(NULL) },"}),
    "places-given-back": ("test_ceilings.py::test_however_it_ends_the_place_is_free[client is killed]", {
        "\tsession_end(p);\n\tceilings_give(&p->place);\n": "\tsession_end(p);\n"}),
    "idle-sessions": ("test_session_time.py::test_an_idle_session_is_warned_and_ended", {
        "{ idle_limit, idle_end,": "{ longest_limit, idle_end,",
        "static uint32_t\nidle_limit(": "__attribute__((__unused__)) static uint32_t\nidle_limit("}),
    "decision-where-to-listen": (FORGED + "test_where_the_login_may_not_listen[dev-1-localhost-0]", {
        "if (targets->n == 0)\n\t\treturn": "if (false)\n\t\treturn",
        "return ret->n > 0 ? NULL\n\t\t\t  : \"Listening": "return true ? NULL\n\t\t\t  : \"Listening"}),
    "where-a-name-may-lead": ("test_forward_names.py::test_name_of_what_is_not_allowed", {
        "memcpy(order->networks, to->networks, to->n_networks * sizeof(to->networks[0]));": ""}),
    "connections-of-a-listener": (FORGED + "test_connections_that_nobody_accepted[none]", {
        "if (listener->state != CHANNEL_RUNNING || listener->kind != CHANNEL_LISTENER)\n"
        "\t\treturn ANSWER_E_PEER_FAULT;": ""}),
    "number-of-channels": (FORGED + "test_more_channels_than_allowed", {
        "(takes_place(kind) ? p->n_channels >= p->decision.profile->channels": "(takes_place(kind) ? false"}),
    "close-of-a-free-channel": (FORGED + "test_close_of_a_channel_that_was_never_opened", {
        "if (p->channels[m.channel].state == CHANNEL_FREE)\n\t\treturn ANSWER_E_PEER_FAULT;": ""}),
    "environment": (FORGED + "test_environment_is_the_profile_s", {
        "if (!policy_accepts_env(profile, entry))": "if (false)"}),
    "container-as-asked-for": ("test_bad_days.py::test_engine_fails_a_start[json-lie0]", {
        "return same_flag(r, \"Privileged\", false, c->privileged) &&": "return true &&"}),
    "account-of-the-kernel": ("test_podman.py::test_the_kernel_does_not_lie[capabilities]", {
        "return differ(r, \"it has capabilities: %s %s\", sets[i], value);": "continue;"}),
    "mounts-as-the-kernel-says": ("test_images.py::test_link_where_something_is_mounted[/data-/etc]", {
        "kernel_account_check_docker(d->reporter, d->asked, why, cap)":
        "kernel_account_check_docker(d->reporter, NULL, why, cap)"}),
    "directories-of-the-host": ("test_binds.py::test_link_in_its_place[bob]", {
        "if (outcome != 0) {\n\t\trefuse_bind(": "if (false) {\n\t\trefuse_bind("}),
    "network-by-its-name": ("test_networks.py::test_id_in_a_name_s_place", {
        "same_single(r, \"the network\", s->network_name, c->networks, c->n_networks)": "((void)r, true)"}),
    "priority-of-a-login": ("test_admission.py::test_strangers_have_what_is_left", {
        "r = worker_priority_raise(c->pid);": "r = 0;"}),
    "priority-of-strangers": ("test_admission.py::test_strangers_have_what_is_left", {
        "if (start->spawner->priority == PRIORITY_LOW)\n\t\tworker_priority_lower();": ""}),
    # the lock-down
    "system-call-filter": (EVIL + "test_neighbour_with_the_filter[ptrace]", {
        "r = lockdown_filter(sandbox_filter, sandbox_filter_len);\n\t}\n":
        "r = 0;\n\t}\n",
        "{ .seccomp = true,\n": "{ .seccomp = false,\n"}),
    "pid-namespace": (EVIL + "test_neighbour_without_the_filter[find-process]", {
        "shared_memory | namespaces": "shared_memory | (namespaces & ~(unsigned long)CLONE_NEWPID)"}),
    "network-namespace": (EVIL + "test_neighbour_without_the_filter[connect-unix @victim]", {
        "if (unshare(CLONE_NEWNET) < 0)\n\t\t\treturn -errno;": ""}),
    "uid-of-its-own": (EVIL + "test_neighbours_have_different_uids", {
        "*ret_slot = slot;": "*ret_slot = 0;"}),
    "empty-root": ("test_lockdown.py::test_worker_is_alone[idle]", {
        "r = enter_empty_root(o);": "r = 0;"}),
}


def run(engine, keys, tests, changes):
    """Exit code and output of these tests against the mutant."""
    env = {**os.environ, "SALLYPORT_ENGINE_SOCKET": engine.socket,
           "SALLYPORT_ENGINE_DIR": engine.directory, "SALLYPORT_KEYS_DIR": keys.directory}
    mutant = Mutant(changes)
    try:
        return mutant.run(sys.executable, "-m", "pytest", "-c", "tests/e2e/pytest.ini", "-rA",
                          "--reruns", "0", "-p", "no:cacheprovider", *(f"tests/e2e/{t}" for t in tests),
                          seconds=300 * PATIENCE, env=env)
    finally:
        mutant.close()


@pytest.fixture(scope="module")
def results(engine, keys):
    """
    All mutants, several at a time: most of a mutant's time is its test's wait for what no longer comes. Under None
    what the same tests say of the sources as they are, with nothing beside them.
    """
    if not BUILD.startswith(f"{TREE}/build/"):
        pytest.skip("the build under test is not one of this tree")
    def attempt(name):
        test, changes = PROTECTIONS[name]
        try:
            return run(engine, keys, [test], changes)
        except AssertionError as e:
            return -1, str(e)

    ret = {None: run(engine, keys, [test for test, _ in PROTECTIONS.values()], {})}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ret.update(zip(PROTECTIONS, pool.map(attempt, PROTECTIONS)))
    # A protection may be what keeps the broker from crashing: then nobody has removed what it had.
    engine.empty(LABEL)
    return ret


def test_control(results):
    """Unchanged sources, in the same surroundings: every one of these tests is green."""
    code, output = results[None]
    assert code == 0, output[-4000:]
    passed = re.findall(r"^PASSED tests/e2e/(.*)$", output, re.MULTILINE)
    assert all(any(p == test or p.startswith(f"{test}[") for p in passed)
               for test, _ in PROTECTIONS.values()), output[-4000:]


@pytest.mark.parametrize("name", PROTECTIONS)
def test_without(results, name):
    """The one test that answers for it fails, and fails as a test: it was built and it ran."""
    code, output = results[name]
    assert code == 1, output[-4000:]
    assert f"FAILED tests/e2e/{PROTECTIONS[name][0]}" in output, output[-4000:]
