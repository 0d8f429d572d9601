// SPDX-License-Identifier: Apache-2.0
#include "north/api/request.h"

#include "north/api/handle_testing.h"

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
	assert_int_equal(ask(f, "GET", "/v2.0/trunks", NULL), 404);
	assert_string_equal(error_type(f), "HTTPNotFound");
	assert_int_equal(ask(f, "GET", "/v3/networks", NULL), 404);
	assert_int_equal(ask(f, "DELETE", "/v2.0/networks", NULL), 405);
	assert_string_equal(f->answer.allow, "GET, POST");
	assert_int_equal(ask(f, "PUT", "/v2.0/extensions", "{}"), 405);
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
	assert_int_equal(weft_model_count(f->core.model, RES_NETWORK), 0);
}

// What a page in a browser can send without asking first: a POST, as a form, as text or as nothing.
static void body_is_json_whatever_it_is_called_unless_a_web_page_could_send_it(void **state)
{
	static const char *const types[] = {NULL, "text/plain",
					    "application/x-www-form-urlencoded"};
	struct fixture *f = *state;
	char id[37];
	create(f, "networks", "network", "{}", id);
	for (size_t i = 0; i < 3; i++) {
		f->content_type = types[i];
		assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 415);
		assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id,
					   "{'network': {'name': 'x'}}"),
				 200);
		assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "network"), 400);
	}
	assert_int_equal(weft_model_count(f->core.model, RES_NETWORK), 1);
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
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", theirs,
				   "{'network': {'status': 'DOWN'}}"),
			 400); // of nobody's network
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", theirs, NULL), 404);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s/tags", theirs, NULL), 404);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks?marker=%s", theirs, NULL), 404);
	assert_int_equal(ask(f, "GET", "/v2.0/ports?binding:host_id=x", NULL), 400);
	assert_int_equal(count(f, "/v2.0/agents", "agents"), 0);
	assert_int_equal(ask(f, "GET", "/v2.0/agents/a1", NULL), 404);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas", NULL), 403);
	assert_int_equal(ask(f, "GET", "/v2.0/quotas/" RED, NULL), 200);
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
	f->roles = "member";
	char id[37];
	create(f, "networks", "network", "{}", id);
	f->roles = "reader";
	assert_int_equal(ask_about(f, "DELETE", "/v2.0/networks/%s", id, NULL), 403);
	assert_int_equal(ask_about(f, "PUT", "/v2.0/networks/%s", id, "{'network': {}}"), 403);
	assert_int_equal(ask_about(f, "GET", "/v2.0/networks/%s", id, NULL), 200);
	f->roles = "reader, member";
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
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
	f->content_type = NULL; // no web page has the token
	assert_int_equal(ask(f, "POST", "/v2.0/networks", "{'network': {}}"), 201);
	assert_string_equal(weft_json_text(inner(f, "network"), "project_id"), RED);
	assert_int_equal(ask(f, "GET", "/metrics", NULL), 403);
	f->token = "root";
	assert_int_equal(ask(f, "GET", "/metrics", NULL), 200);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MODEL(versions_and_resources_link_to_where_the_client_asked),
		WITH_MODEL(extensions_are_listed_and_found_by_alias),
		WITH_MODEL(unknown_paths_methods_and_bodies_have_their_own_status),
		WITH_MODEL(body_is_json_whatever_it_is_called_unless_a_web_page_could_send_it),
		WITH_MODEL(object_lives_through_create_show_update_delete),
		WITH_MODEL(bulk_create_is_all_or_nothing),
		WITH_MODEL(refused_commit_changes_nothing),
		WITH_MODEL(project_has_its_default_group_once_from_the_first_list),
		WITH_MODEL(refused_first_post_makes_no_default_group),
		WITH_MODEL(member_sees_own_objects_without_what_is_for_administrators),
		WITH_MODEL(reader_changes_nothing),
		WITH_MODEL(token_decides_who_asks_and_headers_do_not),
		WITH_MODEL(without_authentication_foreign_host_names_are_refused),
		WITH_MODEL(hostile_texts_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
