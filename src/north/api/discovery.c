// SPDX-License-Identifier: Apache-2.0
// What is served here: versions, resources and extensions, as clients ask before they speak.
#include "north/api/call.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

struct extension {
	const char *alias;
	const char *name;
	const char *description;
	// Listed only when the model has the attribute that it adds; NULL: always served.
	enum resource type;
	const char *attr;
};

static const struct extension extensions[] = {
	{"address-group", "Address group", "Named sets of addresses for security group rules",
	 RES_ADDRESS_GROUP, "addresses"},
	{"agent", "agent", "The nodes and what runs on them", RES_COUNT, NULL},
	{"allowed-address-pairs", "Allowed Address Pairs",
	 "Addresses that a port may use beside its fixed IPs", RES_PORT, "allowed_address_pairs"},
	{"binding", "Port Binding", "Which host a port is on and how it is attached", RES_PORT,
	 "binding:host_id"},
	{"dvr", "Distributed Virtual Router", "Routers have the attribute distributed", RES_ROUTER,
	 "distributed"},
	{"empty-string-filtering", "Empty String Filtering Extension",
	 "Allow filtering by attributes with empty string value", RES_COUNT, NULL},
	{"expose-port-forwarding-in-fip", "Expose Port Forwarding in FIP",
	 "A floating IP lists its port forwardings", RES_FLOATING_IP, "port_forwardings"},
	{"ext-gw-mode", "Neutron L3 Configurable external gateway mode",
	 "enable_snat of a router's gateway", RES_ROUTER, "external_gateway_info"},
	{"external-net", "Neutron external network",
	 "Adds external network attribute to network resource.", RES_NETWORK, "router:external"},
	{"extra_dhcp_opt", "Neutron Extra DHCP options", "DHCP options of one port", RES_PORT,
	 "extra_dhcp_opts"},
	{"extraroute", "Neutron Extra Route", "Routes of a router", RES_ROUTER, "routes"},
	{"extraroute-atomic", "Atomically add/remove extra routes",
	 "Single routes of a router come and go", RES_ROUTER, "routes"},
	{"filter-validation", "Filter parameters validation",
	 "Unknown filters are refused instead of ignored", RES_COUNT, NULL},
	{"fip-port-details", "Floating IP Port Details Extension",
	 "A floating IP shows the port that it leads to", RES_FLOATING_IP, "port_details"},
	{"floating-ip-port-forwarding", "Floating IP Port Forwarding",
	 "Single ports of a floating IP lead to ports of VMs", RES_PORT_FORWARDING, "protocol"},
	{"floating-ip-port-forwarding-description", "Floating IP Port Forwarding new API",
	 "Port forwardings have a description", RES_PORT_FORWARDING, "description"},
	{"floating-ip-port-forwarding-detail", "Floating IP Port Forwarding new API",
	 "A floating IP shows ids and internal ports of its port forwardings", RES_PORT_FORWARDING,
	 "internal_port_id"},
	{"floating-ip-port-forwarding-port-ranges",
	 "Floating IP Port Forwarding support port ranges", "Ranges of ports (of equal size)",
	 RES_PORT_FORWARDING, "external_port_range"},
	{"ip_allocation", "IP Allocation", "When a port gets its addresses: at once, or none",
	 RES_PORT, "ip_allocation"},
	{"ip-substring-filtering", "IP address substring filtering",
	 "Filter ports by a part of a fixed IP", RES_PORT, "fixed_ips"},
	{"net-mtu", "Network MTU", "The MTU of a network", RES_NETWORK, "mtu"},
	{"net-mtu-writable", "Network MTU (writable)", "The MTU of a network can be set",
	 RES_NETWORK, "mtu"},
	{"pagination", "Pagination support", "limit, marker and page_reverse", RES_COUNT, NULL},
	{"port-security", "Port Security", "Anti-spoofing and security groups can be switched off",
	 RES_PORT, "port_security_enabled"},
	{"port-security-groups-filtering", "Port filtering on security groups",
	 "Provides security groups filtering when listing ports", RES_PORT, "security_groups"},
	{"project-id", "project_id field enabled", "Resources have project_id", RES_COUNT, NULL},
	{"provider", "Provider Network", "Type, physical network and segment of a network",
	 RES_NETWORK, "provider:network_type"},
	{"quota_details", "Quota details management support", "Limits and use of a project",
	 RES_COUNT, NULL},
	{"quotas", "Quota management support", "Limits of a project", RES_COUNT, NULL},
	{"revision-if-match", "If-Match constraints based on revision_number",
	 "Update or delete only the revision that was seen", RES_NETWORK, "revision_number"},
	{"router", "Neutron L3 Router",
	 "Routers between networks, gateways to external ones, floating IPs", RES_ROUTER,
	 "admin_state_up"},
	{"security-group", "security-group", "The security groups extension.", RES_SECURITY_GROUP,
	 "name"},
	{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules",
	 "The prefix of a rule without host bits", RES_SECURITY_GROUP_RULE, "normalized_cidr"},
	{"security-groups-remote-address-group",
	 "Remote address group id field for security group rules",
	 "Rules whose peers are an address group", RES_SECURITY_GROUP_RULE,
	 "remote_address_group_id"},
	{"sorting", "Sorting support", "sort_key and sort_dir", RES_COUNT, NULL},
	{"standard-attr-description", "standard-attr-description", "Resources have a description",
	 RES_NETWORK, "description"},
	{"standard-attr-revisions", "Resource revision numbers", "Resources have a revision_number",
	 RES_NETWORK, "revision_number"},
	{"standard-attr-tag",
	 "Tag support for resources with standard attribute: network, subnet, port, router, floatingip, security_group",
	 "Tags on resources", RES_NETWORK, "tags"},
	{"standard-attr-timestamp", "Resource timestamps", "created_at and updated_at", RES_NETWORK,
	 "created_at"},
	{"stateful-security-group", "Stateful security group",
	 "Security groups without connection tracking", RES_SECURITY_GROUP, "stateful"},
	{"subnet_allocation", "Subnet Allocation", "Subnets are cut from pools of prefixes",
	 RES_SUBNET_POOL, "prefixes"},
	{"subnet-service-types", "Subnet service types",
	 "Subnets for ports of certain device owners", RES_SUBNET, "service_types"},
	{"tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation",
	 "Ports are made with their tags", RES_PORT, "tags"},
};

