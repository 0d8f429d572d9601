// SPDX-License-Identifier: Apache-2.0
// A packet that a person describes, judged by the datapath as if the port had sent it.
#include "operate/operate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operate/describe.h"
#include "operate/packet_text.h"
#include "base/json.h"
#include "model/port.h"
#include "plan/build.h"

struct route_search {
	const struct operate *op;
	const char *network;
	bool outside; // the sender: it knows no router of ours
	struct ip_addr ip;
	struct mac_addr mac;
	bool on_link;
	struct ip_addr gateway; // family 0 = none
};

// A floating IP's or a router's outer address: nobody's neighbour by itself, but whoever is on
// that network asks for it.
static bool match_translated(const struct object *port, struct route_search *s)
{
	const json_t *fixed;
	size_t i;

	if (!weft_port_is_floating(port->attr) && !weft_port_is_gateway(port->attr))
		return false;
	json_array_foreach(weft_json_array(port->attr, "fixed_ips"), i, fixed) {
		struct ip_addr ip;

		if (weft_ip_parse(weft_json_text(fixed, "ip_address"), &ip) == 0 &&
		    weft_ip_equal(&ip, &s->ip))
			return weft_mac_parse(weft_json_text(port->attr, "mac_address"), &s->mac) ==
			       0;
	}
	return false;
}

static int match_neighbour(const struct object *port, void *arg)
{
	struct route_search *s = arg;
	struct plan_neighbour *list;
	size_t n;
	int found = 0;

	if (match_translated(port, s))
		return 1;
	if (weft_plan_build_neighbours(port, s->op->host, &list, &n, NULL) != 0)
		return 0;
	for (size_t i = 0; i < n && found == 0; i++) {
		if (weft_ip_equal(&list[i].ip, &s->ip)) {
			s->mac = list[i].mac;
			found = 1;
		}
	}
	free(list);
	return found;
}

static int look_at_subnet(const struct object *subnet, void *arg)
{
	struct route_search *s = arg;
	const char *cidr = weft_json_text(subnet->attr, "cidr");
	const char *gateway = weft_json_text(subnet->attr, "gateway_ip");
	struct ip_addr ip;
	struct ip_prefix p;

	if (cidr == NULL || weft_prefix_parse(cidr, &p) != 0 || p.ip.family != s->ip.family)
		return 0;
	s->on_link = s->on_link || weft_prefix_contains(&p, &s->ip);
	if (s->gateway.family == 0 && gateway != NULL && weft_ip_parse(gateway, &ip) == 0)
		s->gateway = ip;
	return 0;
}

static bool is_metadata(const struct ip_addr *ip)
{
	static const struct ip_addr address = {.family = 4, .b = {169, 254, 169, 254}};

	return weft_ip_equal(ip, &address);
}

// As the VM's own stack would: a neighbour, else the gateway if the address is of no subnet of
// the network. Metadata has the gateway's, too, or where that is nobody's, what the node answers.
static bool resolve(void *arg, const struct ip_addr *ip, struct mac_addr *out)
{
	struct route_search *s = arg;
	bool found;

	s->ip = *ip;
	s->on_link = weft_ip_is_link_local(ip) && !is_metadata(ip);
	s->gateway = (struct ip_addr) {0};
	weft_model_each_ref(s->op->model, REF_NETWORK_SUBNETS, s->network, look_at_subnet, s);
	if (!s->on_link && s->gateway.family != 0 && !s->outside)
		s->ip = s->gateway;
	found = weft_model_each_ref(s->op->model, REF_NETWORK_PORTS, s->network, match_neighbour,
				    s);
	if (!found && is_metadata(ip) && !s->outside) {
		s->mac = (struct mac_addr)DATAPATH_SERVICE_MAC;
		found = true;
	}
	*out = s->mac;
	return found;
}

// Who sends: a port of this node, or a made-up host outside on a network.
struct sender {
	const char *id;		      // the datapath's
	const struct plan_port *plan; // NULL: outside
	const char *network;
};

