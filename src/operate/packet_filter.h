// SPDX-License-Identifier: Apache-2.0
// Packet filter: which packets `weft trace --live` shows, in the words in which packets are
// described (packet_text.h).
//
//   tcp|udp|sctp|icmp|arp   [END] [> END]
//   ip proto=47             [END] [> END]
//   [END] [> END]           of any protocol
//
// END is ADDRESS, ADDRESS:PORT, [IPV6]:PORT or :PORT. Packets of both directions match: what goes
// between the two ends, or from or to the one. "" matches all.
//
// Errors     -EINVAL: err says where the text went wrong and shows the form
// Threads    any
#pragma once

#include "base/err.h"
#include "datapath/datapath.h"

int weft_packet_filter(const char *text, struct datapath_filter *out, struct err *err);
