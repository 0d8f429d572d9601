// SPDX-License-Identifier: Apache-2.0
// weftd: the parts, and the order in which they start. They stop in the reverse order.
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "datapath/beat.h"
#include "agent/config.h"
#include "agent/host.h"
#include "vif/link_watch.h"
#include "vif/links.h"
#include "metadata/metadata.h"
#include "operate/operate.h"
#include "agent/reconcile.h"
#include "agent/reload.h"
#include "base/log.h"
#include "base/text.h"
#include "north/api/api.h"
#include "north/store/store.h"

#define FIRST_TURN_MS  1000
// Objects left out that the log names one by one.
#define LEFT_OUT_LINES 20

// Of our own: this process was started again.
#define WITHOUT_HUGEPAGES "WEFT_WITHOUT_HUGEPAGES"

struct daemon {
	const char *path; // of the configuration; NULL: none
	struct config config;
	bool again; // start once more, as a new process
	uint64_t began_ms;
	int lock_fd, run_lock_fd; // of state_dir and of run_dir
	struct event_base *loop;
	struct event *on_term, *on_int, *on_hup;
	struct store *store;
	struct model *model;
	size_t n_objects;
	const struct datapath_ops *ops;
	struct datapath *datapath;
	struct metadata *metadata;
	struct planner *planner;
	struct links *links;
	struct link_watch *watch;
	struct reconcile reconcile;
	struct operate operate;
	struct api *api;
};

// Directories, lock and loop.

static bool is_same_directory(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int start_host(struct daemon *d, struct err *err)
{
	int ret = weft_host_check_rights(err);
	gid_t group;

	d->lock_fd = d->run_lock_fd = -1;
	if (ret == 0)
		ret = weft_host_directory("run_dir", d->config.run_dir, err);
	weft_config_group(d->config.vhostuser_group, &group);
	if (ret == 0 && group != (gid_t)-1)
		ret = weft_host_share(
			d->config.run_dir, group,
			d->config.vhostuser_mode == 0 ? HOST_SHARE_ENTER : HOST_SHARE_WRITE, err);
	weft_config_group(d->config.socket_group, &group);
	if (ret == 0 && group != (gid_t)-1)
		ret = weft_host_pass(d->config.run_dir, err);
	if (ret == 0)
		ret = weft_host_directory("state_dir", d->config.state_dir, err);
	if (ret == 0)
		ret = weft_host_lock("state_dir", d->config.state_dir, &d->lock_fd, err);
	// Sockets there are this process's: another one would take them away.
	if (ret == 0 && !is_same_directory(d->config.state_dir, d->config.run_dir))
		ret = weft_host_lock("run_dir", d->config.run_dir, &d->run_lock_fd, err);
	return ret;
}

static void stop_host(struct daemon *d)
{
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->run_lock_fd >= 0)
		close(d->run_lock_fd);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	weft_log_info("stopping: %s", strsignal(number));
	event_base_loopbreak(d->loop);
}

static void on_reload(evutil_socket_t number, short what, void *arg)
{
	struct daemon *d = arg;
	const struct reload r = {d->path, &d->config, d->api};

	(void)number;
	(void)what;
	weft_host_notify("RELOADING=1");
	weft_reload(&r);
	weft_host_notify("READY=1");
}

static int start_loop(struct daemon *d, struct err *err)
{
	// A peer that closes its connection is an error of write(), not our end.
	signal(SIGPIPE, SIG_IGN);
	d->loop = event_base_new();
	if (d->loop != NULL) {
		d->on_term = evsignal_new(d->loop, SIGTERM, on_signal, d);
		d->on_int = evsignal_new(d->loop, SIGINT, on_signal, d);
		d->on_hup = evsignal_new(d->loop, SIGHUP, on_reload, d);
	}
	if (d->on_term == NULL || d->on_int == NULL || d->on_hup == NULL ||
	    event_add(d->on_term, NULL) != 0 || event_add(d->on_int, NULL) != 0 ||
	    event_add(d->on_hup, NULL) != 0)
		return weft_fail(err, -ENOMEM, "the event loop cannot be made");
	return 0;
}

