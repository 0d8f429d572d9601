#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/compile-header.sh src/PART/X.h - compile a header alone, with the flags of its part.
set -eu

packages="jansson libevent_core"
case $1 in
src/datapath/native/* | src/agent/*) packages="$packages libdpdk" ;;
src/north/api/*) packages="$packages libmicrohttpd" ;;
src/north/store/*) packages="$packages sqlite3" ;;
esac
# shellcheck disable=SC2046,SC2086 # flags are words
echo "#include \"${1#src/}\"" | gcc -fsyntax-only -x c -std=gnu17 -D_GNU_SOURCE \
	-DWEFT_VERSION='""' -Isrc $(pkg-config --cflags $packages | sed 's/-I/-isystem /g') \
	-Wall -Wextra -Werror -
