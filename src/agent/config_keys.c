// SPDX-License-Identifier: Apache-2.0
#include "agent/config_keys.h"

#include <stdio.h>
#include <string.h>

#include "agent/config.h"

#define AT(field) offsetof(struct config, field)
// Milliseconds are kept in 32 bits and compared by signed difference, hence the limit.
#define TIMEOUT(name, seconds, help)                                                               \
	{                                                                                          \
		"datapath", #name, FORM_NUMBER, AT(timeouts.name), seconds, NULL, 1, 2000000, help \
	}

static const struct config_example physical_lines[] = {
	{"physnet1 = eth1",
	 "A kernel interface of weftd's network namespace. weftd takes it away from the host's own "
	 "stack, as it does a VM's; it may come later, go and come back."},
	{"physnet2 = 0000:03:00.0",
	 "A DPDK device by its bus address, with its arguments after a comma if it needs any."},
	{"physnet3 = net_af_packet0,iface=eth2",
	 "A virtual DPDK device: its driver's name and arguments."},
	{NULL, NULL},
};

const struct config_section weft_config_sections[] = {
	{"node", "This node.", NULL},
	{"api", "The Neutron API, the operator's API and the metrics.", NULL},
	{"store", "Where networks, ports and groups are kept.", NULL},
	{"datapath", "What carries the packets.", NULL},
	{"physical",
	 "Physical networks, a line for each: the name that provider:physical_network of flat and VLAN "
	 "networks has, and the device that leads there. A flat network has the device's untagged frames, "
	 "a VLAN network those with its tag. At most 32.",
	 physical_lines},
	{"metadata", "The metadata service: 169.254.169.254 for every VM that has IPv4.", NULL},
	{"tunnel", "Tunnels between nodes. They come later; keys are refused.", NULL},
};
const size_t weft_config_n_sections = sizeof(weft_config_sections) / sizeof(*weft_config_sections);

