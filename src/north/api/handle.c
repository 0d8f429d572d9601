// SPDX-License-Identifier: Apache-2.0
#include "north/api/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/json.h"
#include "base/log.h"
#include "north/api/call.h"

enum route_access {
	ROUTE_OPEN,  // anybody: the versions
	ROUTE_TOKEN, // anybody who says who he is
	ROUTE_ADMIN,
};

struct route {
	const char *method; // "*": any
	const char *path;   // "*": any segment, "{collection}": a resource's name, "**": the rest
	enum route_access access;
	api_handler handle;
};

// clang-format off
static const struct route routes[] = {
	{"GET",    "/",                                        ROUTE_OPEN,  weft_handle_versions},
	{"GET",    "/v2.0",                                    ROUTE_TOKEN, weft_handle_resources},
	{"GET",    "/v2.0/extensions",                         ROUTE_TOKEN, weft_handle_extensions},
	{"GET",    "/v2.0/extensions/*",                       ROUTE_TOKEN, weft_handle_extension},
	{"GET",    "/v2.0/agents",                             ROUTE_TOKEN, weft_handle_agents},
	{"GET",    "/v2.0/agents/*",                           ROUTE_TOKEN, weft_handle_agent},
	{"PUT",    "/v2.0/agents/*",                           ROUTE_TOKEN, weft_handle_agent_update},
	{"DELETE", "/v2.0/agents/*",                           ROUTE_TOKEN, weft_handle_agent_delete},
	{"POST",   "/v2.0/agents/*/dhcp-networks",             ROUTE_TOKEN, weft_handle_schedule},
	{"POST",   "/v2.0/agents/*/l3-routers",                ROUTE_TOKEN, weft_handle_schedule},
	{"GET",    "/v2.0/quotas",                             ROUTE_TOKEN, weft_handle_quotas},
	{"GET",    "/v2.0/quotas/*",                           ROUTE_TOKEN, weft_handle_quota},
	{"PUT",    "/v2.0/quotas/*",                           ROUTE_TOKEN, weft_handle_quota_update},
	{"DELETE", "/v2.0/quotas/*",                           ROUTE_TOKEN, weft_handle_quota_reset},
	{"GET",    "/v2.0/quotas/*/*",                         ROUTE_TOKEN, weft_handle_quota_view},
	{"PUT",    "/v2.0/address-groups/*/add_addresses",     ROUTE_TOKEN, weft_handle_add_addresses},
	{"PUT",    "/v2.0/address-groups/*/remove_addresses",  ROUTE_TOKEN, weft_handle_remove_addresses},
	{"PUT",    "/v2.0/routers/*/add_router_interface",     ROUTE_TOKEN, weft_handle_add_router_interface},
	{"PUT",    "/v2.0/routers/*/remove_router_interface",  ROUTE_TOKEN, weft_handle_remove_router_interface},
	{"PUT",    "/v2.0/routers/*/add_extraroutes",          ROUTE_TOKEN, weft_handle_add_extraroutes},
	{"PUT",    "/v2.0/routers/*/remove_extraroutes",       ROUTE_TOKEN, weft_handle_remove_extraroutes},
	{"GET",    "/v2.0/floatingips/*/port_forwardings",     ROUTE_TOKEN, weft_handle_forwardings_list},
	{"POST",   "/v2.0/floatingips/*/port_forwardings",     ROUTE_TOKEN, weft_handle_forwardings_create},
	{"GET",    "/v2.0/floatingips/*/port_forwardings/*",   ROUTE_TOKEN, weft_handle_forwarding_show},
	{"PUT",    "/v2.0/floatingips/*/port_forwardings/*",   ROUTE_TOKEN, weft_handle_forwarding_update},
	{"DELETE", "/v2.0/floatingips/*/port_forwardings/*",   ROUTE_TOKEN, weft_handle_forwarding_delete},
	{"GET",    "/v2.0/{collection}",                       ROUTE_TOKEN, weft_handle_list},
	{"POST",   "/v2.0/{collection}",                       ROUTE_TOKEN, weft_handle_create},
	{"GET",    "/v2.0/{collection}/*",                     ROUTE_TOKEN, weft_handle_show},
	{"PUT",    "/v2.0/{collection}/*",                     ROUTE_TOKEN, weft_handle_update},
	{"DELETE", "/v2.0/{collection}/*",                     ROUTE_TOKEN, weft_handle_delete},
	{"GET",    "/v2.0/{collection}/*/tags",                ROUTE_TOKEN, weft_handle_tags_list},
	{"PUT",    "/v2.0/{collection}/*/tags",                ROUTE_TOKEN, weft_handle_tags_replace},
	{"POST",   "/v2.0/{collection}/*/tags",                ROUTE_TOKEN, weft_handle_tags_add},
	{"DELETE", "/v2.0/{collection}/*/tags",                ROUTE_TOKEN, weft_handle_tags_clear},
	{"GET",    "/v2.0/{collection}/*/tags/*",              ROUTE_TOKEN, weft_handle_tag_show},
	{"PUT",    "/v2.0/{collection}/*/tags/*",              ROUTE_TOKEN, weft_handle_tag_add},
	{"DELETE", "/v2.0/{collection}/*/tags/*",              ROUTE_TOKEN, weft_handle_tag_remove},
	{"GET",    "/metrics",                                 ROUTE_ADMIN, weft_handle_metrics},
	{"*",      "/weft/v1/**",                              ROUTE_ADMIN, weft_handle_operate},
};
// clang-format on

