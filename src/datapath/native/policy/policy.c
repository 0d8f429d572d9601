// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/policy/policy.h"

void weft_send_now(struct node *node, struct rte_mbuf *m, uint16_t out_port)
{
	struct port *p = native_port(node, out_port);
	struct port_io *io = p == NULL ? NULL : atomic_load_explicit(&p->io, memory_order_acquire);

	if (io == NULL || io->ops->tx(io, &m, 1) == 0)
		rte_pktmbuf_free(m);
}
