#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/check.sh KIND... - run these kinds of tests (unit, wire, crash) and sum them up.
#
# One kind's failure does not keep the others from running. The last line on stdout is always
# `N passed, N failed, N skipped`; the exit status is 1 if anything failed.
#
# SAN=1      tests the build with address and undefined-behaviour sanitizers
# TSAN=1     tests the build with ThreadSanitizer
# DATAPATH   the datapath under the wire tests
# WORKERS    how many weftd has under the wire tests (1), where they do not say themselves
# UNIT=1     weftd has the systemd unit's rights and no more under all of them
# K          pytest's -k for them
set -u
cd "$(dirname "$0")/.." || exit 1

build=build
if [ "${SAN:-0}" != 0 ] && [ -n "${SAN:-}" ]; then
	build="build-san"
	# Any finding ends the program with an error that tests see, daemons included.
	export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:strict_string_checks=1
	export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
	export LSAN_OPTIONS=suppressions=$PWD/tools/lsan.supp:print_suppressions=0
fi
if [ "${TSAN:-0}" != 0 ] && [ -n "${TSAN:-}" ]; then
	build="build-tsan"
	export TSAN_OPTIONS=suppressions=$PWD/tools/tsan.supp:print_suppressions=0:second_deadlock_stack=1:history_size=7
fi
export WEFT_BUILD=$PWD/$build
results=$build/results

if ! tools/build.sh "$build"; then
	echo "the build failed, so no test ran"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
rm -rf "$results"
mkdir -p "$results"

has_tests() {
	compgen -G "tests/$1/test_*.py" >/dev/null
}

run_pytest() { # KIND ARGUMENT...
	local kind=$1
	shift
	/usr/bin/python3 -m pytest -v --tb=short -p no:cacheprovider \
		--junitxml="$results/$kind.xml" "tests/$kind" "$@"
	echo $? >"$results/$kind.status"
}

for kind in "$@"; do
	case $kind in
	unit)
		echo "==> unit tests"
		rm -f "$build/meson-logs/testlog.json" # an earlier run must not count
		meson test -C "$build" --no-rebuild --print-errorlogs
		echo $? >"$results/unit.status"
		cp "$build/meson-logs/testlog.json" "$results/unit.json" 2>/dev/null || true
		;;
	wire | crash)
		if ! has_tests "$kind"; then
			echo "==> tests/$kind has no tests in this version"
			continue
		fi
		if [ "$(id -u)" -ne 0 ]; then
			echo "==> $kind tests build network namespaces: run them as root" >&2
			echo 1 >"$results/$kind.status"
			continue
		fi
		if [ "$kind" = wire ]; then
			echo "==> wire tests, datapath ${DATAPATH:-native}"
			run_pytest wire --datapath "${DATAPATH:-native}" ${K:+-k "$K"}
		elif [ "$build" = build ]; then
			echo "==> crash test"
			run_pytest crash -s # it takes minutes and tells how far it is
		fi
		;;
	esac
done
exec /usr/bin/python3 tools/sum-results "$results"