// What the codes of struct err mean in HTTP; `kind` when the callee had none.
static const struct {
	int code;
	unsigned status;
	const char *kind;
} statuses[] = {
	{-EINVAL, 400, "HTTPBadRequest"},
	{-EKEYREJECTED, 401, "HTTPUnauthorized"},
	{-EPERM, 403, "PolicyNotAuthorized"},
	{-EACCES, 403, "PolicyNotAuthorized"},
	{-ENOENT, 404, "HTTPNotFound"},
	{-EOPNOTSUPP, 405, "HTTPMethodNotAllowed"},
	{-EEXIST, 409, "Conflict"},
	{-EBUSY, 409, "Conflict"},
	{-ENOSPC, 409, "Conflict"},
	{-ESTALE, 412, "RevisionNumberConstraintFailed"},
	{-EMSGSIZE, 413, "HTTPRequestEntityTooLarge"},
	{-ENAMETOOLONG, 414, "HTTPRequestURITooLong"},
	{-EPROTOTYPE, 415, "HTTPUnsupportedMediaType"},
	{-EAGAIN, 503, "ServiceUnavailable"},
};

// A message that was cut may end inside a character, which JSON does not take.
static json_t *message_json(const char *msg)
{
	size_t len = strlen(msg);
	json_t *s = json_stringn(msg, len);

	for (unsigned i = 0; s == NULL && i < 4 && len > 0; i++)
		s = json_stringn(msg, --len);
	return s ? s : json_string("The message cannot be shown.");
}

static void answer_error(struct api_call *c, int code, const struct err *err)
{
	const char *kind = "HTTPInternalServerError";
	bool is_operator = c->target.n > 0 && strcmp(c->target.segments[0], "v2.0") != 0;

	c->out->status = 500;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		if (statuses[i].code == code) {
			c->out->status = statuses[i].status;
			kind = statuses[i].kind;
		}
	}
	if (err->kind)
		kind = err->kind;
	if (c->out->status == 500)
		weft_log_error("request %s failed: %s", c->out->request_id, err->msg);

	json_decref(c->out->json);
	if (c->out->status == 401)
		c->out->json = json_pack("{s:{s:i,s:s,s:o}}", "error", "code", 401, "title",
					 "Unauthorized", "message", message_json(err->msg));
	else if (is_operator)
		c->out->json = json_pack("{s:o}", "error", message_json(err->msg));
	else
		c->out->json = json_pack("{s:{s:s,s:o,s:s}}", "NeutronError", "type", kind,
					 "message", message_json(err->msg), "detail", "");
}

static bool matches(const struct route *r, const struct target *t, enum resource *type)
{
	const char *p = r->path;
	size_t i = 0;

	for (;; i++) {
		p += strspn(p, "/");
		size_t len = strcspn(p, "/");
		if (len == 0)
			return i == t->n;
		if (strcmp(p, "**") == 0)
			return true;
		if (i == t->n)
			return false;
		if (strncmp(p, "{", 1) == 0) {
			if (weft_resource_from_url(t->segments[i], type) < 0)
				return false;
		} else if (strncmp(p, "*", len) != 0 &&
			   (strncmp(p, t->segments[i], len) != 0 || t->segments[i][len] != '\0')) {
			return false;
		}
		p += len;
	}
}

