// SPDX-License-Identifier: Apache-2.0
// Requests beyond create, show, update and delete: pages, filters, tags, revisions, agents,
// quotas, operators.
#include "north/api/request.h"

#include "north/api/handle_testing.h"

static void pages_link_to_each_other_until_all_was_seen(void **state)
{
	struct fixture *f = *state;
	char target[512] = "/v2.0/networks?limit=2&sort_key=name";
	size_t seen = 0;
	for (int i = 0; i < 5; i++)
		ask(f, "POST", "/v2.0/networks", "{'network': {'name': 'n'}}");
	while (*target) {
		assert_int_equal(ask(f, "GET", target, NULL), 200);
		seen += json_array_size(inner(f, "networks"));
		const json_t *link = json_array_get(inner(f, "networks_links"), 0);
		bool more = strcmp(weft_json_text(link, "rel"), "next") == 0;
		const char *href = weft_json_text(link, "href") + strlen("http://127.0.0.1:9696");
		snprintf(target, sizeof(target), "%s", more ? href : "");
	}
	assert_int_equal(seen, 5);
}

static void ids_in_the_query_answer_each_object_once(void **state)
{
	struct fixture *f = *state;
	char id[37], target[256];
	create(f, "networks", "network", "{}", id);
	snprintf(target, sizeof(target), "/v2.0/networks?id=%s&id=%s&id=none", id, id);
	assert_int_equal(count(f, target, "networks"), 1);
	snprintf(target, sizeof(target), "/v2.0/networks?id=%s&name=other", id);
	assert_int_equal(count(f, target, "networks"), 0);
}

static void ports_are_filtered_by_their_run_time_status(void **state)
{
	struct fixture *f = *state;
	char network[37], port[37], body[128];
	create(f, "networks", "network", "{}", network);
	snprintf(body, sizeof(body), "{'network_id': '%s'}", network);
	create(f, "ports", "port", body, port);
	assert_int_equal(count(f, "/v2.0/ports?status=DOWN", "ports"), 1);
	weft_model_set_port_status(f->core.model, port, "ACTIVE");
	assert_int_equal(count(f, "/v2.0/ports?status=DOWN", "ports"), 0);
	assert_int_equal(count(f, "/v2.0/ports?status=ACTIVE&sort_key=status", "ports"), 1);
}

static void subnets_are_seen_by_those_who_may_use_their_network(void **state)
{
	struct fixture *f = *state;
	char id[37];
	static const char *const networks[] = {"'shared': true", "'router:external': true",
					       "'name': 'a'"};
	for (size_t i = 0; i < 3; i++) {
		char body[128];
		snprintf(body, sizeof(body), "{%s}", networks[i]);
		create(f, "networks", "network", body, id);
		snprintf(body, sizeof(body),
			 "{'network_id': '%s', 'ip_version': 4, 'cidr': '10.%d.0.0/24'}", id,
			 (int)i);
		create(f, "subnets", "subnet", body, id);
		assert_null(json_object_get(inner(f, "subnet"), "shared"));
		assert_null(json_object_get(inner(f, "subnet"), "router:external"));
	}
	assert_int_equal(count(f, "/v2.0/subnets", "subnets"), 3);
	assert_int_equal(count(f, "/v2.0/subnets?shared=True", "subnets"), 1);
	assert_int_equal(count(f, "/v2.0/subnets?shared=no", "subnets"), 2);
	assert_int_equal(count(f, "/v2.0/subnets?cidr=10.0.0.0/24&shared=1", "subnets"), 1);
	assert_int_equal(ask(f, "GET", "/v2.0/subnets?shared=perhaps", NULL), 400);
	assert_int_equal(ask(f, "GET", "/v2.0/networks?admin_state_up=", NULL), 400);
	f->project = RED;
	f->roles = "member";
	assert_int_equal(count(f, "/v2.0/networks", "networks"), 2);
	assert_int_equal(count(f, "/v2.0/subnets", "subnets"), 1);
	assert_int_equal(count(f, "/v2.0/subnets?cidr=10.1.0.0/24", "subnets"), 0);
}

