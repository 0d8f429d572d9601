// SPDX-License-Identifier: Apache-2.0
#include "north/api/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"

#define RED "11111111111111111111111111111111"

// The API before a model, with an agent that accepts every change, or none.
struct fixture {
	struct api_core core;
	int commit_ret;
	unsigned commits;
	struct api_answer answer; // the last one
	// Headers of the next requests.
	const char *project, *roles, *token, *if_match, *host, *content_type;
};

static int fake_commit(void *arg, struct txn *t, struct err *err)
{
	struct fixture *f = arg;
	if (f->commit_ret < 0)
		return weft_fail(err, f->commit_ret, "the disk is full");
	f->commits++;
	weft_txn_commit(t);
	return 0;
}

static json_t *fake_agents(void *arg)
{
	(void)arg;
	return json_pack("[{s:s,s:s,s:b},{s:s,s:s,s:b}]", "id", "a1", "host", "one", "alive", 1,
			 "id", "a2", "host", "two", "alive", 1);
}

static int fake_operate(void *arg, const char *method, const char *path, const json_t *query,
			const json_t *body, json_t **out, struct err *err)
{
	(void)arg;
	(void)body;
	if (strcmp(path, "ports/none") == 0)
		return weft_fail(err, -ENOENT, "port none is unknown");
	*out = json_pack("{s:s,s:s,s:O}", "method", method, "path", path, "query", query);
	return 0;
}

static void fake_metrics(void *arg, struct text *out)
{
	(void)arg;
	weft_text_add(out, "weft_ports 0\n");
}

static int setup(void **state)
{
	struct model_config config = {.host = "node-1",
				      .default_vif = "tap",
				      .vhostuser_mode = "client",
				      .run_dir = "/run/weft",
				      .default_mtu = 1500};
	struct fixture *f = calloc(1, sizeof(*f));
	f->core.model = weft_model_new(&config);
	f->core.hooks =
		(struct api_hooks) {f, fake_commit, fake_agents, fake_operate, fake_metrics};
	f->host = "127.0.0.1:9696";
	f->content_type = "application/json";
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	weft_answer_fini(&f->answer);
	weft_tokens_close(f->core.tokens);
	weft_model_free(f->core.model);
	free(f);
	return 0;
}

// Ask, and answer the status; the body stays in f->answer. The body is JSON with single quotes.
static unsigned ask(struct fixture *f, const char *method, const char *target, const char *body)
{
	char buf[2048] = "";
	snprintf(buf, sizeof(buf), "%s", body ? body : "");
	for (char *p = buf; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	struct api_request rq = {
		.method = method,
		.target = target,
		.host = f->host,
		.project = f->project,
		.roles = f->roles,
		.token = f->token,
		.if_match = f->if_match,
		.content_type = f->content_type,
		.body = buf,
		.body_len = strlen(buf),
	};
	weft_answer_fini(&f->answer);
	weft_api_handle(&f->core, &rq, &f->answer);
	return f->answer.status;
}

static unsigned ask_about(struct fixture *f, const char *method, const char *fmt, const char *id,
			  const char *body)
{
	char target[256];
	// The formats are literals of this file.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(target, sizeof(target), fmt, id);
#pragma GCC diagnostic pop
	return ask(f, method, target, body);
}

static const json_t *inner(struct fixture *f, const char *key)
{
	const json_t *o = json_object_get(f->answer.json, key);
	assert_non_null(o);
	return o;
}

static const char *error_type(struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "type");
}

static const char *error_message(struct fixture *f)
{
	return weft_json_text(inner(f, "NeutronError"), "message");
}

// Create one object and keep its id.
static void create(struct fixture *f, const char *collection, const char *resource,
		   const char *body, char id[37])
{
	char target[64], whole[1024];
	snprintf(target, sizeof(target), "/v2.0/%s", collection);
	snprintf(whole, sizeof(whole), "{'%s': %s}", resource, body);
	unsigned status = ask(f, "POST", target, whole);
	if (status != 201)
		fail_msg("POST %s: %u %s", target, status, json_dumps(f->answer.json, 0));
	snprintf(id, 37, "%s", weft_json_text(inner(f, resource), "id"));
}

static size_t count(struct fixture *f, const char *target, const char *plural)
{
	assert_int_equal(ask(f, "GET", target, NULL), 200);
	return json_array_size(inner(f, plural));
}

static void versions_and_resources_link_to_where_the_client_asked(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "GET", "/", NULL), 200);
	const json_t *v = json_array_get(inner(f, "versions"), 0);
	assert_string_equal(weft_json_text(v, "id"), "v2.0");
	const json_t *link = json_array_get(json_object_get(v, "links"), 0);
	assert_string_equal(weft_json_text(link, "href"), "http://127.0.0.1:9696/v2.0/");

	assert_int_equal(ask(f, "GET", "/v2.0/", NULL), 200);
	const json_t *group = json_array_get(inner(f, "resources"), RES_SECURITY_GROUP);
	assert_string_equal(weft_json_text(group, "collection"), "security-groups");
	assert_string_equal(weft_json_text(group, "name"), "security_group");
}

