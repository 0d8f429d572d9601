// SPDX-License-Identifier: Apache-2.0
#include "agent/reload.h"

#include <errno.h>
#include <string.h>

#include "agent/config_keys.h"
#include "base/log.h"

static bool is_reloaded(const struct config_key *k)
{
	static const size_t fields[] = {
		offsetof(struct config, log),
		offsetof(struct config, tokens),
		offsetof(struct config, tls_cert),
		offsetof(struct config, tls_key),
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (k->offset == fields[i])
			return true;
	}
	return false;
}

static bool is_number(const struct config_key *k)
{
	return k->form == FORM_NUMBER || k->form == FORM_CHOICE;
}

static bool is_same(const struct config_key *k, const struct config *a, const struct config *b)
{
	const void *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;

	if (is_number(k))
		return *(const uint32_t *)x == *(const uint32_t *)y;
	return strcmp(*(char *const *)x, *(char *const *)y) == 0;
}

static void swap(const struct config_key *k, struct config *a, struct config *b)
{
	void *x = (char *)a + k->offset, *y = (char *)b + k->offset;
	char kept[sizeof(char *)];
	size_t size = is_number(k) ? sizeof(uint32_t) : sizeof(char *);

	memcpy(kept, x, size);
	memcpy(x, y, size);
	memcpy(y, kept, size);
}

static bool is_same_physical(const struct config *a, const struct config *b)
{
	if (a->n_physical != b->n_physical)
		return false;
	for (size_t i = 0; i < a->n_physical; i++) {
		if (strcmp(a->physical[i].name, b->physical[i].name) != 0 ||
		    strcmp(a->physical[i].device, b->physical[i].device) != 0)
			return false;
	}
	return true;
}

static void tell_the_rest(const struct config *now, const struct config *next)
{
	for (size_t i = 0; i < weft_config_n_keys; i++) {
		const struct config_key *k = &weft_config_keys[i];

		if (!is_reloaded(k) && !is_same(k, now, next))
			weft_log_warning("reload: [%s] %s has changed: that takes a restart",
					 k->section, k->name);
	}
	if (!is_same_physical(now, next))
		weft_log_warning("reload: [physical] has changed: that takes a restart");
}

static void take_up(struct config *now, struct config *next)
{
	weft_log_set_level(next->log);
	for (size_t i = 0; i < weft_config_n_keys; i++) {
		const struct config_key *k = &weft_config_keys[i];

		if (!is_reloaded(k) || is_same(k, now, next))
			continue;
		weft_log_info("reload: [%s] %s is as it is in the file", k->section, k->name);
		swap(k, now, next);
	}
}

int weft_reload(const struct reload *r)
{
	struct config next;
	struct err err = {0};
	int ret = weft_config_read(r->path, &next, &err);

	if (ret == 0) {
		const struct api_config api = weft_config_api(&next);

		ret = weft_api_reload(r->api, &api, &err);
		if (ret == 0) {
			tell_the_rest(r->config, &next);
			take_up(r->config, &next);
			weft_log_info("reload: done; tokens and TLS files were read again");
		}
		weft_config_fini(&next);
	}
	if (ret != 0)
		weft_log_error("reload: nothing has changed: %s", err.msg);
	return ret;
}
