// SPDX-License-Identifier: Apache-2.0
// The API before an empty cloud: a history of requests, through authentication, model and planner.
//
// The input is text, a request a line:
//   METHOD TARGET [BODY]     "$0" ... "$f" stand for the ids of the objects created so far,
//                            newest first
//   !METHOD TARGET [BODY]    the same, but the agent refuses to commit it
//   @PROJECT ROLES           who asks from here on
// Whatever is asked: the API never fails inside (500), a refused request changes nothing, and
// what is in the model at the end can be loaded again as it is.
#include "north/api/request.h"

#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "plan/planner.h"

enum { IDS = 16, LINE_MAX_LEN = 4096, REQUESTS_MAX = 64 };

struct cloud {
	struct api_core core;
	struct planner *planner;
	bool refuse;
	char project[64], roles[64];
	char ids[IDS][WEFT_ID_LEN + 1]; // newest first
};

static const char *const physical[] = {"physnet1"};

static const struct model_config config = {.host = "node-1",
					   .default_vif = "tap",
					   .vhostuser_mode = "client",
					   .run_dir = "/run/weft",
					   .physnet_mtu = 1500,
					   .physical_networks = physical,
					   .n_physical_networks = 1};

static void remember(struct cloud *c, const char *id)
{
	memmove(c->ids[1], c->ids[0], sizeof(c->ids) - sizeof(c->ids[0]));
	snprintf(c->ids[0], sizeof(c->ids[0]), "%s", id);
}

// What the agent does, without a datapath and a store.
static int commit(void *arg, struct txn *t, struct err *err)
{
	struct cloud *c = arg;
	struct plan_batch batch = {0};
	size_t n;
	const struct model_change *changes = weft_txn_changes(t, &n);
	int ret = weft_planner_update(c->planner, changes, n, &batch, err);
	fuzz_assert(ret == 0);
	if (c->refuse) {
		weft_planner_abort(c->planner);
		ret = weft_fail(err, -EAGAIN, "the disk is full");
	} else {
		for (size_t i = 0; i < n; i++) {
			if (changes[i].before == NULL && changes[i].after != NULL)
				remember(c, changes[i].after->id);
		}
		weft_planner_commit(c->planner);
		weft_txn_commit(t);
	}
	weft_plan_batch_fini(&batch);
	return ret;
}

static json_t *agents(void *arg)
{
	(void)arg;
	return json_pack("[{s:s}]", "id", "agent");
}

static int operate(void *arg, const char *method, const char *path, const json_t *query,
		   const json_t *body, json_t **out, struct err *err)
{
	(void)arg;
	(void)method;
	(void)query;
	(void)body;
	(void)out;
	return weft_fail(err, -ENOENT, "%s is unknown", path);
}

static void metrics(void *arg, struct text *out)
{
	(void)arg;
	weft_text_add(out, "weft_ports 0\n");
}

static int add_to_snapshot(const struct object *o, void *arg)
{
	json_object_set(arg, o->id, o->attr);
	return 0;
}

// Every object by its id. Attributes are never mutated, so sharing them is enough.
static json_t *snapshot(const struct model *m)
{
	json_t *all = json_object();
	for (int type = 0; type < RES_COUNT; type++)
		weft_model_each(m, (enum resource)type, add_to_snapshot, all);
	return all;
}

// One line with its ids put in. False: it becomes too long.
static bool expand(const struct cloud *c, const char *in, size_t len, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		const char *digits = "0123456789abcdef", *at = NULL;
		const char *piece = in + i;
		size_t piece_len = 1;
		if (in[i] == '$' && i + 1 < len && in[i + 1] != '\0')
			at = strchr(digits, in[i + 1]);
		if (at != NULL) {
			piece = c->ids[at - digits];
			piece_len = strlen(piece);
			i++;
		}
		if (n + piece_len + 1 > size)
			return false;
		memcpy(out + n, piece, piece_len);
		n += piece_len;
	}
	out[n] = '\0';
	return true;
}

// A refused request changed nothing. Lists may have made the project's default security group, as
// Neutron's do.
static void check_unchanged(const struct model *m, const char *method, const json_t *before)
{
	json_t *after = snapshot(m);
	bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	const char *id;
	json_t *attr;
	json_object_foreach((json_t *)before, id, attr)
		fuzz_assert(json_equal(attr, json_object_get(after, id)));
	fuzz_assert(reads || json_object_size(after) == json_object_size(before));
	json_decref(after);
}

static void ask(struct cloud *c, char *line)
{
	char *save, *method = strtok_r(line, " ", &save);
	char *target = strtok_r(NULL, " ", &save);
	char *body = strtok_r(NULL, "", &save);
	if (method == NULL || target == NULL)
		return;
	struct api_request rq = {
		.method = method,
		.target = target,
		.host = "127.0.0.1:9696",
		.project = c->project[0] != '\0' ? c->project : NULL,
		.roles = c->roles[0] != '\0' ? c->roles : NULL,
		.content_type = "application/json",
		.body = body,
		.body_len = body == NULL ? 0 : strlen(body),
	};
	struct api_answer answer = {0};
	json_t *before = snapshot(c->core.model);
	weft_api_handle(&c->core, &rq, &answer);
	fuzz_assert(answer.status >= 200 && answer.status < 600 && answer.status != 500);
	if (answer.status >= 400)
		check_unchanged(c->core.model, method, before);
	if (answer.json != NULL) {
		char *text = json_dumps(answer.json, JSON_COMPACT);
		fuzz_assert(text != NULL);
		free(text);
	}
	weft_answer_fini(&answer);
	json_decref(before);
}

static void run_line(struct cloud *c, const char *in, size_t len)
{
	static char line[LINE_MAX_LEN];
	if (!expand(c, in, len, line, sizeof(line)))
		return;
	c->refuse = line[0] == '!';
	if (line[0] == '@') {
		c->project[0] = c->roles[0] = '\0';
		sscanf(line + 1, "%63s %63s", c->project, c->roles);
	} else {
		ask(c, line + (c->refuse ? 1 : 0));
	}
}

static int load_again(const struct object *o, void *arg)
{
	struct err err = {.msg = ""};
	// The stored form, as text, is what comes back from a disk.
	char *text = json_dumps(o->attr, JSON_COMPACT);
	json_t *attr = json_loads(text, 0, NULL);
	fuzz_assert(attr != NULL);
	if (weft_model_load(arg, o->type, attr, &err) != 0) {
		fprintf(stderr, "%s: %s\n", text, err.msg);
		fuzz_assert(!"an object cannot be loaded again");
	}
	json_decref(attr);
	free(text);
	return 0;
}

static void check_reload(const struct model *m)
{
	struct model *copy = weft_model_new(&config);
	for (int type = 0; type < RES_COUNT; type++)
		weft_model_each(m, (enum resource)type, load_again, copy);
	json_t *a = snapshot(m), *b = snapshot(copy);
	fuzz_assert(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	weft_model_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cloud c = {.core = {.model = weft_model_new(&config), .auth = API_AUTH_NONE}};
	c.core.hooks = (struct api_hooks) {&c, commit, agents, operate, metrics};
	c.planner = weft_planner_new(config.host, c.core.model);
	const char *in = (const char *)data, *end = in + len;
	for (unsigned i = 0; i < REQUESTS_MAX && in < end; i++) {
		const char *stop = memchr(in, '\n', (size_t)(end - in));
		size_t n = (size_t)((stop == NULL ? end : stop) - in);
		run_line(&c, in, n);
		in += n + 1;
	}
	check_reload(c.core.model);
	weft_planner_free(c.planner);
	weft_model_free(c.core.model);
	return 0;
}
