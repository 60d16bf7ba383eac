#!/bin/sh
# CMake does not see an include that climbs into another folder, nor one of a system header in the
# default path. This does.
# usage: includes.sh TREE | --self-test
set -u

# Each external library's headers, and the folders or files that may know them.
allowed() {
	cat <<-LIST
	libssh daemon/ tests/unit/test_hooks.c
	gssapi daemon/
	curl broker/engine_http.c tests/support/fault_libraries.c
	jansson.h policy/json_text.c broker/engine_json_ broker/doctor_engine.c broker/audit.c broker/control_answers.c broker/control_answers.h broker/containers_json.c broker/containers_json.h admin/ tests/unit/ tests/support/scene_audit.c tests/fuzz/fuzz_json.c
	event2 broker/ tests/
	openssl broker/ daemon/ policy/ tests/
	crypt.h broker/
	seccomp.h common/lockdown_seccomp.c broker/sandbox.c daemon/sandbox_rules.c daemon/compile_filter.c tests/unit/test_lockdown.c tests/unit/test_worker_sandbox.c
	LIST
}

sources() { find common broker daemon policy guest admin tests -name '*.[ch]' 2>/dev/null; }

check() {
	cd "$1" || return 1
	bad=$(
		sources | xargs -r grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\.\./'
		sources | xargs -r grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]/'
		allowed | while read -r library places; do
			sources | xargs -r grep -l "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$library[/>]\|^[[:space:]]*#[[:space:]]*include[[:space:]]*<$library\$" |
				while read -r file; do
					for place in $places; do
						case $file in "$place"*) continue 2 ;; esac
					done
					echo "$file includes <$library>"
				done
		done
		for pair in 'broker daemon' 'policy daemon' 'daemon broker' 'daemon policy' 'broker policy' \
			'broker common' 'daemon common' 'policy common' 'broker guest' 'daemon guest' \
			'policy guest' 'guest broker' 'guest daemon' 'broker admin' 'daemon admin' 'guest admin'; do
			# shellcheck disable=SC2086
			set -- $pair
			for header in "$1"/*.h; do
				# A name that both folders have means the including folder's own.
				[ ! -e "$2/${header##*/}" ] || continue
				[ -e "$header" ] || continue
				# sp_plan: from a profile to the engine's request, without any side effect.
				case $1/$2/${header##*/} in
				broker/admin/container_plan.h | broker/admin/engine_spec.h | broker/admin/engine_json_write.h)
					continue
					;;
				esac
				grep -l "^#include \"${header##*/}\"" "$2"/*.[ch] 2>/dev/null |
					sed "s|\$| includes $header|"
			done
		done
	)
	[ -z "$bad" ] && return 0
	echo "$bad"
	return 1
}

self_test() {
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	for folder in common broker daemon policy guest admin tests; do mkdir "$work/$folder"; done
	echo 'int x;' >"$work/policy/policy.h"
	echo '#include <stdio.h>' >"$work/daemon/good.c"
	(check "$work") || { echo "FAIL: complains about nothing"; exit 1; }
	for line in '#include "../policy/policy.h"' '#include <curl/curl.h>' '#include <jansson.h>' \
		'# include <event2/event.h>' '#include "policy.h"'; do
		echo "$line" >"$work/daemon/bad.c"
		(check "$work") >/dev/null && { echo "FAIL: does not see $line"; exit 1; }
	done
	rm "$work/daemon/bad.c"
	echo '#include <libssh/libssh.h>' >"$work/broker/bad.c"
	(check "$work") >/dev/null && { echo "FAIL: does not see libssh in the broker"; exit 1; }
	exit 0
}

[ "$1" != --self-test ] || self_test
check "$1"
