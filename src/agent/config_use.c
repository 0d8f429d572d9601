// SPDX-License-Identifier: Apache-2.0
// What the parts get of the configuration, and the manual page.
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config_keys.h"

int weft_config_group(const char *name, gid_t *out)
{
	const struct group *g = name[0] == '\0' ? NULL : getgrnam(name);
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	*out = g != NULL ? g->gr_gid : (gid_t)-1;
	if (g != NULL || name[0] == '\0')
		return 0;
	if (!isdigit((unsigned char)name[0]) || *end != '\0' || number >= (gid_t)-1)
		return -ENOENT;
	*out = (gid_t)number;
	return 0;
}

struct datapath_config weft_config_datapath(const struct config *c)
{
	gid_t group;

	weft_config_group(c->vhostuser_group, &group); // it was there when the file was read
	return (struct datapath_config) {
		.run_dir = c->run_dir,
		.vhostuser_connect = c->vhostuser_mode != 0,
		.vhostuser_group = group,
		.n_physical = c->n_physical,
		.physical = c->physical,
		.workers = c->workers,
		.cores = c->cores,
		.poll = c->poll,
		.idle_us = c->idle_us,
		.priority = c->priority,
		.tap_ring_kb = c->tap_ring,
		.sessions = c->sessions,
		.port_share_percent = c->port_share,
		.project_share_percent = c->project_share,
		.hugepages = c->hugepages,
		.tcp_loose = c->tcp_loose,
		.timeouts = c->timeouts,
	};
}

static const char *or_null(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

struct api_config weft_config_api(const struct config *c)
{
	gid_t group;

	weft_config_group(c->socket_group, &group);
	return (struct api_config) {
		.listen = c->listen,
		.socket = c->socket,
		.socket_group = group,
		.auth = c->auth,
		.tokens = or_null(c->tokens),
		.tls_cert = or_null(c->tls_cert),
		.tls_key = or_null(c->tls_key),
	};
}

struct metadata_config weft_config_metadata(const struct config *c)
{
	return (struct metadata_config) {
		.url = c->metadata_url,
		.shared_secret_file = c->metadata_secret_file,
		.timeout_s = c->metadata_timeout,
	};
}

const char *weft_config_vif(const struct config *c)
{
	return c->vif == 0 ? "tap" : "vhostuser";
}

const char *weft_config_vhostuser_mode(const struct config *c)
{
	return c->vhostuser_mode == 0 ? "client" : "server";
}

// roff takes '-' for a hyphen and a line's first '.' for a request.
static void man_text(struct text *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '-' || *s == '\\')
			weft_text_add(out, "\\");
		weft_text_add(out, "%c", *s);
	}
}

static void man_key(struct text *out, const struct config_key *k)
{
	char allowed[256];

	weft_text_add(out, ".TP\n.B ");
	man_text(out, k->name);
	weft_text_add(out, " = ");
	man_text(out, k->otherwise);
	weft_text_add(out, "\n");
	man_text(out, k->help);
	weft_text_add(out, "\n");
	if (k->form != FORM_TEXT) {
		weft_text_add(out, "Allowed is ");
		man_text(out, weft_config_allowed(k, allowed, sizeof(allowed)));
		weft_text_add(out, ".\n");
	}
}

static const char man_head[] =
	".TH WEFTD 8 \"\" \"weft " WEFT_VERSION "\"\n"
	".SH NAME\nweftd \\- the network of an OpenStack compute node\n"
	".SH SYNOPSIS\n.B weftd\n[\\fB\\-c\\fR \\fIFILE\\fR] [\\fB\\-\\-check\\-config\\fR]\n"
	".SH DESCRIPTION\nweftd serves the Neutron v2.0 API and carries the packets of this node's "
	"virtual machines as it says:\nisolated by network, filtered by security groups, with DHCP "
	"and ARP answered at the port.\n.PP\n"
	"A port belongs to this node when its binding:host_id is the node's name. It is attached "
	"when a kernel\ninterface named \"tap\" and the first 11 characters of its id appears, or "
	"when a VM's driver\nis ready on its vhost-user socket, and is ACTIVE once it is filtered.\n"
	".SH OPTIONS\n"
	".TP\n.BI \\-c \" FILE\"\nRead the configuration from FILE. Without it the defaults hold.\n"
	".TP\n.B \\-\\-check\\-config\nRead the configuration, say what is wrong with it, and "
	"exit.\n"
	".TP\n.B \\-\\-version\nPrint the version and exit.\n"
	".TP\n.B \\-\\-help\nPrint a summary and exit.\n"
	".TP\n.B \\-\\-man\nPrint this page in roff and exit.\n"
	".SH CONFIGURATION\nA file of \\fB[section]\\fR and \\fBkey = value\\fR lines. A comment "
	"begins with ; or # at the start of a line or\nafter a blank. Keys are shown with their "
	"defaults.\n";

static const char man_tail[] =
	".SH SIGNALS\n"
	".TP\n.B SIGTERM, SIGINT\nStop cleanly, within two seconds.\n"
	".TP\n.B SIGHUP\nRead the configuration again, and take up what can be while packets flow: the log level, "
	"the tokens, and the TLS files for\nnew connections. What takes a restart is said in the log. If something is "
	"wrong, nothing changes.\n"
	".SH EXIT STATUS\n0 after a clean stop; 1 when something failed, which is said on standard "
	"error; 2 for wrong usage.\n"
	".SH FILES\n"
	".TP\n.I /etc/weft/weftd.conf\nThe configuration that the systemd unit names.\n"
	".TP\n.I /var/lib/weft\nThe state: [node] state_dir.\n"
	".TP\n.I /run/weft/api.sock\nThe operator's way in: [api] socket.\n"
	".SH ENVIRONMENT\n"
	".TP\n.B NOTIFY_SOCKET\nWhere readiness is told, see sd_notify(3).\n"
	".SH SEE ALSO\nweft(8)\n";

void weft_config_man(struct text *out)
{
	weft_text_add(out, "%s", man_head);
	for (size_t i = 0; i < weft_config_n_sections; i++) {
		const struct config_section *s = &weft_config_sections[i];

		weft_text_add(out, ".SS [%s]\n", s->name);
		man_text(out, s->help);
		weft_text_add(out, "\n");
		for (size_t k = 0; k < weft_config_n_keys; k++) {
			if (strcmp(weft_config_keys[k].section, s->name) == 0)
				man_key(out, &weft_config_keys[k]);
		}
		for (const struct config_example *e = s->examples; e != NULL && e->left != NULL;
		     e++) {
			weft_text_add(out, ".TP\n.B ");
			man_text(out, e->left);
			weft_text_add(out, "\n");
			man_text(out, e->help);
			weft_text_add(out, "\n");
		}
	}
	weft_text_add(out, "%s", man_tail);
}