static bool is_served(const struct extension *e)
{
	return e->attr == NULL || weft_resource_has_attr(e->type, e->attr);
}

static json_t *extension_json(const struct extension *e)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:[]}", "alias", e->alias, "name", e->name,
			 "description", e->description, "updated", "2026-01-01T00:00:00Z", "links");
}

int weft_handle_extensions(struct api_call *c, struct err *err)
{
	json_t *list = json_array();

	(void)err;
	for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++) {
		if (is_served(&extensions[i]))
			json_array_append_new(list, extension_json(&extensions[i]));
	}
	return weft_call_answer(c, 200, "extensions", list);
}

int weft_handle_extension(struct api_call *c, struct err *err)
{
	const char *alias = c->target.segments[2];

	for (size_t i = 0; i < sizeof(extensions) / sizeof(*extensions); i++) {
		if (strcmp(extensions[i].alias, alias) == 0 && is_served(&extensions[i]))
			return weft_call_answer(c, 200, "extension",
						extension_json(&extensions[i]));
	}
	return weft_fail(err, -ENOENT, "Extension with alias %s does not exist", alias);
}

static json_t *self_link(const struct api_call *c, const char *path)
{
	struct text url = {0};

	weft_call_base_url(c, &url);
	weft_text_add(&url, "%s", path);
	json_t *links = json_pack("[{s:s,s:s}]", "rel", "self", "href", url.s);
	weft_text_fini(&url);
	return links;
}

int weft_handle_versions(struct api_call *c, struct err *err)
{
	(void)err;
	return weft_call_answer(c, 200, "versions",
				json_pack("[{s:s,s:s,s:o}]", "id", "v2.0", "status", "CURRENT",
					  "links", self_link(c, "/v2.0/")));
}

// In the URL, "security-groups"; in bodies, "security_groups".
static json_t *resource_json(const struct api_call *c, const char *name, const char *collection)
{
	struct text path = {0};

	weft_text_add(&path, "/v2.0/%s", collection);
	for (char *p = path.s; *p; p++)
		*p = *p == '_' ? '-' : *p;
	json_t *r = json_pack("{s:s,s:s,s:o}", "name", name, "collection",
			      path.s + strlen("/v2.0/"), "links", self_link(c, path.s));
	weft_text_fini(&path);
	return r;
}

int weft_handle_resources(struct api_call *c, struct err *err)
{
	json_t *list = json_array();

	(void)err;
	for (enum resource type = 0; type < RES_COUNT; type++)
		if (weft_resource_has_url(type))
			json_array_append_new(list, resource_json(c, weft_resource_name(type),
								  weft_resource_plural(type)));
	json_array_append_new(list, resource_json(c, "agent", "agents"));
	json_array_append_new(list, resource_json(c, "quota", "quotas"));
	return weft_call_answer(c, 200, "resources", list);
}
