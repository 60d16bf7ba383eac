#!/bin/sh
# The tables of a folder's README.md name each of its sources, and nothing that is not there.
# usage: modules.sh TREE | --self-test
set -u

# Each README.md with the folders whose sources it tells of.
readmes() {
	cat <<-LIST
	common/README.md common
	daemon/README.md daemon
	broker/README.md broker
	policy/README.md policy
	guest/README.md guest guest/sftp
	admin/README.md admin
	LIST
}

# The names in the first column of the tables of files: a stem, or a file, with what stands in parentheses left out.
named() {
	awk -F '|' '
	!/^\|/ { table = 0; next }
	{
		cell = $2
		gsub(/`|\([^)]*\)/, "", cell)
		gsub(/^ +| +$/, "", cell)
	}
	!table { table = 1; files = cell == "file" || cell == "module"; next }
	!files || cell ~ /^-+$/ { next }
	{
		n = split(cell, names, / *, */)
		for (i = 1; i <= n; i++)
			print names[i]
	}' "$1"
}

# is_named FILE: in $names, as daemon/ask.c is by "ask", "ask.c" and "ask.[ch]".
is_named() {
	stem=${1##*/}
	stem=${stem%.c}
	printf '%s\n' "$names" | grep -qxF -e "$stem" -e "$stem.c" -e "$stem.[ch]"
}

# is_there NAME FOLDER...: a source or a file of one of the folders, or, with a "/", of the tree.
is_there() {
	name=${1%.\[ch\]}
	shift
	for place in "$@" .; do
		[ "$place" != . ] || case $name in */*) ;; *) return 1 ;; esac
		for end in '' .c .h; do
			[ ! -e "$place/$name$end" ] || return 0
		done
	done
	return 1
}

check() {
	cd "$1" || return 1
	bad=$(
		readmes | while read -r readme folders; do
			names=$(named "$readme")
			for folder in $folders; do
				for file in "$folder"/*.c; do
					[ -e "$file" ] || continue
					is_named "$file" || echo "no table of $readme names $file"
				done
			done
			printf '%s\n' "$names" | while read -r name; do
				# shellcheck disable=SC2086
				[ -z "$name" ] || is_there "$name" $folders || echo "$readme names $name, which is not there"
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
	readmes | while read -r readme folders; do
		for folder in $folders; do mkdir "$work/$folder"; done
		: >"$work/$readme"
	done
	(cd "$work" && : >policy/key.c && : >broker/ask.c && : >broker/ask.h && : >broker/main.c && : >broker/ids.h &&
		: >broker/pool.c && : >guest/sftp/path.c) || exit 1
	cat >"$work/broker/README.md" <<-'MD'
	late.c

	| file | what |
	| --- | --- |
	| main.c, ids.h, `policy/key` | late.c, a start |
	| ask, pool (both) | the rest |

	| started as | is |
	| --- | --- |
	| late | an example |
	MD
	cat >"$work/guest/README.md" <<-'MD'
	| file |
	| --- |
	| `path.[ch]`, `sftp/` |
	MD
	cat >"$work/policy/README.md" <<-'MD'
	| module |
	| --- |
	| key |
	MD
	(check "$work") || { echo "FAIL: complains about nothing"; exit 1; }
	for file in broker/late.c broker/as.c broker/ids.c guest/sftp/late.c common/main.c; do
		: >"$work/$file"
		(check "$work") >/dev/null && { echo "FAIL: does not see that $file has no place"; exit 1; }
		rm "$work/$file"
	done
	for file in broker/ask.c broker/ids.h policy/key.c guest/sftp/path.c; do
		mv "$work/$file" "$work/away"
		[ "$file" != broker/ask.c ] || rm "$work/broker/ask.h"
		(check "$work") >/dev/null && { echo "FAIL: does not see that $file is not there"; exit 1; }
		mv "$work/away" "$work/$file"
	done
	(check "$work") || { echo "FAIL: complains about nothing at the end"; exit 1; }
	exit 0
}

[ "$1" != --self-test ] || self_test
check "$1"
