// SPDX-License-Identifier: Apache-2.0
// What an operator changes: sessions end, counters begin again, damaged objects go.
#include "operate/operate.h"

#include <errno.h>
#include <string.h>

#include "operate/describe.h"
#include "base/json.h"
#include "base/log.h"

int weft_operate_flush(const struct operate *op, const json_t *body, json_t **out, struct err *err)
{
	const char *what, *id;
	uint32_t n = 0;
	int ret = weft_json_need_text(body, "port", &what, err);

	if (ret == 0)
		ret = weft_operate_find(op, what, &id, err);
	if (ret == 0)
		ret = op->ops->flush_sessions(op->datapath, id, &n, err);
	if (ret != 0)
		return ret;
	weft_log_info("port %s: an operator ended its sessions: %u", id, n);
	*out = json_pack("{s:s, s:o, s:I}", "port", id, "port_name", weft_port_name(op->model, id),
			 "sessions", (json_int_t)n);
	return 0;
}

int weft_operate_reset(const struct operate *op, const json_t *body, json_t **out, struct err *err)
{
	const char *what = weft_json_text(body, "port"), *id = NULL;
	int ret = what == NULL ? 0 : weft_operate_find(op, what, &id, err);

	if (ret == 0)
		ret = op->ops->reset_counters(op->datapath, id, err);
	if (ret != 0)
		return ret;
	*out = id == NULL ? json_object()
			  : json_pack("{s:s, s:o}", "port", id, "port_name",
				      weft_port_name(op->model, id));
	return 0;
}

// ---- What is left out ----------------------------------------------------------------------

static int find_type(const char *name, enum resource *out)
{
	for (int type = 0; type < RES_COUNT; type++) {
		if (strcmp(weft_resource_name((enum resource)type), name) == 0) {
			*out = (enum resource)type;
			return 0;
		}
	}
	return -ENOENT;
}

static const struct left_out *find_left_out(const struct model *m, enum resource type,
					    const char *id)
{
	size_t n;
	const struct left_out *l = weft_model_left_out(m, &n);

	for (size_t i = 0; i < n; i++)
		if (l[i].type == type && strcmp(l[i].id, id) == 0)
			return &l[i];
	return NULL;
}

int weft_operate_store_remove(const struct operate *op, const json_t *body, json_t **out,
			      struct err *err)
{
	const char *name, *id;
	enum resource type;
	int ret = weft_json_need_text(body, "type", &name, err);

	if (ret == 0)
		ret = weft_json_need_text(body, "id", &id, err);
	if (ret != 0)
		return ret;
	if (op->store == NULL)
		return weft_fail(err, -ENOENT, "there is no store");
	if (find_type(name, &type) != 0)
		return weft_fail(err, -EINVAL,
				 "\"%.50s\" is no type of object; weft show left-out says the type "
				 "of what is left out",
				 name);
	if (weft_model_get(op->model, type, id) != NULL)
		return weft_fail(err, -EINVAL,
				 "%s %.64s is in force: delete it with the Neutron API", name, id);
	if (find_left_out(op->model, type, id) == NULL)
		return weft_fail(err, -ENOENT,
				 "no %s %.64s is left out; weft show left-out lists what is", name,
				 id);
	ret = weft_store_remove(op->store, type, id, err);
	if (ret != 0)
		return ret;
	weft_log_info("%s %s was left out; an operator has removed it from the store", name, id);
	*out = json_pack("{s:s, s:s}", "type", name, "id", id);
	weft_model_left_out_forget(op->model, type, id);
	return 0;
}
