#!/bin/sh
# Add one link that must not be to a copy of the tree, and see CMake refuse to generate.
# usage: forbidden_link.sh CASE SOURCE BUILD CMAKE
set -u
case_=$1 source=$2 build=$3 cmake=$4

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
# -h: a developer's links must not lead the lines below back into the real tree.
(cd "$source" && tar -ch --exclude=./.git --exclude=./.dev --exclude=./build .) |
	tar -x -C "$work/tree" || exit 1

# What the compiler can do was found out already.
sed -n 's/^\(SP_[WHL]_[^:]*\):INTERNAL=\(.*\)$/set(\1 "\2" CACHE INTERNAL "")/p' \
	"$build/CMakeCache.txt" >"$work/cache.cmake"

# add FOLDER LINE...: at the end of its CMakeLists.txt
add() {
	file=$work/tree/$1/CMakeLists.txt
	shift
	for line in "$@"; do echo "$line" >>"$file"; done
}

# What somebody in a hurry would write: find it again, and link it.
own() { add "$1" "pkg_check_modules($3 REQUIRED IMPORTED_TARGET $3)" \
	"target_link_libraries($2 PRIVATE PkgConfig::$3)"; }

# By side: CMake's words when two sides meet. By name: its words for a library that is no target.
by_side='INTERFACE_SP_SIDE'
by_name='which is not a target'

case $case_ in
none) ;;
daemon-curl-by-name) add daemon 'target_link_libraries(sp_daemon PRIVATE curl)' ;;
daemon-jansson-by-name) add daemon 'target_link_libraries(sp_daemon PRIVATE jansson)' ;;
daemon-curl-own) own daemon sp_daemon libcurl ;;
daemon-jansson-own) own daemon sp_daemon jansson ;;
daemon-policy) add daemon 'target_link_libraries(sp_daemon PRIVATE sp_policy)' ;;
daemon-broker) add daemon 'target_link_libraries(sallyportd PRIVATE sp_broker)' ;;
broker-ssh-by-name) add broker 'target_link_libraries(sp_broker PRIVATE ssh)' ;;
broker-ssh-own) own broker sp_broker libssh ;;
broker-daemon) add broker 'target_link_libraries(sallyport-broker PRIVATE sp_daemon)' ;;
policy-ssh-own) own policy sp_policy libssh ;;
admin-ssh-own) own admin sallyport libssh ;;
common-curl-own) own common sp_common libcurl ;;
common-ssh-own) own common sp_common libssh ;;
both-in-one-test)
	add tests 'add_executable(both unit/test_wire.c)' 'sp_side(both none)' \
		'target_link_libraries(both PRIVATE sp_daemon sp_policy)'
	;;
*)
	echo "unknown case $case_"
	exit 1
	;;
esac
case $case_ in
*-by-name) want=$by_name ;;
none) want= ;;
*) want=$by_side ;;
esac
tests=OFF
[ "$case_" != both-in-one-test ] || tests=ON
# The boundary tests themselves are not part of the copy.
sed -i '/add_subdirectory(boundary/d' "$work/tree/tests/CMakeLists.txt"

"$cmake" -S "$work/tree" -B "$work/build" -C "$work/cache.cmake" -DSP_TESTS=$tests \
	-DCMAKE_BUILD_TYPE=Debug >"$work/log" 2>&1
r=$?
if [ -z "$want" ]; then
	# The control: without the added link it generates.
	[ $r = 0 ] || cat "$work/log"
	exit $r
fi
if [ $r = 0 ]; then
	echo "FAIL: CMake accepted the link"
	exit 1
fi
if ! grep -q "$want" "$work/log"; then
	echo "FAIL: refused, but not for the link:"
	cat "$work/log"
	exit 1
fi
grep -A3 'CMake Error' "$work/log" | head -n 8
