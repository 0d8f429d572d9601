// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct config read_config(const char *text)
{
	struct config c;
	struct err err = {0};

	if (weft_config_parse("t", text, strlen(text), &c, &err) != 0)
		fail_msg("%s", err.msg);
	return c;
}

// The message must have every one of the given parts.
static void refuse(const char *text, const char *part1, const char *part2)
{
	struct config c;
	struct err err = {0};

	assert_int_equal(weft_config_parse("t", text, strlen(text), &c, &err), -EINVAL);
	if (strstr(err.msg, part1) == NULL || strstr(err.msg, part2) == NULL)
		fail_msg("\"%s\" has not \"%s\" and \"%s\"", err.msg, part1, part2);
	assert_null(c.host);
}

static void no_file_means_the_defaults(void **state)
{
	struct config c;
	struct datapath_config d;
	struct err err = {0};

	(void)state;
	assert_int_equal(weft_config_read(NULL, &c, &err), 0);
	d = weft_config_datapath(&c);
	assert_string_equal(c.listen, "127.0.0.1:9696");
	assert_string_equal(c.state_dir, "/var/lib/weft");
	assert_true(strlen(c.host) > 0);
	assert_int_equal(c.log, LOG_LEVEL_INFO);
	assert_int_equal(c.global_physnet_mtu, 1500);
	assert_int_equal(d.workers, 1);
	assert_int_equal(d.sessions, 1048576);
	assert_int_equal(d.port_share_percent, 25);
	assert_int_equal(d.tap_ring_kb, 128);
	assert_int_equal(d.project_share_percent, 50);
	assert_true(d.tcp_loose);
	assert_int_equal(d.timeouts.tcp_established, 432000);
	assert_int_equal(d.timeouts.other, 600);
	assert_null(weft_config_api(&c).tls_cert);
	assert_string_equal(weft_config_vif(&c), "tap");
	weft_config_fini(&c);
}

static void every_kind_of_value_is_read(void **state)
{
	struct config c = read_config("# comment\n"
				      "[node]\n"
				      "host = compute-1              ; default: host name\n"
				      "log=debug\r\n"
				      "\n"
				      "[api]\n"
				      "  listen = [::1]:9700\t# v6\n"
				      "tokens =\n"
				      "[datapath]\n"
				      "workers = 4\n"
				      "cores = 0,2-5\n"
				      "poll = busy\n"
				      "hugepages = off\n"
				      "tcp_loose = no\n"
				      "udp_answered = 7\n");

	(void)state;
	assert_string_equal(c.host, "compute-1");
	assert_int_equal(c.log, LOG_LEVEL_DEBUG);
	assert_string_equal(c.listen, "[::1]:9700");
	assert_int_equal(c.workers, 4);
	assert_string_equal(c.cores, "0,2-5");
	assert_int_equal(weft_config_datapath(&c).poll, DATAPATH_POLL_BUSY);
	assert_int_equal(weft_config_datapath(&c).hugepages, DATAPATH_HUGEPAGES_OFF);
	assert_false(weft_config_datapath(&c).tcp_loose);
	assert_int_equal(c.timeouts.udp_answered, 7);
	weft_config_fini(&c);
}

static void an_unknown_name_is_refused_with_its_line_and_the_known_ones(void **state)
{
	(void)state;
	refuse("[node]\nhots = a\n", "t:2: ", "host, run_dir");
	refuse("[nodes]\n", "t:1: ", "[node], [api]");
	refuse("host = a\n", "t:1: ", "[section]");
	refuse("[node\n", "t:1: ", "[name]");
	refuse("[node]\nhost\n", "t:2: ", "key = value");
	refuse("[datapath]\nhost = a\n", "t:2: ", "[datapath] has no key");
}

static void a_bad_value_is_refused_with_what_is_allowed(void **state)
{
	(void)state;
	refuse("[node]\nlog = loud\n", "t:2: ", "error, warning, info or debug");
	refuse("[datapath]\nworkers = 33\n", "t:2: ", "from 1 to 32");
	refuse("[datapath]\nworkers = 0\n", "t:2: ", "from 1 to 32");
	refuse("[datapath]\nworkers = two\n", "t:2: ", "from 1 to 32");
	refuse("[datapath]\nworkers = 99999999999999999999\n", "t:2: ", "from 1 to 32");
	refuse("[datapath]\nworkers =\n", "t:2: ", "from 1 to 32");
	refuse("[datapath]\ncores = 5-2\n", "t:2: ", "core numbers");
	refuse("[datapath]\ncores = 1,\n", "t:2: ", "core numbers");
	refuse("[api]\nlisten = localhost:1\n", "t:2: ", "ADDRESS:PORT");
	refuse("[api]\nlisten = 127.0.0.1\n", "t:2: ", "ADDRESS:PORT");
	refuse("[api]\nlisten = ::1:80\n", "t:2: ", "ADDRESS:PORT");
	refuse("[node]\nstate_dir = here\n", "t:2: ", "absolute path");
	refuse("[datapath]\nvif = veth\n", "t:2: ", "tap or vhostuser");
	refuse("[datapath]\nvhostuser_group = no-such-group\n", "t:2: ", "no such group");
	refuse("[datapath]\nvhostuser_group = 4294967295\n", "t:2: ", "no such group");
}

static void a_key_given_twice_is_refused_with_both_lines(void **state)
{
	(void)state;
	refuse("[node]\nhost = a\n[api]\n[node]\nhost = b\n", "t:5: ", "line 2");
}

