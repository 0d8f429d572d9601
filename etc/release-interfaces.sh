#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Give the interfaces that weftd took back to the host's own network stack. weftd itself leaves them taken when it ends, so
# that no VM meets the host meanwhile; this is for when it will not come back. It must not be running.
set -eu

for path in /sys/class/net/*; do
	[ -e "$path/ifindex" ] || continue
	name=${path##*/}
	case $(tc filter show dev "$name" ingress pref 1 2>/dev/null) in
	*handle\ 0x1*weft* | *matchall*handle\ 0x1*drop*) ;;
	*) continue ;;
	esac
	tc filter del dev "$name" ingress pref 1 || continue
	[ -n "$(tc filter show dev "$name" ingress)$(tc filter show dev "$name" egress)" ] ||
		tc qdisc del dev "$name" clsact || continue
	# As a new interface has it. What the host wants it to be is the host's business.
	for key in disable_ipv6 addr_gen_mode; do
		cat "/proc/sys/net/ipv6/conf/default/$key" >"/proc/sys/net/ipv6/conf/$name/$key" 2>/dev/null || true
	done
	echo "$name is the host's again"
done
