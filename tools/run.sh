#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/run.sh PROGRAM [ARGUMENT...] - run one of our programs that needs root, or say why not.
set -eu

program=$1
if [ ! -x "$program" ]; then
	echo "$program: not part of this version of Weft" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "$program builds network namespaces: run it as root" >&2
	exit 1
fi
echo "==> $*"
exec "$@"
