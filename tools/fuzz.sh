#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/fuzz.sh SECONDS [TARGET...] - run each libFuzzer target of tests/fuzz for so long.
#
# Seeds come from tests/fuzz/corpus/TARGET; what is found on the way is kept in
# build-fuzz/corpus/TARGET, so that the next run goes on from there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

seconds=$1
shift
tools/build.sh build-fuzz || exit 1
if [ $# -eq 0 ]; then
	mapfile -t found < <(find build-fuzz/tests/fuzz -maxdepth 1 -type f -name 'fuzz-*' -perm -u+x |
		sed 's,.*/fuzz-,,' | sort)
	set -- "${found[@]}"
fi
if [ $# -eq 0 ]; then
	echo "tests/fuzz has no targets in this version" >&2
	exit 1
fi

export ASAN_OPTIONS=abort_on_error=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tools/lsan.supp:print_suppressions=0
failed=()
mkdir -p build-fuzz/crashes
for target in "$@"; do
	echo "==> fuzzing $target for $seconds s"
	mkdir -p "build-fuzz/corpus/$target"
	seeds=()
	[ -d "tests/fuzz/corpus/$target" ] && seeds=("tests/fuzz/corpus/$target")
	dict=()
	[ -f "tests/fuzz/$target.dict" ] && dict=("-dict=tests/fuzz/$target.dict")
	log=build-fuzz/$target.log
	if "build-fuzz/tests/fuzz/fuzz-$target" "-max_total_time=$seconds" -timeout=20 \
		"-artifact_prefix=build-fuzz/crashes/$target-" "${dict[@]}" \
		"build-fuzz/corpus/$target" "${seeds[@]}" >"$log" 2>&1; then
		grep -E '^(Done|#[0-9]+.*DONE)' "$log"
	else
		failed+=("$target")
		echo "$target failed; all of it is in $log"
		sed -n '/ERROR:\|runtime error:/,$p' "$log" | head -n 50
	fi
done
echo "$(($# - ${#failed[@]})) passed, ${#failed[@]} failed, 0 skipped"
if [ ${#failed[@]} -gt 0 ]; then
	echo "failed: ${failed[*]} (inputs in build-fuzz/crashes)" >&2
	exit 1
fi
