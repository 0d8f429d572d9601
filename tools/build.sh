#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/build.sh DIR [MESON-OPTION...] - configure DIR if that is needed, then compile in it.
# What kind of build it is follows from its name: one kind, one directory.
set -eu
cd "$(dirname "$0")/.."

dir=$1
shift
case $dir in
build-san)
	# Sanitizers make gcc see ghosts (-Wmaybe-uninitialized): warnings are errors elsewhere.
	set -- -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false "$@"
	;;
build-tsan)
	# DPDK's own atomics are assembler, which ThreadSanitizer cannot see; its generic ones are not.
	set -- -Db_sanitize=thread -Db_lundef=false -Dwerror=false -Dc_args=-DRTE_FORCE_INTRINSICS "$@"
	;;
build-clang)
	export CC=clang
	;;
build-fuzz)
	export CC=clang
	set -- -Dfuzz=true -Dtests=false -Db_lundef=false "$@"
	;;
build)
	# Only tests need cmocka; `make build` works on a machine without it.
	tests=true
	pkg-config --exists cmocka || tests=false
	set -- "-Dtests=$tests" "$@"
	;;
esac

# Configuring costs seconds, so it happens only if the options are others than last time.
options="$*"
if [ ! -f "$dir/build.ninja" ]; then
	echo "==> configuring $dir"
	rm -rf "$dir"
	mkdir -p "$dir"
	tools/quietly "$dir/setup.log" meson setup "$dir" "$@"
elif [ "$options" != "$(cat "$dir/options" 2>/dev/null)" ]; then
	echo "==> configuring $dir"
	tools/quietly "$dir/setup.log" meson configure "$dir" "$@"
fi
echo "$options" >"$dir/options"
echo "==> compiling in $dir"
tools/quietly "$dir/build.log" ninja -C "$dir"