static void stop_loop(struct daemon *d)
{
	if (d->on_term != NULL)
		event_free(d->on_term);
	if (d->on_int != NULL)
		event_free(d->on_int);
	if (d->on_hup != NULL)
		event_free(d->on_hup);
	if (d->loop != NULL)
		event_base_free(d->loop);
}

// What is stored.

static int start_store(struct daemon *d, struct err *err)
{
	char path[256 + 16];

	snprintf(path, sizeof(path), "%s/weft.db", d->config.state_dir);
	return weft_store_open(path, &d->store, err);
}

static void stop_store(struct daemon *d)
{
	if (d->store != NULL)
		weft_store_close(d->store);
}

static int start_model(struct daemon *d, struct err *err)
{
	const struct model_config config = {
		.host = d->config.host,
		.default_vif = weft_config_vif(&d->config),
		.vhostuser_mode = weft_config_vhostuser_mode(&d->config),
		.run_dir = d->config.run_dir,
		.physnet_mtu = d->config.global_physnet_mtu,
		.physical_networks = d->config.physical_names,
		.n_physical_networks = d->config.n_physical,
	};

	uint64_t began_ms = weft_now_ms();
	int ret;

	d->model = weft_model_new(&config);
	ret = weft_store_load(d->store, d->model, &d->n_objects, err);
	if (ret == 0)
		weft_log_info("loaded %zu objects, %zu ports among them, in %llu ms", d->n_objects,
			      weft_model_count(d->model, RES_PORT),
			      (unsigned long long)(weft_now_ms() - began_ms));
	return ret;
}

static void stop_model(struct daemon *d)
{
	if (d->model != NULL)
		weft_model_free(d->model);
}

// The datapath, still without ports.

static void on_port(void *arg, const char *port_id, bool up, const char *reason)
{
	struct daemon *d = arg;

	if (d->links != NULL)
		weft_links_port_event(d->links, port_id, up, reason);
}

static int start_datapath(struct daemon *d, struct err *err)
{
	struct datapath_config config = weft_config_datapath(&d->config);

	if (config.hugepages == DATAPATH_HUGEPAGES_AUTO && getenv(WITHOUT_HUGEPAGES) != NULL)
		config.hugepages = DATAPATH_HUGEPAGES_OFF;
	return weft_beat_start(&weft_native_ops, &config, d->loop, on_port, d, &d->ops,
			       &d->datapath, err);
}

static void stop_datapath(struct daemon *d)
{
	if (d->datapath != NULL)
		d->ops->stop(d->datapath);
}

// 169.254.169.254; before the first ports, so that it knows them all.

static int start_metadata(struct daemon *d, struct err *err)
{
	const struct metadata_config config = weft_config_metadata(&d->config);

	return weft_metadata_start(&config, d->ops, d->datapath, &d->metadata, err);
}

static void stop_metadata(struct daemon *d)
{
	weft_metadata_stop(d->metadata);
}

// From what is stored to what the datapath does.

static int write_store(void *store, const struct model_change *changes, size_t n, struct err *err)
{
	return weft_store_write(store, changes, n, err);
}

// What is stored and has no effect: never in silence.
static void tell_left_out(const struct daemon *d)
{
	size_t n, all;
	const struct left_out *l = weft_model_left_out(d->model, &n);

	all = n;
	for (int type = 0; type < RES_COUNT; type++)
		all += weft_model_count(d->model, type);
	for (size_t i = 0; i < n && i < LEFT_OUT_LINES; i++)
		weft_log_error("%s %s is left out: %s", weft_resource_name(l[i].type), l[i].id,
			       l[i].reason);
	if (n > 0)
		weft_log_error(
			"left out: %zu of %zu stored objects; weft show left-out has them all, "
			"the rest runs",
			n, all);
}

