// SPDX-License-Identifier: Apache-2.0
#include "plan/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/port.h"
#include "plan/attr.h"

bool weft_plan_is_gateway(const struct object *port)
{
	return weft_port_is_gateway(port->attr);
}

bool weft_plan_is_floating(const struct object *port)
{
	return weft_port_is_floating(port->attr);
}

static int get_ipv4(const char *kind, const struct object *o, const char *key, struct ip_addr *out,
		    struct err *err)
{
	const char *text = attr_text(o->attr, key);

	if (weft_ip_parse(text, out) != 0 || out->family != 4)
		return weft_fail(err, -EINVAL, "%s %s: %s \"%s\" is not an IPv4 address", kind,
				 o->id, key, text);
	return 0;
}

static int fill_floating(const struct object *o, const struct object *own_port,
			 struct plan_floating *f, struct err *err)
{
	int ret = get_ipv4("floating IP", o, "floating_ip_address", &f->ip, err);

	strcpy(f->id, o->id);
	attr_copy(f->router_id, sizeof(f->router_id), attr_text(o->attr, "router_id"));
	attr_copy(f->network_id, sizeof(f->network_id), attr_text(o->attr, "floating_network_id"));
	attr_copy(f->port_id, sizeof(f->port_id), attr_text(o->attr, "port_id"));
	if (ret == 0 && f->port_id[0] != '\0')
		ret = get_ipv4("floating IP", o, "fixed_ip_address", &f->fixed, err);
	if (ret == 0 && (own_port == NULL ||
			 weft_mac_parse(attr_text(own_port->attr, "mac_address"), &f->mac) != 0))
		ret = weft_fail(err, -EINVAL, "floating IP %s: it has no port with a MAC address",
				o->id);
	return ret;
}

int weft_plan_build_floating(const struct object *o, const struct object *own_port,
			     struct plan_floating **out, struct err *err)
{
	struct plan_floating *f = plan_alloc(1, sizeof(*f));
	int ret = fill_floating(o, own_port, f, err);

	if (ret == 0)
		*out = f;
	else
		free(f);
	return ret;
}

// "first:last", or one port alone.
static int get_range(const struct object *o, const char *key, uint16_t *first, uint16_t *last,
		     struct err *err)
{
	const char *text = attr_text(o->attr, key);
	char *end;
	unsigned long a = strtoul(text, &end, 10), b = a;

	if (end != text && *end == ':')
		b = strtoul(end + 1, &end, 10);
	if (end == text || *end != '\0' || a < 1 || a > b || b > 65535)
		return weft_fail(err, -EINVAL, "port forwarding %s: %s \"%s\" is no range of ports",
				 o->id, key, text);
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return 0;
}

static int fill_forwarding(const struct object *o, struct plan_forwarding *f, struct err *err)
{
	int proto = weft_protocol_number(attr_text(o->attr, "protocol"), 4);
	uint16_t fixed_last = 0;
	int ret = get_ipv4("port forwarding", o, "internal_ip_address", &f->fixed, err);

	strcpy(f->id, o->id);
	attr_copy(f->floating_id, sizeof(f->floating_id), attr_text(o->attr, "floatingip_id"));
	attr_copy(f->port_id, sizeof(f->port_id), attr_text(o->attr, "internal_port_id"));
	f->proto = proto > 0 ? (uint8_t)proto : 0;
	if (ret == 0)
		ret = get_range(o, "external_port_range", &f->port_min, &f->port_max, err);
	if (ret == 0)
		ret = get_range(o, "internal_port_range", &f->fixed_port, &fixed_last, err);
	if (ret == 0 && (f->proto == 0 || fixed_last - f->fixed_port != f->port_max - f->port_min))
		ret = weft_fail(err, -EINVAL,
				"port forwarding %s: its protocol is none, or its ranges are not "
				"equally long",
				o->id);
	return ret;
}

int weft_plan_build_forwarding(const struct object *o, struct plan_forwarding **out,
			       struct err *err)
{
	struct plan_forwarding *f = plan_alloc(1, sizeof(*f));
	int ret = fill_forwarding(o, f, err);

	if (ret == 0)
		*out = f;
	else
		free(f);
	return ret;
}