static void tags_are_added_replaced_and_removed(void **state)
{
	struct fixture *f = *state;
	char id[37];
	create(f, "networks", "network", "{}", id);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags/blue", id, NULL), 201);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags/blue", id, NULL), 201);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s/tags/blue", id, NULL), 204);
	assert_int_equal(ask_about(f, "POST", "/v2.0/networks/%s/tags", id,
				   "{'tags': ['blue', 'red']}"),
			 200);
	assert_int_equal(json_array_size(inner(f, "tags")), 2);
	assert_int_equal(count(f, "/v2.0/networks?tags=blue,red", "networks"), 1);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s/tags/blue", id, NULL), 204);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s/tags/blue", id, NULL), 404);
	assert_string_equal(error_type(f), "TagNotFound");
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags", id, "{'tags': ['x']}"), 200);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags", id, "{'tag': 1}"), 400);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s/tags", id, NULL), 204);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s/tags", id, NULL), 200);
	assert_int_equal(json_array_size(inner(f, "tags")), 0);
}

static void if_match_refuses_a_revision_that_is_past(void **state)
{
	struct fixture *f = *state;
	char id[37], match[64];
	create(f, "networks", "network", "{}", id);
	int64_t revision = weft_json_int(inner(f, "network"), "revision_number", -1);
	snprintf(match, sizeof(match), "revision_number=%d", (int)revision + 7);
	f->if_match = match;
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {'name': 'x'}}"),
			 412);
	assert_string_equal(error_type(f), "RevisionNumberConstraintFailed");
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 412);
	snprintf(match, sizeof(match), "revision_number=%d", (int)revision);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {'name': 'x'}}"),
			 200);
	f->if_match = "*";
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 400);
}

static void address_group_takes_and_gives_back_addresses(void **state)
{
	struct fixture *f = *state;
	char id[37];
	create(f, "address-groups", "address_group", "{'name': 'g', 'addresses': ['10.0.0.1/32']}",
	       id);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/address-groups/%s/add_addresses", id,
				   "{'addresses': ['10.0.0.2/32']}"),
			 200);
	assert_int_equal(json_array_size(json_object_get(inner(f, "address_group"), "addresses")),
			 2);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/address-groups/%s/remove_addresses", id,
				   "{'address_group': {'addresses': ['10.0.0.1/32']}}"),
			 200);
	assert_int_equal(json_array_size(json_object_get(inner(f, "address_group"), "addresses")),
			 1);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/address-groups/%s/add_addresses", id,
				   "{'address_group': {}}"),
			 400);
}

static void agents_can_be_filtered_and_shown(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(count(f, "/v2.0/agents", "agents"), 2);
	assert_int_equal(count(f, "/v2.0/agents?host=two", "agents"), 1);
	assert_int_equal(count(f, "/v2.0/agents?limit=1&marker=a1&fields=id", "agents"), 1);
	assert_int_equal(ask(f, "GET", "/v2.0/agents?nonsense=1", NULL), 400);
	assert_int_equal(ask(f, "GET", "/v2.0/agents/a2", NULL), 200);
	assert_int_equal(ask(f, "GET", "/v2.0/agents/a3", NULL), 404);
}

// Clients send one where none is needed, and not always an object: Tempest's tags come with "{}",
// a text.
static void a_body_that_nobody_needs_may_be_any_json(void **state)
{
	struct fixture *f = *state;
	char id[37];
	create(f, "networks", "network", "{}", id);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags/blue", id, "'{}'"), 201);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags/red", id, "7"), 201);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "'{}'"), 400);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "7"), 400);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s/tags", id, "null"), 400);
}

static void an_agent_is_what_it_is(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {}}"), 200);
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {'description': null}}"), 409);
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {'admin_state_up': false}}"),
			 409);
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {'host': 'one'}}"), 400);
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{}"), 400);
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a9", "{'agent': {}}"), 404);
	assert_int_equal(ask(f, "DELETE", "/v2.0/agents/a1", NULL), 409);
	assert_int_equal(ask(f, "DELETE", "/v2.0/agents/a9", NULL), 404);
	f->roles = "member";
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {}}"), 404);
	assert_int_equal(ask(f, "DELETE", "/v2.0/agents/a1", NULL), 404);
}

