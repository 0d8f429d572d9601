// SPDX-License-Identifier: Apache-2.0
// What routers advertise to hosts, as an operator sees it.
#include <string.h>

#include "datapath/native/packet/counter.h"
#include "datapath/native/outside/advertise.h"
#include "datapath/native/show/show.h"
#include "datapath/native/policy/tables.h"

static const struct advert *find(struct native *dp, const struct plan_interface *p)
{
	uint64_t epoch = weft_vstore_epoch(dp->node.vs);
	char key[WEFT_ID_LEN + 1] = {0};
	const struct network *net;
	const struct adverts *list;

	memcpy(key, p->network_id, strnlen(p->network_id, WEFT_ID_LEN));
	net = weft_vmap_get(dp->node.networks, key, epoch);
	list = net == NULL ? NULL : weft_vmap_get(dp->node.adverts, &net->index, epoch);
	for (size_t i = 0; list != NULL && i < list->n; i++)
		if (weft_mac_equal(&list->at[i].ra.router, &p->mac))
			return &list->at[i];
	return NULL;
}

json_t *weft_native_advert_json(struct native *dp, const struct plan_interface *p)
{
	const struct advert *a = find(dp, p);
	char text[WEFT_NET_STRLEN];
	json_t *prefixes, *autonomous, *dns;

	if (a == NULL)
		return json_null();
	prefixes = json_array();
	autonomous = json_array();
	dns = json_array();
	for (size_t i = 0; i < a->ra.n_prefixes; i++) {
		weft_prefix_text(&a->ra.prefixes[i].prefix, text);
		json_array_append_new(prefixes, json_string(text));
		if (a->ra.prefixes[i].autonomous)
			json_array_append_new(autonomous, json_string(text));
	}
	for (size_t i = 0; i < a->ra.n_dns; i++)
		json_array_append_new(dns, json_string(weft_ip_text(&a->ra.dns[i], text)));
	return json_pack("{s:I,s:b,s:b,s:I,s:o,s:o,s:o,s:s}", "lifetime",
			 (json_int_t)a->ra.lifetime_s, "managed", a->ra.managed, "other",
			 a->ra.other, "mtu", (json_int_t)a->ra.mtu, "prefixes", prefixes,
			 "autonomous", autonomous, "dns", dns, "domain", a->ra.domain);
}

void weft_native_advert_metrics(struct native *dp, struct text *out)
{
	static const char name[] = "weft_router_advertisements_total";
	uint64_t solicited = 0;

	for (uint16_t i = 0; i < dp->n_workers; i++)
		solicited += COUNTED(dp->workers[i]->stats.advertised);
	weft_text_add(out,
		      "# HELP %s Router advertisements sent to ports.\n# TYPE %s counter\n"
		      "%s{kind=\"solicited\"} %llu\n%s{kind=\"unasked\"} %llu\n",
		      name, name, name, (unsigned long long)solicited, name,
		      (unsigned long long)weft_advertiser_sent(dp->advertiser));
}