// The route of a method and path; -ENOENT when the path is nobody's, -EOPNOTSUPP when only the
// method is.
static int find_route(struct api_call *c, const struct route **out, struct err *err)
{
	const char *method = strcmp(c->rq->method, "HEAD") == 0 ? "GET" : c->rq->method;
	char *allow = c->out->allow;
	size_t size = sizeof(c->out->allow);

	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		const struct route *r = &routes[i];
		if (!matches(r, &c->target, &c->type))
			continue;
		if (strcmp(r->method, "*") == 0 || strcmp(r->method, method) == 0) {
			*out = r;
			*allow = '\0';
			return 0;
		}
		size_t used = strlen(allow);
		snprintf(allow + used, size - used, "%s%s", used ? ", " : "", r->method);
	}
	if (*allow)
		return weft_fail(err, -EOPNOTSUPP,
				 "The method is not allowed for this resource (allowed: %s).",
				 allow);
	return weft_fail(err, -ENOENT, "The resource could not be found.");
}

static bool has_role(const char *roles, const char *role)
{
	size_t len = strlen(role);

	while (*roles) {
		roles += strspn(roles, ", \t");
		size_t n = strcspn(roles, ", \t");
		if (n == len && strncasecmp(roles, role, len) == 0)
			return true;
		roles += n;
	}
	return false;
}

static int check_project(const char *project, struct err *err)
{
	weft_auto(json) text = json_string(project);

	if (text == NULL || *project == '\0' || strlen(project) > 255)
		return weft_fail(err, -EINVAL,
				 "The project id is not valid: 1 to 255 bytes of UTF-8 are.");
	return 0;
}

// Who asks: on the unix socket, and on loopback without authentication, the headers say (nothing:
// an administrator); elsewhere the token does.
static int authenticate(struct api_call *c, enum route_access access, struct err *err)
{
	const char *project = c->rq->project;
	const char *roles = c->rq->roles ? c->rq->roles : "admin";
	struct token_owner owner;

	if (c->core->auth == API_AUTH_TOKEN && !c->rq->is_local && access != ROUTE_OPEN) {
		if (c->rq->token == NULL ||
		    !weft_tokens_get(c->core->tokens, c->rq->token, &owner)) {
			c->out->wants_token = true;
			return weft_fail(err, -EKEYREJECTED,
					 "The request you have made requires authentication.");
		}
		project = owner.project;
		roles = owner.roles;
	}
	c->who.project_id = project ? project : API_DEFAULT_PROJECT;
	c->who.is_admin = has_role(roles, "admin");
	c->is_read_only = !c->who.is_admin && !has_role(roles, "member") &&
			  has_role(roles, "reader");
	return check_project(c->who.project_id, err);
}

static int authorize(const struct api_call *c, enum route_access access, struct err *err)
{
	bool reads = strcmp(c->rq->method, "GET") == 0 || strcmp(c->rq->method, "HEAD") == 0;

	if (access == ROUTE_ADMIN && !c->who.is_admin)
		return weft_fail(err, -EPERM,
				 "This is for administrators: the role 'admin' is needed.");
	if (c->is_read_only && !reads)
		return weft_fail(err, -EPERM, "The role 'reader' may not change anything.");
	return 0;
}

// Neutron reads every body as JSON, whatever its Content-Type says, and clients rely on it. A web
// page may post to loopback without asking first, though never as application/json (nor with PUT,
// nor with a token): so where loopback is the only guard, a POST must say what it is.
static bool is_body_welcome(const struct api_call *c)
{
	static const char json[] = "application/json";
	const char *type = c->rq->content_type;

	return c->core->auth != API_AUTH_NONE || strcmp(c->rq->method, "POST") != 0 ||
	       (type != NULL && strncasecmp(type, json, strlen(json)) == 0);
}

static int parse_body(struct api_call *c, struct err *err)
{
	const struct api_request *rq = c->rq;
	json_error_t where;

	if (rq->body_error == -EMSGSIZE)
		return weft_fail(err, -EMSGSIZE, "The request body is larger than %u bytes.",
				 API_BODY_MAX);
	if (rq->body_error)
		return weft_fail(err, rq->body_error,
				 "Too many large requests at once: try again.");
	if (rq->body_len == 0)
		return 0;
	if (!is_body_welcome(c))
		return weft_fail(err, -EPROTOTYPE,
				 "Without authentication, a POST is answered only with "
				 "'Content-Type: application/json'.");
	c->body = json_loadb(rq->body, rq->body_len, JSON_DECODE_ANY, &where);
	if (c->body == NULL)
		return weft_fail_as(err, -EINVAL, "MalformedRequestBody",
				    "Malformed request body: line %d, column %d: %s.", where.line,
				    where.column, where.text);
	return 0;
}