const struct config_key weft_config_keys[] = {
	{"node", "host", FORM_TEXT, AT(host), "", NULL, 0, 0,
	 "The node's name: the ports whose binding:host_id says the same are this node's. Default: "
	 "the host's name."},
	{"node", "run_dir", FORM_PATH, AT(run_dir), "/run/weft", NULL, 0, 0,
	 "Directory for sockets. It is made when missing."},
	{"node", "state_dir", FORM_PATH, AT(state_dir), "/var/lib/weft", NULL, 0, 0,
	 "Directory of the database. It is made when missing; one weftd at a time may use it."},
	{"node", "log", FORM_CHOICE, AT(log), "info", "error|warning|info|debug", 0, 0,
	 "How much to tell on standard error."},
	{"node", "global_physnet_mtu", FORM_NUMBER, AT(global_physnet_mtu), "1500", NULL, 68, 65535,
	 "MTU of the physical networks, as Neutron has it: no flat or VLAN network may have a "
	 "larger one, and a network that is made without one gets it."},

	{"api", "listen", FORM_LISTEN, AT(listen), "127.0.0.1:9696", NULL, 0, 0,
	 "Address and port to serve the Neutron API on. none: the socket only."},
	{"api", "socket", FORM_PATH, AT(socket), "", NULL, 0, 0,
	 "Unix socket for the operator: weft uses it, and it serves everything that listen does. Whoever may "
	 "open it is an administrator and needs no token. Default: api.sock in run_dir."},
	{"api", "socket_group", FORM_TEXT, AT(socket_group), "weft", NULL, 0, 0,
	 "Group that may use it, besides weftd's own user. Is there no group \"weft\", then nobody else may."},
	{"api", "auth", FORM_CHOICE, AT(auth), "none", "none|token", 0, 0,
	 "Who may use it: everybody (on loopback addresses only), or holders of a token. Any other "
	 "address needs tokens and TLS."},
	{"api", "tokens", FORM_PATH, AT(tokens), "", NULL, 0, 0,
	 "File with a line for each token: token project role[,role]."},
	{"api", "tls_cert", FORM_PATH, AT(tls_cert), "", NULL, 0, 0, "Certificate (chain) in PEM."},
	{"api", "tls_key", FORM_PATH, AT(tls_key), "", NULL, 0, 0, "Its key in PEM."},

	{"store", "type", FORM_CHOICE, AT(store), "sqlite", "sqlite/etcd", 0, 0,
	 "sqlite: a file in state_dir."},
	{"store", "endpoints", FORM_TEXT, AT(endpoints), "", NULL, 0, 0,
	 "etcd's addresses. Refused until the etcd store is built."},

	{"datapath", "type", FORM_CHOICE, AT(type), "native", "native/ovs|linux", 0, 0,
	 "native: Weft's own, in user space."},
	{"datapath", "firewall", FORM_CHOICE, AT(firewall), "conntrack", "learn|conntrack", 0, 0,
	 "How an Open vSwitch datapath filters; the native one has its own sessions and does not "
	 "ask."},
	{"datapath", "vif", FORM_CHOICE, AT(vif), "tap", "tap|vhostuser", 0, 0,
	 "How a port's VM is attached if its binding:profile does not say. tap: a kernel interface "
	 "named \"tap\" and the first 11 characters of the port's id. vhostuser: a socket in run_dir "
	 "named \"vhu\" and the same."},
	{"datapath", "vhostuser_mode", FORM_CHOICE, AT(vhostuser_mode), "client", "client|server",
	 0, 0, "What QEMU is on a vhost-user socket: client means that weftd makes the socket."},
	{"datapath", "vhostuser_group", FORM_TEXT, AT(vhostuser_group), "", NULL, 0, 0,
	 "The group that may use the sockets that weftd makes, besides weftd's own user: QEMU's. Empty: "
	 "weftd's own group."},
	{"datapath", "workers", FORM_NUMBER, AT(workers), "1", NULL, 1, 32,
	 "Threads that move packets. A VM with several queues on a vhost-user port may use several."},
	{"datapath", "cores", FORM_CORES, AT(cores), "", NULL, 0, 0,
	 "The cores they run on, for example 0 or 2-5 or 1,3. Empty: choose."},
	{"datapath", "poll", FORM_CHOICE, AT(poll), "adaptive", "adaptive|busy", 0, 0,
	 "adaptive: a worker that finds nothing for 100 us sleeps for a moment. busy: it keeps spinning."},
	{"datapath", "idle_us", FORM_NUMBER, AT(idle_us), "100", NULL, 1, 10000,
	 "Longest sleep of an idle worker, microseconds."},
	{"datapath", "priority", FORM_NUMBER, AT(priority), "1", NULL, 0, 99,
	 "Real-time priority of the workers (SCHED_FIFO), so that nothing else on their cores keeps packets waiting; 0: "
	 "as everybody's. A worker without a pause goes on at normal priority, so it starves nobody. It needs CAP_SYS_NICE, "
	 "poll = adaptive, and a core that is no worker's, where weftd's other threads stay then."},
	{"datapath", "tap_ring", FORM_NUMBER, AT(tap_ring), "128", NULL, 64, 16384,
	 "Memory in which packets of a port's kernel interface wait for a worker, KB."},
	{"datapath", "sessions", FORM_NUMBER, AT(sessions), "1048576", NULL, 1024, 268435456,
	 "Size of the session table, in connections."},
	{"datapath", "port_share", FORM_NUMBER, AT(port_share), "25", NULL, 1, 100,
	 "How much of the session table one port may use, percent."},
	{"datapath", "project_share", FORM_NUMBER, AT(project_share), "50", NULL, 1, 100,
	 "How much of the session table the ports of one project may use together, percent."},
	{"datapath", "hugepages", FORM_CHOICE, AT(hugepages), "auto", "auto|require|off", 0, 0,
	 "auto: use huge pages if there are some. require: do not start without."},
	{"datapath", "tcp_loose", FORM_CHOICE, AT(tcp_loose), "yes", "no|yes", 0, 0,
	 "yes: a permitted TCP connection may be picked up in the middle, as after a restart. no: "
	 "it must begin with its handshake."},
	TIMEOUT(tcp_opening, "60", "Seconds until an idle TCP handshake is forgotten."),
	TIMEOUT(tcp_established, "432000", "Seconds until an idle TCP connection is forgotten."),
	TIMEOUT(tcp_closing, "30", "Seconds until a closed TCP connection is forgotten."),
	TIMEOUT(udp_unanswered, "30", "Seconds until an unanswered UDP flow is forgotten."),
	TIMEOUT(udp_answered, "180", "Seconds until an idle answered UDP flow is forgotten."),
	TIMEOUT(icmp, "30", "Seconds until an idle ICMP flow is forgotten."),
	TIMEOUT(other, "600", "Seconds until an idle flow of another protocol is forgotten."),

	{"metadata", "url", FORM_TEXT, AT(metadata_url), "", NULL, 0, 0,
	 "Where VMs' requests go: Nova's metadata server or Neutron's metadata agent, as "
	 "http://127.0.0.1:8775. Empty: there is no metadata service."},
	{"metadata", "shared_secret_file", FORM_PATH, AT(metadata_secret_file), "", NULL, 0, 0,
	 "File with the secret that Nova has as metadata_proxy_shared_secret; others may not read "
	 "it. With it requests carry the instance's id, signed; without it the network's or the "
	 "router's, as Neutron's agent wants them."},
	{"metadata", "timeout", FORM_NUMBER, AT(metadata_timeout), "30", NULL, 1, 600,
	 "Seconds to wait for the metadata server."},

	{"tunnel", "local_ip", FORM_TEXT, AT(local_ip), "", NULL, 0, 0,
	 "Refused until tunnels are built."},
	{"tunnel", "device", FORM_TEXT, AT(tunnel_device), "", NULL, 0, 0,
	 "Refused until tunnels are built."},
};
const size_t weft_config_n_keys = sizeof(weft_config_keys) / sizeof(*weft_config_keys);

const char *weft_config_allowed(const struct config_key *k, char *buf, size_t size)
{
	char words[128];
	size_t n;

	switch (k->form) {
	case FORM_NUMBER:
		snprintf(buf, size, "a number from %u to %u", k->min, k->max);
		break;
	case FORM_CHOICE:
		n = strcspn(k->choices, "/");
		snprintf(words, sizeof(words), "%.*s", (int)n, k->choices);
		buf[0] = '\0';
		for (char *w = words, *end; w != NULL && *w != '\0'; w = end) {
			end = strchr(w, '|');
			if (end != NULL)
				*end++ = '\0';
			n = strlen(buf);
			snprintf(buf + n, size - n, "%s%s",
				 n == 0	       ? ""
				 : end == NULL ? " or "
					       : ", ",
				 w);
		}
		break;
	case FORM_PATH:
		snprintf(buf, size, "an absolute path");
		break;
	case FORM_LISTEN:
		snprintf(buf, size, "ADDRESS:PORT, as 127.0.0.1:9696 or [::1]:9696, or none");
		break;
	case FORM_CORES:
		snprintf(buf, size, "a list of core numbers, as 0 or 2-5 or 1,3");
		break;
	case FORM_TEXT:
		snprintf(buf, size, "text");
		break;
	}
	return buf;
}