static void extensions_are_listed_and_found_by_alias(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "GET", "/v2.0/extensions.json", NULL), 200);
	assert_true(json_array_size(inner(f, "extensions")) > 10);
	assert_int_equal(ask(f, "GET", "/v2.0/extensions/security-group", NULL), 200);
	assert_int_equal(ask(f, "GET", "/v2.0/extensions/l3-ha", NULL), 404);
}

static void unknown_paths_methods_and_bodies_have_their_own_status(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "GET", "/v2.0/subnetpools", NULL), 404);
	assert_string_equal(error_type(f), "HTTPNotFound");
	assert_int_equal(ask(f, "GET", "/v3/networks", NULL), 404);
	assert_int_equal(ask(f, "DELETE", "/v2.0/networks", NULL), 405);
	assert_string_equal(f->answer.allow, "GET, POST");
	assert_int_equal(ask(f, "PUT", "/v2.0/agents/a1", "{'agent': {}}"), 405);
	assert_int_equal(ask(f, "GET", "/v2.0/%zz", NULL), 400);

	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{\n'network': {,}}"), 400);
	assert_string_equal(error_type(f), "MalformedRequestBody");
	assert_non_null(strstr(error_message(f), "line 2, column"));
	assert_int_equal(ask(f, "POST", "/v2.0/networks", NULL), 400);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "[]"), 400);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'port': {}}"), 400);
	assert_string_equal(error_message(f), "Unable to find 'network' in request body");
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': 1}"), 400);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'networks': []}"), 400);
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'networks': [1]}"), 400);
	f->content_type = "text/plain";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 415);
	f->content_type = NULL;
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 415);
	assert_int_equal(weft_model_count(f->core.model, RES_NETWORK), 0);
}

static void object_lives_through_create_show_update_delete(void **state)
{
	struct fixture *f = *state;
	char id[37];
	create(f, "networks", "network", "{'name': 'a'}", id);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s.json", id, NULL), 200);
	assert_string_equal(weft_json_text(inner(f, "network"), "name"), "a");
	assert_string_equal(weft_json_text(inner(f, "network"), "project_id"), API_DEFAULT_PROJECT);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {'name': 'b'}}"),
			 200);
	assert_string_equal(weft_json_text(inner(f, "network"), "name"), "b");
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s?fields=name&fields=id", id, NULL),
			 200);
	assert_int_equal(json_object_size(inner(f, "network")), 2);
	assert_int_equal(ask_about(f, "HEAD", "/v2.0/networks/%s", id, NULL), 200);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 204);
	assert_null(f->answer.json);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s", id, NULL), 404);
	assert_string_equal(error_type(f), "NetworkNotFound");
	assert_non_null(strstr(error_message(f), id));
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 404);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {}}"), 404);
}

static void bulk_create_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "POST", "/v2.0/networks",
			     "{'networks': [{'name': 'a'}, {'network': {'name': 'b'}}]}"),
			 201);
	assert_int_equal(json_array_size(inner(f, "networks")), 2);
	assert_int_equal(f->commits, 1);
	assert_int_equal(ask(f, "POST", "/v2.0/networks",
			     "{'networks': [{'name': 'c'}, {'nonsense': 1}]}"),
			 400);
	assert_int_equal(count(f, "/v2.0/networks", "networks"), 2);
	assert_int_equal(f->commits, 1);
}

static void refused_commit_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char id[37];
	create(f, "networks", "network", "{'name': 'a'}", id);
	f->commit_ret = -ENOSPC;
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {'name': 'b'}}"), 503);
	assert_string_equal(error_type(f), "ServiceUnavailable");
	assert_string_equal(error_message(f), "the disk is full");
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {'name': 'b'}}"),
			 503);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 503);
	f->commit_ret = 0;
	assert_int_equal(count(f, "/v2.0/networks", "networks"), 1);
	assert_int_equal(count(f, "/v2.0/networks?name=a", "networks"), 1);
}

static void project_has_its_default_group_once_from_the_first_list(void **state)
{
	struct fixture *f = *state;
	f->project = RED;
	f->roles = "member";
	assert_int_equal(count(f, "/v2.0/security-groups", "security_groups"), 1);
	assert_string_equal(weft_json_text(json_array_get(inner(f, "security_groups"), 0), "name"),
			    "default");
	assert_int_equal(count(f, "/v2.0/security-groups", "security_groups"), 1);
	assert_int_equal(count(f, "/v2.0/security-group-rules", "security_group_rules"), 4);
	assert_int_equal(f->commits, 1);
}

static void refused_first_post_makes_no_default_group(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {'nonsense': 1}}"), 400);
	assert_int_equal(weft_model_count(f->core.model, RES_SECURITY_GROUP), 0);
}