static void nothing_is_scheduled_to_an_agent_and_clients_hear_it(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "POST", "/v2.0/agents/a1/dhcp-networks", "{'network_id': 'x'}"),
			 404);
	assert_null(f->answer.json);
	assert_non_null(strstr(f->answer.text.s, "not scheduled"));
	assert_int_equal(ask(f, "POST", "/v2.0/agents/a1/l3-routers", "{'router_id': 'x'}"), 404);
	assert_int_equal(ask(f, "DELETE", "/v2.0/agents/a1/l3-routers/x", NULL), 404);
}

static void quotas_limit_what_a_project_has(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED, NULL), 200);
	assert_int_equal(weft_json_int(inner(f, "quota"), "port", 0), -1);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED "/details.json", NULL), 200);
	assert_int_equal(weft_json_int(json_object_get(inner(f, "quota"), "port"), "used", -1), 0);
	assert_int_equal(ask(f, "PUT", "/v2.0/quotas/" RED,
			     "{'quota': {'network': 1, "
			     "'security_group': 1}}"),
			 200);
	assert_int_equal(weft_json_int(inner(f, "quota"), "network", 0), 1);
	assert_int_equal(weft_json_int(inner(f, "quota"), "subnet", 0), -1);
	assert_int_equal(count(f, "/v2.0/quotas", "quotas"), 1);
	assert_int_equal(ask(f, "PUT", "/v2.0/quotas/" RED, "{'quota': 1}"), 400);
	assert_int_equal(ask(f, "PUT", "/v2.0/quotas/" RED, "{'quota': {'x': 1}}"), 400);

	f->project = RED;
	f->roles = "member";
	assert_int_equal(ask(f, "PUT", "/v2.0/quotas/" RED, "{'quota': {'network': 9}}"), 403);
	assert_int_equal(ask(f, "DELETE", "/v2.0/quotas/" RED, NULL), 403);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/other", NULL), 403);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED "/details", NULL), 200);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'networks': [{}, {}]}"), 409);
	assert_string_equal(error_type(f), "OverQuota");
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 409);
	// The default group came with the network, and is the one that there may be.
	assert_int_equal(ask(f, "POST", "/v2.0/security-groups", "{'security_group': {}}"), 409);

	f->project = "other";
	f->roles = "admin";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {'project_id': '" RED "'}}"),
			 409);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
	assert_int_equal(ask(f, "DELETE", "/v2.0/quotas/" RED, NULL), 204);
	assert_int_equal(ask(f, "DELETE", "/v2.0/quotas/" RED, NULL), 404);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {'project_id': '" RED "'}}"),
			 201);
}

// `n` networks in one request.
static unsigned create_many(struct fixture *f, size_t n)
{
	weft_auto(json) body = json_pack("{s:[]}", "networks");
	for (size_t i = 0; i < n; i++)
		json_array_append_new(json_object_get(body, "networks"),
				      json_pack("{s:s}", "name", "n"));
	char *text = json_dumps(body, 0);
	struct api_request rq = {.method = "POST",
				 .target = "/v2.0/networks",
				 .host = f->host,
				 .content_type = "application/json",
				 .body = text,
				 .body_len = strlen(text)};
	weft_answer_fini(&f->answer);
	weft_api_handle(&f->core, &rq, &f->answer);
	free(text);
	return f->answer.status;
}

static void request_makes_a_limited_number_of_objects(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(create_many(f, API_BULK_MAX + 1), 400);
	assert_non_null(strstr(error_message(f), "1000"));
	assert_int_equal(weft_model_count(f->core.model, RES_NETWORK), 0);
	assert_int_equal(create_many(f, API_BULK_MAX), 201);
	assert_int_equal(weft_model_count(f->core.model, RES_NETWORK), API_BULK_MAX);
}