static void what_is_not_built_yet_says_so(void **state)
{
	(void)state;
	refuse("[datapath]\ntype = ovs\n", "t:2: ", "not built in this version");
	refuse("[datapath]\ntype = linux\n", "t:2: ", "not built in this version");
	refuse("[store]\ntype = etcd\n", "t:2: ", "not built in this version");
	refuse("[store]\nendpoints = http://127.0.0.1:2379\n", "t:2: ", "etcd");
	refuse("[tunnel]\nlocal_ip = 192.0.2.1/24\n", "t:2: ", "tunnels");
}

static void physical_networks_are_lines_of_name_and_device(void **state)
{
	static const char text[] = "[physical]\n"
				   "physnet1 = eth1\n"
				   "ext = net_af_packet0,iface=eth2 ; a comment\n";
	struct datapath_config dp;
	struct config c = read_config(text);

	(void)state;
	dp = weft_config_datapath(&c);
	assert_int_equal(dp.n_physical, 2);
	assert_string_equal(dp.physical[0].name, "physnet1");
	assert_string_equal(dp.physical[0].device, "eth1");
	assert_string_equal(c.physical_names[1], "ext");
	assert_string_equal(dp.physical[1].device, "net_af_packet0,iface=eth2");
	assert_true(datapath_is_interface(dp.physical[0].device));
	assert_false(datapath_is_interface(dp.physical[1].device));
	assert_false(datapath_is_interface("0000:03:00.0"));
	weft_config_fini(&c);
}

static void physical_networks_that_cannot_be_are_refused(void **state)
{
	(void)state;
	refuse("[physical]\nphysnet1 =\n", "t:2: ", "DPDK device");
	// As in Neutron's agents.
	refuse("[physical]\nphysnet1:br-ex\n", "t:2: ", "physnet1 = eth1");
	refuse("[physical]\nphysnet1:br-ex = yes\n", "t:2: ", "physnet1 = eth1");
	refuse("[physical]\nbridge_mappings = physnet1:br-ex\n", "t:2: ", "physnet1 = eth1");
	refuse("[physical]\na = eth1\nb = eth2\na = eth3\n", "t:4: ", "line 2");
	refuse("[physical]\na = eth1\nb = eth1\n", "t:3: ", "physical network a's");
	refuse("[physical]\ntwo words = eth1\n", "t:2: ", "without blanks");
	refuse("[physical]\nabcdefghijklmnopqrstuvwxyz012345 = eth1\n", "t:2: ", "31 characters");
}

static void an_open_address_needs_tokens_and_tls(void **state)
{
	struct config c;

	(void)state;
	refuse("[api]\nlisten = 0.0.0.0:9696\n", "t:2: ", "loopback");
	refuse("[api]\nlisten = 0.0.0.0:9696\nauth = token\ntokens = /t\n", "t:2: ", "tls_cert");
	refuse("[api]\nauth = token\n", "t:2: ", "tokens");
	refuse("[api]\ntls_cert = /c\n", "t:2: ", "tls_key");
	c = read_config("[api]\nlisten = 0.0.0.0:9696\nauth = token\ntokens = /t\n"
			"tls_cert = /c\ntls_key = /k\n");
	assert_string_equal(weft_config_api(&c).tls_key, "/k");
	weft_config_fini(&c);
}

static void a_metadata_server_needs_an_address_that_can_be_asked(void **state)
{
	struct config c = read_config("[metadata]\nurl = http://127.0.0.1:8775\ntimeout = 5\n");

	(void)state;
	assert_string_equal(weft_config_metadata(&c).url, "http://127.0.0.1:8775");
	assert_int_equal(weft_config_metadata(&c).timeout_s, 5);
	weft_config_fini(&c);
	refuse("[metadata]\nurl = 127.0.0.1:8775\n", "t:2: ", "http://HOST");
	refuse("[metadata]\nurl = ftp://127.0.0.1/\n", "t:2: ", "http://HOST");
	refuse("[metadata]\nshared_secret_file = secret\n", "t:2: ", "absolute");
}

static void a_binary_file_is_refused(void **state)
{
	struct config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(weft_config_parse("t", "[node]\n\0x", 9, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "NUL"));
}

static void a_missing_file_is_named(void **state)
{
	struct config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(weft_config_read("/nonexistent/weftd.conf", &c, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/weftd.conf"));
}

static void the_manual_page_has_every_section(void **state)
{
	struct text out = {0};

	(void)state;
	weft_config_man(&out);
	assert_non_null(strstr(out.s, ".SS [datapath]"));
	assert_non_null(strstr(out.s, ".B tcp_established = 432000"));
	assert_non_null(strstr(out.s, "\\-\\-check\\-config"));
	weft_text_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_file_means_the_defaults),
		cmocka_unit_test(every_kind_of_value_is_read),
		cmocka_unit_test(an_unknown_name_is_refused_with_its_line_and_the_known_ones),
		cmocka_unit_test(a_bad_value_is_refused_with_what_is_allowed),
		cmocka_unit_test(a_key_given_twice_is_refused_with_both_lines),
		cmocka_unit_test(what_is_not_built_yet_says_so),
		cmocka_unit_test(physical_networks_are_lines_of_name_and_device),
		cmocka_unit_test(physical_networks_that_cannot_be_are_refused),
		cmocka_unit_test(an_open_address_needs_tokens_and_tls),
		cmocka_unit_test(a_metadata_server_needs_an_address_that_can_be_asked),
		cmocka_unit_test(a_binary_file_is_refused),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(the_manual_page_has_every_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