static int find_sender(const struct operate *op, const json_t *body, struct sender *out,
		       struct err *err)
{
	const struct object *o;
	struct err none;
	const char *what;
	int ret = weft_json_need_text(body, "port", &what, err);

	if (ret != 0)
		return ret;
	if (weft_find_uplink(op->model, what, &o, &none) == 0) {
		*out = (struct sender) {.id = o->id, .network = o->id};
		return 0;
	}
	ret = weft_find_object(op->model, RES_PORT, what, &o, err);
	if (ret != 0)
		return ret;
	*out = (struct sender) {
		.id = o->id,
		.plan = weft_planner_port(op->planner, o->id),
		.network = weft_json_text(o->attr, "network_id"),
	};
	if (out->plan == NULL)
		return weft_fail(err, -ENOENT, "port %s: it is not bound to this node (%s)", o->id,
				 op->host);
	return 0;
}

static void describe_sender(const struct plan_port *plan, struct packet_sender *from)
{
	static const struct mac_addr somebody = {{0x02, 0, 0, 0, 0, 0x01}};

	if (plan == NULL) { // its address must be given
		from->mac = somebody;
		return;
	}
	from->mac = plan->mac;
	for (size_t i = plan->n_fixed; i-- > 0;) {
		if (plan->fixed[i].ip.family == 4)
			from->ip4 = plan->fixed[i].ip;
		else
			from->ip6 = plan->fixed[i].ip;
	}
	if (from->ip6.family == 0)
		from->ip6 = weft_ip_link_local_of(&plan->mac);
}

static int make_frame(const struct operate *op, const struct sender *sender, const json_t *body,
		      uint8_t *frame, size_t *len, struct err *err)
{
	struct route_search search = {
		.op = op,
		.network = sender->network,
		.outside = sender->plan == NULL,
	};
	struct packet_sender from = {.resolve = resolve, .arg = &search};
	const char *packet = weft_json_text(body, "packet");
	const char *hex = weft_json_text(body, "frame");

	if ((packet == NULL) == (hex == NULL))
		return weft_fail(err, -EINVAL,
				 "a trace needs either \"packet\" (text) or \"frame\" "
				 "(hexadecimal)");
	if (hex != NULL)
		return weft_packet_from_hex(hex, frame, len, err);
	describe_sender(sender->plan, &from);
	return weft_packet_from_text(packet, &from, frame, len, err);
}

static void annotate(const struct operate *op, json_t *trace)
{
	json_t *names = json_array(), *v;
	size_t i;

	json_object_set_new(trace, "port_name",
			    weft_port_name(op->model, weft_json_text(trace, "port")));
	json_array_foreach(weft_json_array(trace, "out_ports"), i, v)
		json_array_append_new(names, weft_port_name(op->model, json_string_value(v)));
	json_object_set_new(trace, "out_port_names", names);
	json_array_foreach(weft_json_array(trace, "final"), i, v)
		json_object_set_new(v, "port_name",
				    weft_port_name(op->model, weft_json_text(v, "port")));
	json_array_foreach(weft_json_array(trace, "stages"), i, v) {
		const char *rule = weft_json_text(v, "rule");
		struct text phrase = {0};

		if (rule == NULL)
			continue;
		weft_describe_rule(op->model, rule, &phrase);
		if (phrase.s[0] != '\0')
			json_object_set_new(v, "rule_text", json_string(phrase.s));
		weft_text_fini(&phrase);
	}
}

int weft_operate_trace(const struct operate *op, const json_t *body, json_t **out, struct err *err)
{
	static uint8_t frame[PACKET_FRAME_MAX]; // one thread
	struct sender sender;
	size_t len;
	int ret = find_sender(op, body, &sender, err);

	if (ret == 0)
		ret = make_frame(op, &sender, body, frame, &len, err);
	if (ret == 0)
		ret = op->ops->trace(op->datapath, sender.id, frame, len, out, err);
	if (ret == 0)
		annotate(op, *out);
	if (ret == 0 && json_is_object(json_object_get(*out, "reply")))
		annotate(op, json_object_get(*out, "reply"));
	return ret;
}
