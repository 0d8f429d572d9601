// SPDX-License-Identifier: Apache-2.0
#include "vif/links.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vif/link_watch.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000
// How long one turn of the loop may attach: an interface takes the kernel some 10 ms, and the API
// is not to wait for hundreds of them.
#define TURN_MS	     30

// In place of an interface's index for a vhost-user port: its socket is made when the port is
// attached.
#define SOCKET -1

struct link_port {
	char id[WEFT_ID_LEN + 1];
	bool held;     // by the datapath: on its interface, or its socket is there
	bool ready;    // somebody is at the other end
	bool attached; // both, and administratively up: ACTIVE
	bool fell;     // the datapath gave it up: detach before the next attempt
	int ifindex;   // while held
	char vif[64];  // while held
	unsigned int failures;
	uint64_t next_ms; // of the next attempt after a failure
	char reason[512];
};

struct links {
	struct links_config config;
	struct map *ports;	// by id: struct link_port
	struct map *interfaces; // by name: its index, as a pointer
	struct map *waiting;	// by id: ports whose turn to be attached is to come
	struct event *timer;	// of attempts that failed
	struct event *work;	// of the waiting ones
	size_t n_attached;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_work(evutil_socket_t fd, short what, void *arg);

int weft_links_new(const struct links_config *config, struct links **out, struct err *err)
{
	struct links *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->config = *config;
	l->ports = weft_map_new();
	l->interfaces = weft_map_new();
	l->waiting = weft_map_new();
	l->timer = evtimer_new(config->loop, on_timer, l);
	l->work = evtimer_new(config->loop, on_work, l);
	if (l->timer == NULL || l->work == NULL) {
		weft_links_free(l);
		return weft_fail(err, -ENOMEM, "ports cannot be attached: no timer");
	}
	*out = l;
	return 0;
}

void weft_links_free(struct links *l)
{
	if (l == NULL)
		return;
	for (struct map_entry *e = weft_map_first(l->ports); e != NULL; e = weft_map_next(e))
		free(weft_map_value(e));
	weft_map_free(l->ports);
	weft_map_free(l->interfaces);
	weft_map_free(l->waiting);
	if (l->timer != NULL)
		event_free(l->timer);
	if (l->work != NULL)
		event_free(l->work);
	free(l);
}

static int interface_index(const struct links *l, const char *name)
{
	return (int)(intptr_t)weft_map_get(l->interfaces, name);
}

static void arm_timer(struct links *l, uint64_t wait_ms)
{
	struct timeval tv = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};

	if (!evtimer_pending(l->timer, NULL))
		evtimer_add(l->timer, &tv);
}

static void set_attached(struct links *l, struct link_port *p, bool attached)
{
	if (p->attached == attached)
		return;
	p->attached = attached;
	l->n_attached += attached ? 1 : -1;
	if (weft_model_get(l->config.model, RES_PORT, p->id) != NULL)
		weft_model_set_port_status(l->config.model, p->id, attached ? "ACTIVE" : "DOWN");
}

// What a held port's status is, and why if it is not ACTIVE.
static void update_status(struct links *l, struct link_port *p, const struct plan_port *port)
{
	set_attached(l, p, p->ready && port->admin_up);
	if (p->attached)
		p->reason[0] = '\0';
	else if (!port->admin_up)
		snprintf(p->reason, sizeof(p->reason), "the port is administratively down");
	else
		snprintf(p->reason, sizeof(p->reason), "no VM's driver is ready on socket %s",
			 p->vif);
}

static void retry_later(struct links *l, struct link_port *p)
{
	uint64_t wait_ms = RETRY_MIN_MS << (p->failures < 5 ? p->failures : 5);

	if (wait_ms > RETRY_MAX_MS)
		wait_ms = RETRY_MAX_MS;
	p->failures++;
	p->next_ms = weft_now_ms() + wait_ms;
	arm_timer(l, RETRY_MIN_MS);
}