static int start_plan(struct daemon *d, struct err *err)
{
	struct links_config config = {
		.loop = d->loop,
		.model = d->model,
		.ops = d->ops,
		.datapath = d->datapath,
	};
	uint64_t began_ms = weft_now_ms();
	size_t n_changes;
	int ret;

	d->planner = weft_planner_new(d->config.host, d->model);
	config.planner = d->planner;
	ret = weft_links_new(&config, &d->links, err);
	if (ret != 0)
		return ret;
	d->reconcile = (struct reconcile) {
		.planner = d->planner,
		.ops = d->ops,
		.datapath = d->datapath,
		.links = d->links,
		.metadata = d->metadata,
		.write = write_store,
		.store = d->store,
	};
	ret = weft_reconcile_start(&d->reconcile, d->model, &n_changes, err);
	if (ret == 0)
		weft_log_info("plan: %zu parts in %llu ms", n_changes,
			      (unsigned long long)(weft_now_ms() - began_ms));
	tell_left_out(d);
	return ret;
}

static void stop_plan(struct daemon *d)
{
	weft_links_free(d->links);
	d->links = NULL; // the datapath may still have something to tell
	weft_planner_free(d->planner);
}

static bool is_physical(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->config.n_physical; i++) {
		if (datapath_is_interface(d->config.physical[i].device) &&
		    strcmp(d->config.physical[i].device, name) == 0)
			return true;
	}
	return false;
}

static bool wants_link(void *arg, const char *name)
{
	return weft_link_is_tap(name) || is_physical(arg, name);
}

static void on_link(void *arg, const char *name, int ifindex)
{
	struct daemon *d = arg;

	if (is_physical(d, name))
		d->ops->interface_changed(d->datapath, name);
	else
		weft_links_interface_changed(d->links, name, ifindex);
}

static int start_watch(struct daemon *d, struct err *err)
{
	int ret = weft_link_watch_start(d->loop, wants_link, on_link, d, &d->watch, err);

	// After a restart VMs are waiting: most nodes have all their ports back before the API
	// answers.
	if (ret == 0)
		weft_links_work(d->links, FIRST_TURN_MS);
	return ret;
}

static void stop_watch(struct daemon *d)
{
	weft_link_watch_stop(d->watch);
}

// The API answers from here on.

static int commit(void *arg, struct txn *t, struct err *err)
{
	return weft_reconcile_commit(&((struct daemon *)arg)->reconcile, t, err);
}

static json_t *agents(void *arg)
{
	return weft_operate_agents(&((struct daemon *)arg)->operate);
}

static int operate(void *arg, const char *method, const char *path, const json_t *query,
		   const json_t *body, json_t **out, struct err *err)
{
	return weft_operate(&((struct daemon *)arg)->operate, method, path, query, body, out, err);
}

static void metrics(void *arg, struct text *out)
{
	weft_operate_metrics(&((struct daemon *)arg)->operate, out);
}

static int start_api(struct daemon *d, struct err *err)
{
	const struct api_config config = weft_config_api(&d->config);
	const struct api_hooks hooks = {d, commit, agents, operate, metrics};

	d->operate = (struct operate) {
		.host = d->config.host,
		.model = d->model,
		.planner = d->planner,
		.links = d->links,
		.ops = d->ops,
		.datapath = d->datapath,
		.metadata = d->metadata,
		.store = d->store,
		.late = weft_beat_late,
		.started = time(NULL),
		.start_ms = weft_now_ms() - d->began_ms,
	};
	return weft_api_start(&config, d->model, &hooks, d->loop, &d->api, err);
}

static void stop_api(struct daemon *d)
{
	if (d->api != NULL)
		weft_api_stop(d->api);
}

static int start_ready(struct daemon *d, struct err *err)
{
	size_t attached, ports;

	(void)err;
	weft_links_count(d->links, &attached, &ports);
	weft_log_info(
		"ready on %s and %s in %llu ms: %zu objects, %zu ports of host %s, %zu attached",
		d->config.listen, d->config.socket,
		(unsigned long long)(weft_now_ms() - d->began_ms), d->n_objects, ports,
		d->config.host, attached);
	weft_host_notify("READY=1");
	return 0;
}

static void stop_ready(struct daemon *d)
{
	(void)d;
	weft_host_notify("STOPPING=1");
}

