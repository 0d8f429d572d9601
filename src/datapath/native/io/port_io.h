// SPDX-License-Identifier: Apache-2.0
// Port I/O: bursts in and out of one attached VIF. Two kinds: a kernel interface (tap_io.c) and a
// vhost-user socket (vhost_io.c).
//
// Offloads travel on the mbuf as DPDK's transmit flags, in both directions: a packet whose
// transport checksum is still to be filled in has RTE_MBUF_F_TX_{TCP,UDP}_CKSUM and _IPV4 or
// _IPV6, with l2_len, l3_len (extension headers included), l4_len and the pseudo-header sum in
// place; a packet that is to be segmented has RTE_MBUF_F_TX_TCP_SEG or _UDP_SEG (into datagrams,
// not into fragments) and tso_segsz as well. The pseudo-header sum is virtio's: with the whole
// packet's length, not inverted; who changes an address or a port updates it as such. A checksum
// kind that cannot be expressed this way (SCTP, a fragment, inside a tunnel) is filled in on
// reception. tx gives the receiver what it can take.
//
// The headers up to the transport header are in the first segment when a flag is set.
//
// A trunk's device (uplink.h) hands a VLAN tag over beside the packet, not in it: received with
// RTE_MBUF_F_RX_VLAN_STRIPPED and vlan_tci, sent with RTE_MBUF_F_TX_VLAN and vlan_tci. The
// lengths and offsets of the other flags are without the tag. A VM's port has tags in the frame
// and never sees these flags.
//
// Shares     What a port with several queues receives is in shares, 0, 1, ..., each of some of
//            the queues; together they have all of them. Different workers may receive different
//            shares at the same time. A port with one queue has share 0 alone.
//
// Threads    rx: of one share, one worker at a time; tx: any worker, and the control thread;
//            close: control thread, after a grace period
//            lend and done: as rx, the same thread
// Ownership  rx: the caller owns the mbufs; tx: takes those it accepts (returns how many, always
//            the first ones)
#pragma once

#include <rte_mbuf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

struct port_io;

struct port_io_stats {	       // since attach
	uint64_t rx_lost;      // the ring was full, or no buffer was free for a large packet
	uint64_t rx_malformed; // an impossible virtio-net header or length
	// The kernel refused a packet (errors other than "full"), or no ring of the guest can
	// hold it.
	uint64_t tx_refused;
	uint64_t tx_segmented; // large packets that were cut in software
	uint64_t tx_filled;    // checksums that were filled in in software
};

struct port_io_guest {	   // the VM's driver
	bool server;	   // weftd made the socket
	uint16_t pairs;	   // of queues in use; 0: no driver
	uint64_t features; // negotiated; VIRTIO_*_F_* by number
	uint16_t mtu;	   // that the driver was told; 0: none
	uint64_t devices;  // how many times a driver became ready
	uint64_t interrupts;
	// Times that a queue began without interrupts, as QEMU gave something wrong for them.
	uint64_t mute;
};

struct port_io_ops {
	const char *name;
	// Returns how many came; 0 also when nobody is at the other end, or there is no such share.
	uint16_t (*rx)(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n);
	// NULL: there is none. As rx, but the packets may be lent (lent.h), until done: which
	// follows if it returned any, before the thread does anything else than dealing with
	// them.
	uint16_t (*lend)(struct port_io *io, uint16_t share, struct rte_mbuf **pkts, uint16_t n);
	void (*done)(struct port_io *io, uint16_t share);
	// NULL: one, always. So many shares, the first ones, may have something now; at least
	// one. Any thread.
	uint16_t (*shares)(const struct port_io *io);
	bool takes_lent; // tx may be given lent packets
	// May reorder pkts so that those it does not accept are the last.
	uint16_t (*tx)(struct port_io *io, struct rte_mbuf **pkts, uint16_t n);
	void (*stats)(const struct port_io *io, struct port_io_stats *out);
	void (*close)(struct port_io *io);
	// NULL: nothing to do. What others see of the port goes (the socket), at once and for good.
	void (*leave)(struct port_io *io);
	// NULL: nothing is known.
	void (*guest)(struct port_io *io, struct port_io_guest *out);
	// NULL: never. Since it was asked last, QEMU said that the world should learn where this
	// MAC is: its VM has come from another node. It is QEMU's word.
	bool (*announce)(struct port_io *io, struct mac_addr *mac);
};

struct port_io { // embedded first in each kind's own struct
	const struct port_io_ops *ops;
	_Atomic bool up; // somebody is at the other end: a driver, or the kernel
};

static inline uint16_t port_io_shares(const struct port_io *io)
{
	return io->ops->shares == NULL ? 1 : io->ops->shares(io);
}

// Attach to a kernel interface of this network namespace. Takes it out of the host's own stack
// first (frames from the VM are dropped at the interface's ingress after our tap on them, IPv6 is
// off), then sets it up with at least `mtu`. close leaves it like that: a VM that runs on while
// weftd is away must not meet the host instead; `tc qdisc del dev NAME clsact` gives it back. May
// be called by several threads. Errors name the interface: -ENODEV gone, -EPERM capability
// missing, -ENOTSUP the kernel lacks what is needed.
int weft_tap_open(const char *ifname, uint32_t mtu, struct rte_mempool *pool, struct port_io **out,
		  struct err *err);

// Of a kernel interface of weft_tap_open (of others: false): did it lose many packets since it was
// asked last, and may have a longer ring? Control thread, as are the next two.
bool weft_tap_is_short(struct port_io *io);
// The same interface with a longer ring, once. It takes the other's place, which is closed, and
// then joins: so no packet comes twice, and those that come between the two are lost. -errno.
int weft_tap_longer(struct port_io *io, struct port_io **out);
int weft_tap_join(struct port_io *io);

// The same for a physical network's interface: tags beside the packets, and more room for packets
// that wait. The MTU is what to expect; the interface's own is left as it is.
int weft_tap_open_trunk(const char *ifname, uint32_t mtu, struct rte_mempool *pool,
			struct port_io **out, struct err *err);

// The same as weft_tap_open for an interface of the network namespace that the calling thread is
// in, which may be another than the process's; the thread may leave it, or end, afterwards.
int weft_tap_open_apart(const char *ifname, uint32_t mtu, struct rte_mempool *pool,
			struct port_io **out, struct err *err);

// What close left to be done in the background is done: before the process ends.
void weft_tap_finish(void);

// Make the socket `path` for a VM whose queues are received in so many shares (pair p in share p
// modulo shares), or, server false, connect to it whenever QEMU has it. The port is up while the
// VM's driver is ready. A socket that a dead process left there is replaced; group (-1: ours) may
// use it besides our user. Errors name the socket: -EADDRINUSE another process listens there,
// -ENAMETOOLONG, -EMFILE no more descriptors.
int weft_vhost_open(const char *path, bool server, gid_t group, uint16_t shares,
		    struct rte_mempool *pool, struct port_io **out, struct err *err);

// Grows whenever a vhost-user port goes up or down, or its driver uses more or fewer queues, or
// QEMU asks for an announcement: look at `up`, the shares and `announce` then. Any thread.
uint32_t weft_vhost_changes(void);

// Of this thread, among those that send and receive packets: a worker's id + 1, 0 for all others
// (the control thread).
extern _Thread_local uint16_t weft_thread_number;