static void attach(struct links *l, struct link_port *p, const struct plan_port *port, int ifindex)
{
	struct err err = {0};
	int ret;

	if (p->fell)
		l->config.ops->detach(l->config.datapath, p->id);
	p->fell = false;
	ret = l->config.ops->attach(l->config.datapath, p->id, port->vif_name, &err);
	if (ret == 0) {
		p->held = true;
		p->ready = ifindex != SOCKET;
		p->ifindex = ifindex;
		p->failures = 0;
		snprintf(p->vif, sizeof(p->vif), "%s", port->vif_name);
		update_status(l, p, port);
		weft_log_info("port %s: attached to %s", p->id, port->vif_name);
		return;
	}
	// One line for the first failure of a row, not for every attempt.
	if (p->failures == 0 || strcmp(p->reason, err.msg) != 0)
		weft_log_warning("port %s: cannot be attached: %s", p->id, err.msg);
	snprintf(p->reason, sizeof(p->reason), "%.500s", err.msg);
	retry_later(l, p);
}

static void detach(struct links *l, struct link_port *p, const char *why)
{
	l->config.ops->detach(l->config.datapath, p->id);
	set_attached(l, p, false);
	p->held = false;
	p->ready = false;
	p->fell = false;
	weft_log_info("port %s: detached: %s", p->id, why);
}

static void forget(struct links *l, struct link_port *p)
{
	// Its removal from the plan ended it in the datapath already; this is for the log and the
	// status.
	if (p->held)
		detach(l, p, "it is no longer a port of this node");
	weft_map_del(l->waiting, p->id);
	weft_map_del(l->ports, p->id);
	free(p);
}

// What the port is to be attached to; 0: it is not there.
static int port_index(const struct links *l, const struct plan_port *port)
{
	return port->vif == PLAN_VIF_VHOSTUSER ? SOCKET : interface_index(l, port->vif_name);
}

// Why the port cannot be attached at all as things are; NULL = it can. A socket stays while the
// port is administratively down: not every QEMU would come back to it. The datapath drops its
// packets.
static const char *obstacle(const struct plan_port *port, int ifindex, char *buf, size_t size)
{
	if (!port->admin_up && ifindex != SOCKET)
		snprintf(buf, size, "the port is administratively down");
	else if (ifindex == 0)
		snprintf(buf, size, "no interface %s in weftd's network namespace", port->vif_name);
	else
		return NULL;
	return buf;
}

void weft_links_port_changed(struct links *l, const char *port_id)
{
	const struct plan_port *port = weft_planner_port(l->config.planner, port_id);
	struct link_port *p = weft_map_get(l->ports, port_id);
	const struct timeval at_once = {0};
	char why[128];
	int ifindex;

	if (port == NULL) {
		if (p != NULL)
			forget(l, p);
		return;
	}
	if (p == NULL) {
		p = calloc(1, sizeof(*p));
		if (p == NULL)
			abort();
		strcpy(p->id, port->id);
		weft_map_put(l->ports, port_id, p);
	}
	ifindex = port_index(l, port);
	if (obstacle(port, ifindex, why, sizeof(why)) != NULL) {
		weft_map_del(l->waiting, p->id);
		if (p->held || p->fell)
			detach(l, p, why);
		p->failures = 0;
		p->next_ms = 0;
		snprintf(p->reason, sizeof(p->reason), "%s", why);
		return;
	}
	if (p->held && (p->ifindex != ifindex || strcmp(p->vif, port->vif_name) != 0))
		detach(l, p, "its interface was replaced");
	if (p->held)
		update_status(l, p, port);
	else if (weft_now_ms() >= p->next_ms && weft_map_put(l->waiting, p->id, p) == NULL) {
		if (p->failures == 0)
			snprintf(p->reason, sizeof(p->reason), "about to be attached");
		evtimer_add(l->work, &at_once);
	}
}

void weft_links_work(struct links *l, uint64_t budget_ms)
{
	const struct timeval at_once = {0};
	uint64_t end_ms = weft_now_ms() + budget_ms;
	struct map_entry *e;

	while ((e = weft_map_first(l->waiting)) != NULL) {
		struct link_port *p = weft_map_value(e);
		// Nothing has changed that would not have been told to weft_links_port_changed.
		const struct plan_port *port = weft_planner_port(l->config.planner, p->id);

		weft_map_del(l->waiting, p->id);
		attach(l, p, port, port_index(l, port));
		if (weft_now_ms() >= end_ms)
			break;
	}
	if (weft_map_count(l->waiting) > 0)
		evtimer_add(l->work, &at_once);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	weft_links_work(arg, TURN_MS);
}

