// SPDX-License-Identifier: Apache-2.0
// Virtio-net headers: what the kernel or a guest says about a packet's offloads, and an mbuf's
// flags (port_io.h), both ways; and doing in software what a receiver cannot.
//
// Virtio, section 5.1.6; in the machine's byte order, as packet sockets have it. What a header
// says is the VM's word: every field is checked against the packet.
//
// Threads    any
#pragma once

#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <stdbool.h>

// Kernels since 6.2 know it, Debian 12's headers do not.
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

// Set the flags and lengths of a received packet. A checksum that no flag can ask for (SCTP, a
// fragment, a tunnelled packet, ...) is filled in. -EINVAL: the header says what cannot be, or what
// no stack means: more segments than any makes. -ENOTSUP: more of a lent packet (lent.h) must be
// read than its head; it is to be taken in, and asked for again.
int weft_vnet_in(const struct virtio_net_hdr *h, struct rte_mbuf *m);

// The header that asks the receiver for what the flags ask for.
void weft_vnet_out(const struct rte_mbuf *m, struct virtio_net_hdr *h);

// Fill in the checksum that the flags ask for, and clear them. The packet's headers are not shared.
void weft_vnet_fill(struct rte_mbuf *m);

// Put the sum of the pseudo-header where the flags ask for a checksum: with the length that the
// packet has now.
void weft_vnet_put_pseudo_sum(struct rte_mbuf *m);
