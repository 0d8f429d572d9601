// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "model/address_use.h"
#include "model/index.h"
#include "model/resource.h"

static const char *copy(const char *text, const char *otherwise)
{
	char *s = strdup(text == NULL ? otherwise : text);
	if (s == NULL)
		abort();
	return s;
}

static const char *const *copy_names(const char *const *names, size_t n)
{
	const char **all = calloc(n + 1, sizeof(*all));
	if (all == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		all[i] = copy(names[i], "");
	return all;
}

struct model *weft_model_new(const struct model_config *config)
{
	struct model *m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	m->config = (struct model_config) {
		.host = copy(config->host, "localhost"),
		.default_vif = copy(config->default_vif, "tap"),
		.vhostuser_mode = copy(config->vhostuser_mode, "client"),
		.run_dir = copy(config->run_dir, "/run/weft"),
		.physnet_mtu = config->physnet_mtu == 0 ? 1500 : config->physnet_mtu,
		.physical_networks =
			copy_names(config->physical_networks, config->n_physical_networks),
		.n_physical_networks = config->n_physical_networks,
	};
	for (int type = 0; type < RES_COUNT; type++) {
		m->defaults[type] = weft_attr_defaults(weft_resource_ops(type)->attrs);
		m->objects[type] = weft_map_new();
	}
	for (int ref = 0; ref < REF_COUNT; ref++)
		m->refs[ref] = weft_map_new();
	m->port_status = weft_map_new();
	m->ports_by_prefix = weft_map_new();
	m->ports_by_mac = weft_map_new();
	m->segments = weft_map_new();
	m->default_groups = weft_map_new();
	m->rules_by_content = weft_map_new();
	m->counts = weft_map_new();
	m->quotas = weft_map_new();
	m->address_use = weft_map_new();
	m->next_vni = 1;
	return m;
}

static void free_values(struct map *map, void (*end)(void *))
{
	for (struct map_entry *e = weft_map_first(map); e != NULL; e = weft_map_next(e))
		end(weft_map_value(e));
	weft_map_free(map);
}

static void free_object(void *o)
{
	weft_object_free(o);
}

static void free_referrers(void *map)
{
	weft_map_free(map);
}

static void free_address_use(void *u)
{
	weft_address_use_free(u);
}

void weft_model_free(struct model *m)
{
	if (m == NULL)
		return;
	for (int type = 0; type < RES_COUNT; type++) {
		free_values(m->objects[type], free_object);
		json_decref(m->defaults[type]);
	}
	for (int ref = 0; ref < REF_COUNT; ref++)
		free_values(m->refs[ref], free_referrers);
	free_values(m->port_status, free);
	free_values(m->address_use, free_address_use);
	weft_map_free(m->ports_by_prefix);
	weft_map_free(m->ports_by_mac);
	weft_map_free(m->segments);
	weft_map_free(m->default_groups);
	weft_map_free(m->rules_by_content);
	weft_map_free(m->counts);
	weft_map_free(m->quotas);
	free(m->left_out);
	free((char *)m->config.host);
	free((char *)m->config.default_vif);
	free((char *)m->config.vhostuser_mode);
	free((char *)m->config.run_dir);
	for (size_t i = 0; i < m->config.n_physical_networks; i++)
		free((char *)m->config.physical_networks[i]);
	free((void *)m->config.physical_networks);
	free(m);
}

const struct object *weft_model_get(const struct model *m, enum resource type, const char *id)
{
	return id == NULL ? NULL : weft_map_get(m->objects[type], id);
}

size_t weft_model_count(const struct model *m, enum resource type)
{
	return weft_map_count(m->objects[type]);
}

size_t weft_model_count_of(const struct model *m, enum resource type, const char *project_id)
{
	return weft_index_count_of(m, type, project_id);
}

static int each(const struct map *map, model_visit visit, void *arg)
{
	for (struct map_entry *e = weft_map_first(map); e != NULL; e = weft_map_next(e)) {
		int ret = visit(weft_map_value(e), arg);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int weft_model_each(const struct model *m, enum resource type, model_visit visit, void *arg)
{
	return each(m->objects[type], visit, arg);
}

int weft_model_each_ref(const struct model *m, enum model_ref ref, const char *id,
			model_visit visit, void *arg)
{
	const struct map *referrers = weft_map_get(m->refs[ref], id);
	return referrers == NULL ? 0 : each(referrers, visit, arg);
}

const struct object *weft_model_port_by_prefix(const struct model *m, const char *prefix11)
{
	return weft_map_get(m->ports_by_prefix, prefix11);
}

json_t *weft_model_render(const struct model *m, const struct object *o)
{
	const struct resource_ops *ops = weft_resource_ops(o->type);
	json_t *shown = json_copy(o->attr);
	json_object_set(shown, "tenant_id", json_object_get(shown, "project_id"));
	if (ops->render != NULL)
		ops->render(m, o, shown);
	return shown;
}

json_t *weft_model_render_for(const struct model *m, const struct caller *who,
			      const struct object *o)
{
	unsigned unseen = ATTR_HIDDEN | (who->is_admin ? 0 : ATTR_ADMIN_SEES);
	json_t *shown = weft_model_render(m, o);
	for (const struct attr *a = weft_resource_ops(o->type)->attrs; a->name != NULL; a++)
		if ((a->flags & unseen) != 0)
			json_object_del(shown, a->name);
	return shown;
}

void weft_model_set_port_status(struct model *m, const char *port_id, const char *status)
{
	if (weft_model_get(m, RES_PORT, port_id) != NULL)
		free(weft_map_put(m->port_status, port_id, (char *)copy(status, "DOWN")));
}