void weft_links_plan_changed(struct links *l, const struct plan_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->changes[i].kind == PLAN_PORT)
			weft_links_port_changed(l, batch->changes[i].port->id);
	}
}

static int match_name(const struct plan_port *port, void *arg)
{
	const char **name = arg;

	if (strcmp(port->vif_name, name[0]) != 0)
		return 0;
	name[1] = port->id;
	return 1;
}

// The port of the plan that the interface belongs to. The model finds it by prefix; the walk is
// for the rare case that two ports share the eleven characters and the model answers with the
// other one.
static const char *port_of(const struct links *l, const char *name)
{
	const struct object *o = weft_model_port_by_prefix(l->config.model, name + 3);
	const char *found[2] = {name, NULL};

	if (o == NULL)
		return NULL;
	if (weft_planner_port(l->config.planner, o->id) != NULL)
		return o->id;
	weft_planner_each_port(l->config.planner, match_name, found);
	return found[1];
}

void weft_links_interface_changed(void *arg, const char *name, int ifindex)
{
	struct links *l = arg;
	const char *port_id;
	struct link_port *p;

	if (ifindex == 0)
		weft_map_del(l->interfaces, name);
	else
		weft_map_put(l->interfaces, name, (void *)(intptr_t)ifindex);
	port_id = port_of(l, name);
	weft_log_debug("interface %s %s; %s%s", name, ifindex == 0 ? "went" : "came",
		       port_id == NULL ? "no port of this node has it" : "of port ",
		       port_id == NULL ? "" : port_id);
	if (port_id == NULL)
		return;
	p = weft_map_get(l->ports, port_id);
	if (p != NULL)
		p->next_ms = 0; // a new interface deserves a new attempt at once
	weft_links_port_changed(l, port_id);
}

static void driver_changed(struct links *l, struct link_port *p, bool ready, const char *why)
{
	const struct plan_port *port = weft_planner_port(l->config.planner, p->id);

	p->ready = ready;
	if (port != NULL)
		update_status(l, p, port);
	weft_log_info("port %s: %s", p->id,
		      ready	    ? "the VM's driver is ready"
		      : why == NULL ? "the VM's driver is not ready"
				    : why);
}

void weft_links_port_event(void *arg, const char *port_id, bool up, const char *reason)
{
	struct links *l = arg;
	struct link_port *p = weft_map_get(l->ports, port_id);

	if (p != NULL && p->held && p->ifindex == SOCKET) {
		driver_changed(l, p, up, reason);
		return;
	}
	if (p == NULL || p->attached == up)
		return;
	set_attached(l, p, up);
	snprintf(p->reason, sizeof(p->reason), "%s", up || reason == NULL ? "" : reason);
	if (up)
		return;
	weft_log_warning("port %s: the datapath lost it: %s", port_id, p->reason);
	p->held = false;
	p->fell = true;
	retry_later(l, p);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct links *l = arg;
	bool waiting = false;

	(void)fd;
	(void)what;
	for (struct map_entry *e = weft_map_first(l->ports), *next; e != NULL; e = next) {
		struct link_port *p = weft_map_value(e);

		next = weft_map_next(e);
		if (p->held || p->failures == 0)
			continue;
		weft_links_port_changed(l, p->id);
		waiting = true;
	}
	if (waiting)
		arm_timer(l, RETRY_MIN_MS);
}

bool weft_links_has_interface(const struct links *l, const char *name)
{
	return interface_index(l, name) != 0;
}

const char *weft_links_reason(const struct links *l, const char *port_id)
{
	const struct link_port *p = weft_map_get(l->ports, port_id);

	return p != NULL && !p->attached ? p->reason : NULL;
}

void weft_links_count(const struct links *l, size_t *attached, size_t *ports)
{
	*attached = l->n_attached;
	*ports = weft_map_count(l->ports);
}
