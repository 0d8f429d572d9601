#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Install weftd.conf, or weftd.conf.new beside one that an operator has changed.
# meson sets MESON_SOURCE_ROOT, and in MESON_INSTALL_DESTDIR_PREFIX where prefix goes.
set -eu

case $1 in
/*) dir=${DESTDIR:-}$1/weft ;;
*) dir=$MESON_INSTALL_DESTDIR_PREFIX/$1/weft ;;
esac
from=$MESON_SOURCE_ROOT/etc/weftd.conf
to=$dir/weftd.conf

mkdir -p "$dir"
if [ -e "$to" ] && ! cmp -s "$from" "$to"; then
	to=$to.new
fi
install -m 0644 "$from" "$to"
echo "Installing $from to $to"