// Without authentication, loopback is the guard. A web page whose name is made to resolve to
// loopback gets past it with its own name as Host: only addresses and "localhost" are ours.
static int check_host(const struct api_call *c, struct err *err)
{
	const char *host = c->rq->host;
	char name[WEFT_IP_STRLEN] = "";
	struct ip_addr ip;

	if (c->core->auth != API_AUTH_NONE || c->rq->is_local || host == NULL)
		return 0;
	bool bracketed = *host == '[';
	host += bracketed;
	size_t len = strcspn(host, bracketed ? "]" : ":");
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	if (strcasecmp(name, "localhost") == 0 || weft_ip_parse(name, &ip) == 0)
		return 0;
	return weft_fail(
		err, -EPERM,
		"Without authentication only http://ADDRESS:PORT and http://localhost:PORT are answered.");
}

// What the head alone tells: who asks, and for what. *r: NULL when *missing says why nothing is
// there.
static int look_at_head(struct api_call *c, const struct route **r, int *found, struct err *missing,
			struct err *err)
{
	int ret = check_host(c, err);

	if (ret == 0)
		ret = weft_target_parse(c->rq->target, &c->target, err);
	if (ret < 0)
		return ret;
	c->id = c->target.n > 2 ? c->target.segments[2] : NULL;
	// Strangers do not learn what exists: who they are comes before what they want.
	*found = find_route(c, r, missing);
	return authenticate(c, *r ? (*r)->access : ROUTE_TOKEN, err);
}

static int run(struct api_call *c, struct err *err)
{
	const struct route *r = NULL;
	struct err missing = {0};
	int found = 0;
	int ret = look_at_head(c, &r, &found, &missing, err);

	if (ret == 0 && found < 0) {
		*err = missing;
		return found;
	}
	if (ret == 0)
		ret = authorize(c, r->access, err);
	if (ret == 0)
		ret = parse_body(c, err);
	if (ret == 0)
		ret = r->handle(c, err);
	return ret;
}

static void answer_init(struct api_answer *out)
{
	char uuid[37];

	*out = (struct api_answer) {0};
	weft_uuid_new(uuid);
	snprintf(out->request_id, sizeof(out->request_id), "req-%s", uuid);
}

static void call_end(struct api_call *c)
{
	weft_log_debug("%s %s %s: %u", c->out->request_id, c->rq->method, c->rq->target,
		       c->out->status);
	json_decref(c->body);
	weft_target_fini(&c->target);
}

void weft_api_handle(struct api_core *core, const struct api_request *rq, struct api_answer *out)
{
	struct api_call c = {.core = core, .rq = rq, .type = RES_COUNT, .out = out};
	struct err err = {0};

	answer_init(out);
	int ret = run(&c, &err);
	if (ret < 0 && ret != -EINPROGRESS)
		answer_error(&c, ret, &err);
	call_end(&c);
}

bool weft_api_admit(struct api_core *core, const struct api_request *rq, struct api_answer *out)
{
	struct api_call c = {.core = core, .rq = rq, .type = RES_COUNT, .out = out};
	struct err err = {0}, missing = {0};
	const struct route *r = NULL;
	int found = 0;

	answer_init(out);
	int ret = look_at_head(&c, &r, &found, &missing, &err);
	if (ret < 0) {
		answer_error(&c, ret, &err);
		call_end(&c);
		return false;
	}
	weft_target_fini(&c.target);
	*out = (struct api_answer) {0};
	return true;
}

void weft_api_refuse(const char *target, int code, const char *sentence, struct api_answer *out)
{
	const struct api_request rq = {.method = "?", .target = target};
	struct api_call c = {.rq = &rq, .type = RES_COUNT, .out = out};
	struct err err = {0};

	answer_init(out);
	weft_fail(&err, code, "%s", sentence);
	answer_error(&c, code, &err);
	call_end(&c);
}

bool weft_answer_next(struct api_answer *a)
{
	return a->more != NULL && a->more(a->more_arg, &a->text);
}

void weft_answer_fini(struct api_answer *a)
{
	if (a->more_end)
		a->more_end(a->more_arg);
	json_decref(a->json);
	weft_text_fini(&a->text);
	*a = (struct api_answer) {0};
}
