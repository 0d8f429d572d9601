#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/deb.sh - build the Debian package from the files as they are, in build-deb/.
set -eu
cd "$(dirname "$0")/.."

echo "==> building the Debian package"
rm -rf build-deb
mkdir -p build-deb/weft
git -c safe.directory='*' ls-files -co --exclude-standard | tar -cf - -T - | tar -xf - -C build-deb/weft
(cd build-deb/weft && dpkg-buildpackage -us -uc -b >../build.log 2>&1) || {
	tail -n 40 build-deb/build.log
	exit 1
}
ls build-deb/*.deb