// Started downwards, stopped upwards. A step that failed is stopped too: stop() takes what there
// is.
static const struct step {
	const char *name;
	int (*start)(struct daemon *d, struct err *err);
	void (*stop)(struct daemon *d);
} steps[] = {
	{"host", start_host, stop_host},
	{"loop", start_loop, stop_loop},
	{"store", start_store, stop_store},
	{"model", start_model, stop_model},
	{"datapath", start_datapath, stop_datapath},
	{"metadata", start_metadata, stop_metadata},
	{"plan", start_plan, stop_plan},
	{"links", start_watch, stop_watch},
	{"api", start_api, stop_api},
	{"ready", start_ready, stop_ready},
};
#define N_STEPS (sizeof(steps) / sizeof(*steps))

static int run(struct daemon *d)
{
	struct err err = {0};
	size_t n = 0;
	int ret = 0;

	d->began_ms = weft_now_ms();
	while (n < N_STEPS && ret == 0) {
		uint64_t step_ms = weft_now_ms();

		ret = steps[n].start(d, &err);
		if (ret == 0)
			weft_log_debug("start: %s in %llu ms", steps[n].name,
				       (unsigned long long)(weft_now_ms() - step_ms));
		n++;
	}
	d->again = ret == -ERESTART && getenv(WITHOUT_HUGEPAGES) == NULL;
	if (ret == 0)
		event_base_dispatch(d->loop);
	else if (d->again)
		weft_log_info("%s: starting again with ordinary memory", err.msg);
	else
		weft_log_error("%s", err.msg);
	while (n-- > 0) {
		uint64_t step_ms = weft_now_ms();

		steps[n].stop(d);
		weft_log_debug("stop: %s in %llu ms", steps[n].name,
			       (unsigned long long)(weft_now_ms() - step_ms));
	}
	return ret == 0 ? 0 : 1;
}

// DPDK starts once in a process, and huge pages may go while it does.
static void start_again(char **argv)
{
	close_range(3, ~0U, 0); // DPDK's memory among them
	setenv(WITHOUT_HUGEPAGES, "1", 1);
	execv("/proc/self/exe", argv);
	weft_log_error("weftd cannot be started again: %s", strerror(errno));
}

static const char usage[] =
	"usage: weftd [-c FILE] [--check-config] [--version] [--help] [--man]\n"
	"\n"
	"The network of an OpenStack compute node: serves the Neutron API and carries the packets.\n"
	"\n"
	"  -c FILE         read the configuration from FILE; without it the defaults hold\n"
	"  --check-config  read the configuration, say what is wrong with it, and exit\n"
	"  --version       print the version and exit\n"
	"  --help          print this and exit\n"
	"  --man           print the manual page (roff) and exit; every key is explained there\n";

static int print_man(void)
{
	struct text page = {0};

	weft_config_man(&page);
	fputs(page.s, stdout);
	weft_text_fini(&page);
	return 0;
}

static void complain(void *arg, const char *sentence)
{
	(void)arg;
	weft_log_error("%s", sentence);
}

static int check_config(const char *path)
{
	if (weft_config_check(path, complain, NULL) > 0)
		return 1;
	printf("%s: well\n", path != NULL ? path : "defaults");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'v'},	  {"help", no_argument, NULL, 'h'},
		{"man", no_argument, NULL, 'm'},	  {0},
	};
	struct daemon d = {0};
	struct err err = {0};
	const char *path = NULL;
	bool check = false;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'c')
			path = optarg;
		else if (c == 'k')
			check = true;
		else if (c == 'v')
			return printf("weftd %s\n", WEFT_VERSION) < 0;
		else if (c == 'h')
			return fputs(usage, stdout) < 0;
		else if (c == 'm')
			return print_man();
		else
			return fputs(usage, stderr) < 0 ? 1 : 2;
	}
	if (optind < argc) {
		fprintf(stderr, "weftd: \"%s\" is no option\n%s", argv[optind], usage);
		return 2;
	}
	if (check)
		return check_config(path);
	if (weft_config_read(path, &d.config, &err) != 0) {
		weft_log_error("%s", err.msg);
		return 1;
	}
	d.path = path;
	weft_log_set_level(d.config.log);
	status = run(&d);
	weft_config_fini(&d.config);
	if (d.again)
		start_again(argv);
	return status;
}