// All of an answer that is made as it is sent, and how many pieces it took.
static json_t *read_slices(struct fixture *f, unsigned *pieces)
{
	struct text all = {0};
	*pieces = 0;
	while (weft_answer_next(&f->answer)) {
		weft_text_add(&all, "%.*s", (int)f->answer.text.len, f->answer.text.s);
		f->answer.text.len = 0;
		++*pieces;
	}
	json_t *j = json_loads(all.s, 0, NULL);
	assert_non_null(j);
	weft_text_fini(&all);
	return j;
}

static void long_list_is_made_as_it_is_sent(void **state)
{
	struct fixture *f = *state;
	unsigned pieces;
	assert_int_equal(create_many(f, 1000), 201);
	weft_auto(json) made = json_incref(f->answer.json);
	assert_int_equal(ask(f, "GET", "/v2.0/networks?sort_key=id&fields=id&fields=name&limit=900",
			     NULL),
			 200);
	assert_null(f->answer.json);
	weft_auto(json) j = read_slices(f, &pieces);
	const json_t *list = json_object_get(j, "networks");
	assert_int_equal(json_array_size(list), 900);
	for (size_t i = 0; i < 900; i++) {
		const json_t *o = json_array_get(list, i);
		assert_int_equal(json_object_size(o), 2);
		assert_true(i == 0 || strcmp(weft_json_text(json_array_get(list, i - 1), "id"),
					     weft_json_text(o, "id")) < 0);
	}
	const char *href =
		weft_json_text(json_array_get(json_object_get(j, "networks_links"), 0), "href");
	assert_non_null(strstr(href, weft_json_text(json_array_get(list, 899), "id")));

	// What goes while it is sent is left out; what was changed is as it is then.
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 200);
	struct api_answer kept = f->answer;
	f->answer = (struct api_answer) {0};
	const json_t *networks = json_object_get(made, "networks");
	for (size_t i = 0; i < 1000; i += 2)
		assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s",
					   weft_json_text(json_array_get(networks, i), "id"), NULL),
				 204);
	weft_answer_fini(&f->answer);
	f->answer = kept;
	weft_auto(json) rest = read_slices(f, &pieces);
	assert_int_equal(json_array_size(json_object_get(rest, "networks")), 500);
	// A reader that goes away in the middle leaves nothing behind.
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 200);
	assert_true(weft_answer_next(&f->answer));
}

static void operators_speak_to_the_agent(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "POST", "/weft/v1/ports/p?a=b", "{}"), 200);
	assert_string_equal(weft_json_text(f->answer.json, "path"), "ports/p");
	assert_string_equal(weft_json_text(inner(f, "query"), "a"), "b");
	assert_int_equal(ask(f, "GET", "/weft/v1/ports/none", NULL), 404);
	assert_string_equal(weft_json_text(f->answer.json, "error"), "port none is unknown");
	assert_int_equal(ask(f, "GET", "/metrics", NULL), 200);
	assert_string_equal(f->answer.text.s, "weft_ports 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(pages_link_to_each_other_until_all_was_seen),
		WITH_MODEL(ids_in_the_query_answer_each_object_once),
		WITH_MODEL(ports_are_filtered_by_their_run_time_status),
		WITH_MODEL(subnets_are_seen_by_those_who_may_use_their_network),
		WITH_MODEL(tags_are_added_replaced_and_removed),
		WITH_MODEL(if_match_refuses_a_revision_that_is_past),
		WITH_MODEL(address_group_takes_and_gives_back_addresses),
		WITH_MODEL(agents_can_be_filtered_and_shown),
		WITH_MODEL(a_body_that_nobody_needs_may_be_any_json),
		WITH_MODEL(an_agent_is_what_it_is),
		WITH_MODEL(nothing_is_scheduled_to_an_agent_and_clients_hear_it),
		WITH_MODEL(quotas_limit_what_a_project_has),
		WITH_MODEL(request_makes_a_limited_number_of_objects),
		WITH_MODEL(long_list_is_made_as_it_is_sent),
		WITH_MODEL(operators_speak_to_the_agent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