static void member_sees_own_objects_without_what_is_for_administrators(void **state)
{
	struct fixture *f = *state;
	char theirs[37], ours[37];
	create(f, "networks", "network", "{'name': 'theirs'}", theirs);
	f->project = RED;
	f->roles = "member";
	create(f, "networks", "network", "{'name': 'ours'}", ours);
	assert_null(json_object_get(inner(f, "network"), "provider:network_type"));
	assert_int_equal(count(f, "/v2.0/networks", "networks"), 1);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s", theirs, NULL), 404);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", theirs, "{'network': {}}"), 404);
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", theirs, NULL), 404);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s/tags", theirs, NULL), 404);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks?marker=%s", theirs, NULL), 404);
	assert_int_equal(ask(f, "GET", "/v2.0/ports?binding:host_id=x", NULL), 400);
	assert_int_equal(ask(f, "GET", "/v2.0/agents", NULL), 403);
	assert_int_equal(ask(f, "GET", "/metrics", NULL), 403);
	assert_int_equal(ask(f, "GET", "/weft/v1/ports", NULL), 403);
	f->roles = "Admin";
	assert_int_equal(count(f, "/v2.0/networks", "networks"), 2);
	assert_non_null(
		json_object_get(json_array_get(inner(f, "networks"), 0), "provider:network_type"));
}

static void reader_changes_nothing(void **state)
{
	struct fixture *f = *state;
	f->roles = "reader";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 403);
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 200);
	f->roles = "reader, member";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
}

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

static void quotas_have_no_limits(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED, NULL), 200);
	assert_int_equal(weft_json_int(inner(f, "quota"), "port", 0), -1);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED "/details.json", NULL), 200);
	assert_int_equal(weft_json_int(json_object_get(inner(f, "quota"), "port"), "used", -1), 0);
	f->roles = "member";
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED, NULL), 403);
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

static void token_decides_who_asks_and_headers_do_not(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/weft-handle-XXXXXX";
	struct err err;
	FILE *file = fdopen(mkstemp(path), "w");
	fputs("good " RED " member\nroot red admin\n", file);
	fclose(file);
	assert_int_equal(weft_tokens_open(path, &f->core.tokens, &err), 0);
	f->core.auth = API_AUTH_TOKEN;
	f->host = "weft.example:9696";
	f->roles = "admin";

	assert_int_equal(ask(f, "GET", "/", NULL), 200);
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 401);
	assert_true(f->answer.wants_token);
	assert_int_equal(weft_json_int(inner(f, "error"), "code", 0), 401);
	assert_int_equal(ask(f, "GET", "/v2.0/nonsense", NULL), 401);
	f->token = "bad";
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 401);
	f->token = "good";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
	assert_string_equal(weft_json_text(inner(f, "network"), "project_id"), RED);
	assert_int_equal(ask(f, "GET", "/v2.0/agents", NULL), 403);
	f->token = "root";
	assert_int_equal(ask(f, "GET", "/v2.0/agents", NULL), 200);
	unlink(path);
}

static void without_authentication_foreign_host_names_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const good[] = {"127.0.0.1", "localhost:9696", "[::1]:9696",
					   "LOCALHOST"};
	for (size_t i = 0; i < 4; i++) {
		f->host = good[i];
		assert_int_equal(ask(f, "GET", "/", NULL), 200);
	}
	f->host = "evil.example:9696";
	assert_int_equal(ask(f, "GET", "/", NULL), 403);
	f->host = "127.0.0.1.evil.example";
	assert_int_equal(ask(f, "GET", "/", NULL), 403);
}

static void hostile_texts_do_no_harm(void **state)
{
	struct fixture *f = *state;
	char longer[4096];
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "/v2.0/networks/", 15);
	memcpy(longer + 900, "%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4", 30);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ask(f, "GET", longer, NULL), 404);
	assert_non_null(error_message(f));
	f->project = "\xff\xfe";
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 400);
	f->project = "";
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 400);
	f->project = longer;
	assert_int_equal(ask(f, "GET", "/v2.0/networks", NULL), 400);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(versions_and_resources_link_to_where_the_client_asked),
		WITH_MODEL(extensions_are_listed_and_found_by_alias),
		WITH_MODEL(unknown_paths_methods_and_bodies_have_their_own_status),
		WITH_MODEL(object_lives_through_create_show_update_delete),
		WITH_MODEL(bulk_create_is_all_or_nothing),
		WITH_MODEL(refused_commit_changes_nothing),
		WITH_MODEL(project_has_its_default_group_once_from_the_first_list),
		WITH_MODEL(refused_first_post_makes_no_default_group),
		WITH_MODEL(member_sees_own_objects_without_what_is_for_administrators),
		WITH_MODEL(reader_changes_nothing),
		WITH_MODEL(pages_link_to_each_other_until_all_was_seen),
		WITH_MODEL(ids_in_the_query_answer_each_object_once),
		WITH_MODEL(ports_are_filtered_by_their_run_time_status),
		WITH_MODEL(tags_are_added_replaced_and_removed),
		WITH_MODEL(if_match_refuses_a_revision_that_is_past),
		WITH_MODEL(address_group_takes_and_gives_back_addresses),
		WITH_MODEL(agents_can_be_filtered_and_shown),
		WITH_MODEL(quotas_have_no_limits),
		WITH_MODEL(operators_speak_to_the_agent),
		WITH_MODEL(token_decides_who_asks_and_headers_do_not),
		WITH_MODEL(without_authentication_foreign_host_names_are_refused),
		WITH_MODEL(hostile_texts_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
