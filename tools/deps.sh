#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/deps.sh GROUP... - have the Debian packages of these groups (tools/packages) installed.
#
# Says nothing and takes milliseconds when all are there. Installs what is missing as root;
# as anybody else it prints the command that an administrator has to run, and fails.
set -eu

list=$(dirname "$0")/packages
wanted=
for group in "$@"; do
	packages=$(sed -n "s/^$group://p" "$list")
	if [ -z "$packages" ]; then
		echo "deps: $list has no group '$group'" >&2
		exit 2
	fi
	wanted="$wanted $packages"
done

if ! command -v dpkg-query >/dev/null; then
	echo "deps: this is not Debian; make sure that you have what stands in $list" >&2
	exit 0
fi

# A package that dpkg never heard of is reported on stderr and absent from the list.
# shellcheck disable=SC2086 # words on purpose, here and below
installed=$(dpkg-query -W -f '${Package} ${Status}\n' $wanted 2>/dev/null |
	sed -n 's/ install ok installed$//p' || true)
missing=
for package in $wanted; do
	case " $missing " in *" $package "*) continue ;; esac
	printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: packages are missing and only root can install them. Run:" >&2
	echo "  sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

# shellcheck disable=SC2086
echo "==> installing $(echo $missing | wc -w) Debian packages and what they need"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
here=$(dirname "$0")
log=$here/../build-deps.log
# shellcheck disable=SC2086
"$here/quietly" "$log" $apt update
# shellcheck disable=SC2086
"$here/quietly" "$log" $apt install -y --no-install-recommends $missing
