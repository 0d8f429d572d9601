// SPDX-License-Identifier: Apache-2.0
// Port binding: where a port lives and how its VM is attached there.
#include "model/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/index.h"

enum { PROFILE_MAX = 4095, VIF_PREFIX = 11 };

int weft_port_read_profile(const struct attr *a, const json_t *in, json_t **out, struct err *err)
{
	char buf[128];
	if (!json_is_object(in))
		return weft_attr_bad(a, err, "'%s' is not a dictionary",
				     weft_json_quote(in, buf, sizeof(buf)));
	char *text = json_dumps(in, JSON_COMPACT);
	bool too_long = text == NULL || strlen(text) > PROFILE_MAX;
	free(text);
	if (too_long)
		return weft_input_bad(err, "binding:profile value too large");
	const json_t *vif = json_object_get(in, "vif_type");
	if (vif != NULL &&
	    (!json_is_string(vif) || (strcmp(json_string_value(vif), "tap") != 0 &&
				      strcmp(json_string_value(vif), "vhostuser") != 0)))
		return weft_attr_bad(a, err, "vif_type must be 'tap' or 'vhostuser'");
	*out = json_incref((json_t *)in);
	return 0;
}

static void set(json_t *port, const char *vif_type, json_t *details)
{
	json_object_set_new(port, "binding:vif_type", json_string(vif_type));
	json_object_set_new(port, "binding:vif_details", details);
}

void weft_port_bind(const struct model *m, json_t *port)
{
	const char *host = weft_json_text(port, "binding:host_id");
	const char *vnic = weft_json_text(port, "binding:vnic_type");
	const char *vif = weft_json_text(json_object_get(port, "binding:profile"), "vif_type");
	if (vif == NULL)
		vif = m->config.default_vif;

	if (host == NULL || host[0] == '\0') {
		set(port, "unbound", json_object());
		return;
	}
	// Hardware that is passed through never meets our datapath.
	if (vnic == NULL || strcmp(vnic, "normal") != 0) {
		set(port, "binding_failed", json_object());
		return;
	}
	json_t *details = json_pack("{s:s, s:b}", "connectivity", "l2", "port_filter", 1);
	if (strcmp(vif, "vhostuser") == 0) {
		char path[512];
		snprintf(path, sizeof(path), "%s/vhu%.*s", m->config.run_dir, VIF_PREFIX,
			 weft_json_text(port, "id"));
		json_object_set_new(details, "vhostuser_socket", json_string(path));
		json_object_set_new(details, "vhostuser_mode",
				    json_string(m->config.vhostuser_mode));
	}
	set(port, vif, details);
}
