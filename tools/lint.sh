#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/lint.sh [CHECK...] - everything that can be said about the code without running it.
# All checks run, also after one has failed; each says what it found.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

jobs=$(nproc)
failed=()

files() { # PATTERN...: the repository's files, committed or not
	# Root may check what somebody else has cloned.
	git -c safe.directory='*' ls-files -co --exclude-standard -- "$@" | while read -r file; do
		if [ -f "$file" ]; then echo "$file"; fi
	done
}

scripts() { # INTERPRETER: the files that start with #!/path/INTERPRETER, a regular expression
	files | while read -r file; do
		if head -c 64 "$file" | head -n 1 | grep -qaE "^#!.*[/ ]$1\\b"; then echo "$file"; fi
	done
}

check_format() {
	files '*.c' '*.h' | xargs -r clang-format --dry-run -Werror
}

# Of 100 columns, a tab being eight. What one cannot break is longer: a name, what a program says; and
# clang-format puts the backslashes of a macro where it likes.
check_columns() {
	local long
	long=$(files '*.c' '*.h' | while read -r file; do
		expand -t 8 "$file" | awk -v file="$file" \
			'length($0) > 100 && !/"/ && !/\\$/ && $0 ~ /[^ ] +[^ ]/ { print file ":" NR ": " $0 }'
	done)
	[ -z "$long" ] && return
	printf '%s\n' "$long"
	return 1
}

check_spdx() {
	local bad=0
	while read -r file; do
		head -n 2 "$file" | grep -qF 'SPDX-License-Identifier: Apache-2.0' && continue
		echo "$file: the first lines lack 'SPDX-License-Identifier: Apache-2.0'"
		bad=1
	done < <({
		files '*.c' '*.h' '*.py' '*.sh' '*meson.build' Makefile
		scripts '.*'
	} | sort -u)
	return $bad
}

check_layers() {
	tools/check-layers
}

check_docs() {
	tools/check-docs
}

# A header that needs another one included before it compiles only by luck.
check_headers() {
	files 'src/*.h' | xargs -r -P "$jobs" -I{} tools/compile-header.sh {}
}

check_scripts() {
	scripts '(ba)?sh' | xargs -r shellcheck
}

check_gcc() {
	tools/build.sh build | tail -n 50
}

check_clang() {
	tools/build.sh build-clang | tail -n 50
}

# Prints each finding without the path that leads there; clang-tidy -p build-clang FILE has it.
# clang 14's analyzer does not know __attribute__((cleanup)), so every weft_auto() is a leak to it:
# leaks are the sanitizer build's to find. "Undefined pointer" is said of what a function of another
# file has set (see .clang-tidy).
check_tidy() {
	command -v clang-tidy >/dev/null || return 1
	local findings=build-clang/tidy.log
	tools/build.sh build-clang >/dev/null || return 1
	# err.c defines what tools/analyzer.h wraps; in tests, nobody tells it that an assertion ends them.
	files 'src/*.c' | grep -vx -e src/base/err.c -e '.*_test.c' |
		xargs -r -P "$jobs" -n 4 clang-tidy -p build-clang --quiet \
			--extra-arg=-include --extra-arg="$PWD/tools/analyzer.h" 2>/dev/null |
		grep -E ': (error|warning): ' |
		grep -vE 'Potential leak of memory|undefined pointer value' |
		sed -E 's,^.*/src/,src/,' | sort -u >"$findings"
	cat "$findings"
	[ ! -s "$findings" ]
}

[ $# -gt 0 ] || set -- format columns spdx layers docs headers scripts gcc clang tidy
for check in "$@"; do
	echo "==> lint: $check"
	"check_$check" || failed+=("$check")
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "lint: failed: ${failed[*]}" >&2
	exit 1
fi
echo "lint: all well"
