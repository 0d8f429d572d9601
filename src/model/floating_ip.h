// SPDX-License-Identifier: Apache-2.0
// Floating IPs: what the other resources ask of them, and the pieces, one file each:
// floating_ip.c (the address and its port), floating_ip_target.c (where it leads),
// port_forwarding.c and port_range.c (forwardings: single ports of it that lead elsewhere).
//
// What holds between requests: a floating IP that leads somewhere names the router that
// translates it; that router has a gateway on the floating IP's network and an interface on the
// subnet where it leads. Either the whole address leads to one fixed IP, or some of its ports are
// forwarded, all by one router. Nothing leads to an address that its port does not have.
//
// Threads    one (the control thread)
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/attr.h"
#include "model/model.h"

// "Bad RESOURCE request: ..." (400). Returns -EINVAL.
int weft_floating_ip_bad(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int weft_port_forwarding_bad(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

// Put into obj where it leads by what was `given`; `old` is NULL for a new floating IP.
int weft_floating_ip_associate(const struct model *m, const struct caller *who,
			       const struct object *old, const json_t *given, json_t *obj,
			       struct err *err);
// The entry of these "fixed_ips" with that address; NULL = none.
const json_t *weft_floating_ip_fixed(const json_t *fixed_ips, const char *ip);
// The port's IPv4 entries of "fixed_ips": how many, and the first one.
size_t weft_floating_ip_v4(const json_t *port, const json_t **first);
// The router that leads from the external network to this fixed IP of the port; NULL = none.
// Several might: the subnet's own gateway does.
const struct object *weft_floating_ip_router(const struct model *m, const struct object *port,
					     const json_t *fixed, const char *external_id);

// Does no floating IP need the router's interface on this subnet? -EBUSY when one does.
int weft_floating_ips_check_unused(const struct model *m, const struct object *router,
				   const struct object *subnet, struct err *err);
// The port has these "fixed_ips" from now on (NULL: it goes): what led to others leads nowhere,
// and forwardings to them go.
void weft_floating_ips_leave(struct txn *t, const char *port_id, const json_t *fixed_ips);

// Take a forwarding out; its floating IP leaves its router when that was the last one.
void weft_port_forwarding_remove(struct txn *t, const struct object *forwarding);

// "first:last", or "port", of a forwarding. False when it is none.
struct port_range {
	int64_t first, last;
};
bool weft_port_range_of(const char *text, struct port_range *out);
int weft_port_range_read(const struct attr *a, const json_t *in, json_t **out, struct err *err);
// "external_port" and "external_port_range" of obj are one thing in two forms: bring both into
// line with what was `given`. The same of the internal ones.
int weft_port_ranges_complete(const json_t *given, json_t *obj, struct err *err);
// Is nothing of obj's ranges another forwarding's?
int weft_port_ranges_check(const struct model *m, const json_t *obj, struct err *err);
