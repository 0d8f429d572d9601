// SPDX-License-Identifier: Apache-2.0
// The metadata service's way through the whole native datapath: frames in and out of the testbed.
#include "datapath/native/metadata_port.h"

#include <arpa/inet.h>
#include <errno.h>

#include "datapath/native/testing/native_fixture.h"
#include "datapath/frames/services.h"
#include "datapath/native/policy/tables_priv.h"

#define ADDRESS "169.254.169.254"

// "a" and "b" have the same address on networks of their own, "c" is beside "a".
static struct testbed *tenants(bool with_proxy)
{
	struct testbed *tb = testbed_new(1024);

	testbed_network(tb, "n1", 1500);
	testbed_network(tb, "n2", 1500);
	testbed_rule_set(tb, "out", true, open_out);
	testbed_rule_set(tb, "web", true, "egress 4 tcp 80-80");
	testbed_port(tb, "a", "n1", "10.0.0.1", "out");
	testbed_port(tb, "b", "n2", "10.0.0.1", "web");
	testbed_port(tb, "c", "n1", "10.0.0.3", "out");
	testbed_commit(tb);
	if (with_proxy)
		testbed_metadata(tb);
	return tb;
}

static struct frame ask(const char *port, uint16_t from, uint8_t flags)
{
	return testbed_frame(port, "service", "10.0.0.1", ADDRESS, TCP(from, 80, flags));
}

static const char *source_text(const struct frame *f, char *buf)
{
	return inet_ntop(AF_INET, f->b + 26, buf, INET_ADDRSTRLEN);
}

static uint16_t sport(const struct frame *f)
{
	return (uint16_t)(f->b[34] << 8 | f->b[35]);
}

// What the proxy gets when the port sends this; fails when nothing comes.
static struct frame at_proxy(struct testbed *tb, const char *port, struct frame f)
{
	struct frame got;

	testbed_send(tb, port, &f);
	if (!testbed_receive(tb, METADATA_PORT_ID, &got))
		fail_msg("dropped: %s", weft_drop_word(testbed_drop(tb)));
	return got;
}

static void send_answer(struct testbed *tb, const struct frame *asked, uint8_t flags)
{
	char source[INET_ADDRSTRLEN];
	struct frame f = testbed_frame("proxy", "here", ADDRESS, source_text(asked, source),
				       TCP(80, sport(asked), flags));

	testbed_send(tb, METADATA_PORT_ID, &f);
}

// The testbed's frames have no TCP checksum, so what becomes of it means nothing.
static void assert_same(struct frame got, const struct frame *wanted)
{
	memset(got.b + 50, 0, 2);
	assert_int_equal(got.len, wanted->len);
	assert_memory_equal(got.b, wanted->b, wanted->len);
}

static void assert_nothing(struct testbed *tb, const char *port)
{
	struct frame got;

	assert_false(testbed_receive(tb, port, &got));
}

static void a_question_comes_to_the_proxy_and_its_answer_back(void **state)
{
	struct testbed *tb = tenants(true);
	struct mac_addr here = testbed_mac("here"), proxy = testbed_mac("proxy");
	struct frame asked = at_proxy(tb, "a", ask("a", 1000, SYN)), got;
	struct frame wanted =
		testbed_frame("service", "a", ADDRESS, "10.0.0.1", TCP(80, 1000, SYN | ACK));

	(void)state;
	assert_memory_equal(asked.b, proxy.b, 6);
	assert_memory_equal(asked.b + 6, here.b, 6);
	assert_int_equal(asked.b[26], 100);
	assert_int_equal(asked.b[27] & 0xc0, 64);
	send_answer(tb, &asked, SYN | ACK);
	assert_true(testbed_receive(tb, "a", &got));
	assert_same(got, &wanted);
	at_proxy(tb, "a", ask("a", 1000, ACK));
	testbed_free(tb);
}

static void ports_with_the_same_address_differ_for_the_proxy(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame a = at_proxy(tb, "a", ask("a", 1000, SYN));
	struct frame b = at_proxy(tb, "b", ask("b", 1000, SYN));

	(void)state;
	assert_memory_not_equal(a.b + 26, b.b + 26, 4);
	send_answer(tb, &b, SYN | ACK);
	assert_nothing(tb, "a");
	testbed_free(tb);
}

// What one port sends from several addresses has one source, so the port number must do.
static void flows_of_one_port_do_not_clash(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame first, second, got, f;

	(void)state;
	testbed_port_with(tb, "a", "n1", "10.0.0.1", "out", "-|10.0.0.77/32", true);
	testbed_commit(tb);
	first = at_proxy(tb, "a", ask("a", 1000, SYN));
	f = testbed_frame("a", "service", "10.0.0.77", ADDRESS, TCP(1000, 80, SYN));
	second = at_proxy(tb, "a", f);
	assert_memory_equal(first.b + 26, second.b + 26, 4);
	assert_int_not_equal(sport(&first), sport(&second));
	send_answer(tb, &second, SYN | ACK);
	assert_true(testbed_receive(tb, "a", &got));
	f = testbed_frame("service", "a", ADDRESS, "10.0.0.77", TCP(80, 1000, SYN | ACK));
	assert_same(got, &f);
	testbed_free(tb);
}

static void it_does_not_matter_where_the_frame_is_sent(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame f;

	(void)state;
	testbed_router(tb, "r", true, "n1|r1|10.0.0.254/24", "");
	testbed_commit(tb);
	f = testbed_frame("a", "r1", "10.0.0.1", ADDRESS, TCP(1, 80, SYN));
	at_proxy(tb, "a", f);
	f = testbed_frame("a", "c", "10.0.0.1", ADDRESS, TCP(2, 80, SYN));
	at_proxy(tb, "a", f);
	memset(f.b, 0xff, 6);
	f.b[35] = 3;
	testbed_send(tb, "a", &f);
	assert_nothing(tb, METADATA_PORT_ID);
	testbed_free(tb);
}

static void nothing_but_answers_leaves_the_proxy(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame asked = at_proxy(tb, "a", ask("a", 1000, SYN)), f;
	char source[INET_ADDRSTRLEN];

	(void)state;
	source_text(&asked, source);
	f = testbed_frame("proxy", "here", ADDRESS, source, TCP(80, 1001, SYN | ACK));
	testbed_send(tb, METADATA_PORT_ID, &f);
	assert_int_equal(testbed_drop(tb), DROP_NAT_NO_STATE);
	f = testbed_frame("proxy", "a", ADDRESS, "10.0.0.1", TCP(80, 1000, SYN));
	testbed_send(tb, METADATA_PORT_ID, &f);
	assert_int_equal(testbed_drop(tb), DROP_NAT_NO_STATE);
	f = testbed_frame("proxy", "here", ADDRESS, source, UDP(80, 1000, 8));
	testbed_send(tb, METADATA_PORT_ID, &f);
	assert_int_equal(testbed_drop(tb), DROP_NAT_NO_STATE);
	f = testbed_arp("proxy", ADDRESS, source);
	testbed_send(tb, METADATA_PORT_ID, &f);
	for (int i = 0; i < 3; i++)
		assert_nothing(tb, i == 0 ? "a" : i == 1 ? "b" : "c");
	testbed_free(tb);
}

static void nothing_but_questions_gets_to_the_proxy(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame f = testbed_frame("a", "service", "10.0.0.1", ADDRESS, TCP(1, 443, SYN));

	(void)state;
	testbed_send(tb, "a", &f);
	f = testbed_frame("a", "service", "10.0.0.1", ADDRESS, UDP(1, 80, 8));
	testbed_send(tb, "a", &f);
	f = testbed_frame("a", "service", "10.0.0.1", ADDRESS, ECHO(true, 1));
	testbed_send(tb, "a", &f);
	f = testbed_frame("a", "proxy", "10.0.0.1", "169.254.169.253", TCP(1, 80, SYN));
	testbed_send(tb, "a", &f);
	f = testbed_frame("a", "proxy", "10.0.0.1", "100.64.0.1", TCP(1, 80, SYN));
	testbed_send(tb, "a", &f);
	// Under another's address.
	f = testbed_frame("a", "service", "10.0.0.3", ADDRESS, TCP(1, 80, SYN));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_SPOOF_IP);
	assert_nothing(tb, METADATA_PORT_ID);
	testbed_free(tb);
}

static void the_senders_rules_hold_and_cut(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame f = ask("b", 1000, ACK);

	(void)state;
	at_proxy(tb, "b", ask("b", 1000, SYN));
	// Another rule goes: the flow is judged again, and goes on as it was.
	testbed_rule_set(tb, "web", true, "egress 4 tcp 80-80\negress 4 udp");
	testbed_commit(tb);
	testbed_rule_set(tb, "web", true, "egress 4 tcp 80-80");
	testbed_commit(tb);
	at_proxy(tb, "b", f);
	testbed_rule_set(tb, "web", true, "egress 4 tcp 81-81");
	testbed_commit(tb);
	testbed_send(tb, "b", &f);
	assert_int_equal(testbed_drop(tb), DROP_EGRESS_RULES);
	assert_nothing(tb, METADATA_PORT_ID);
	testbed_free(tb);
}

static void a_port_that_has_the_address_keeps_it(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame f = testbed_frame("a", "c", "10.0.0.1", ADDRESS, TCP(1, 80, SYN)), got;

	(void)state;
	testbed_rule_set(tb, "any", true, "ingress 4 any\negress 4 any");
	testbed_port_with(tb, "c", "n1", "10.0.0.3", "any", "-|" ADDRESS "/32", true);
	testbed_commit(tb);
	testbed_send(tb, "a", &f);
	assert_nothing(tb, METADATA_PORT_ID);
	assert_true(testbed_receive(tb, "c", &got));
	// On its own network only, and not what goes to a router.
	at_proxy(tb, "b", ask("b", 1, SYN));
	testbed_router(tb, "r", true, "n1|r1|10.0.0.254/24", "");
	testbed_commit(tb);
	f = testbed_frame("a", "r1", "10.0.0.1", ADDRESS, TCP(2, 80, SYN));
	at_proxy(tb, "a", f);
	testbed_free(tb);
}

static void arp_for_the_address_is_answered_on_every_network(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame f = testbed_arp("a", "10.0.0.1", ADDRESS), got;

	(void)state;
	testbed_port(tb, "open", "n1", "10.0.0.9", NULL); // may have any address
	testbed_commit(tb);
	testbed_send(tb, "a", &f);
	assert_nothing(tb, "open");
	assert_true(testbed_receive(tb, "a", &got));
	assert_memory_equal(got.b + 22, weft_service_mac.b, 6);
	testbed_free(tb);
}

static void without_a_proxy_nobody_waits(void **state)
{
	struct testbed *tb = tenants(false);
	struct frame f = testbed_arp("a", "10.0.0.1", ADDRESS), got;
	static const uint8_t own[] = {169, 254, 169, 254};

	(void)state;
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "a", &got));
	f = ask("a", 1000, SYN);
	memcpy(f.b, weft_service_mac.b, 6);
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_METADATA_OFF);
	assert_true(testbed_receive(tb, "a", &got));
	assert_memory_equal(got.b + 26, own, 4); // from the address itself
	assert_int_equal(got.b[23], 1);
	assert_int_equal(got.b[34], 3); // port unreachable
	assert_int_equal(got.b[35], 3);
	// To another port's MAC: it may have the address, as far as is known.
	f = testbed_frame("a", "c", "10.0.0.1", ADDRESS, TCP(1, 80, SYN));
	testbed_send(tb, "a", &f);
	assert_int_equal(testbed_drop(tb), DROP_INGRESS_RULES);
	testbed_free(tb);
}

static void without_a_proxy_whoever_may_have_the_address_is_asked(void **state)
{
	struct testbed *tb = tenants(false);
	struct frame f = testbed_arp("a", "10.0.0.1", ADDRESS), got;

	(void)state;
	testbed_port(tb, "open", "n1", "10.0.0.9", NULL);
	testbed_commit(tb);
	testbed_send(tb, "a", &f);
	assert_true(testbed_receive(tb, "open", &got));
	assert_nothing(tb, "a");
	testbed_free(tb);
}

// A guest tells the proxy that a packet was too long.
static void errors_about_answers_come_to_the_proxy(void **state)
{
	struct testbed *tb = tenants(true);
	struct frame asked = at_proxy(tb, "a", ask("a", 1000, SYN)), answer, error, got;

	(void)state;
	send_answer(tb, &asked, SYN | ACK);
	assert_true(testbed_receive(tb, "a", &answer));
	error = testbed_icmp_error("a", "service", "10.0.0.1", ADDRESS, 3, 4, &answer);
	testbed_send(tb, "a", &error);
	assert_true(testbed_receive(tb, METADATA_PORT_ID, &got));
	assert_memory_equal(got.b + 26, asked.b + 26, 4);	       // from the port's source
	assert_memory_equal(got.b + 34 + 8 + 16, asked.b + 26, 4);     // about a packet to it
	assert_memory_equal(got.b + 34 + 8 + 20 + 2, asked.b + 34, 2); // and to its port there
	testbed_free(tb);
}

static void a_port_that_takes_anothers_index_has_another_source(void **state)
{
	(void)state;
	for (uint32_t index = 0; index < NATIVE_MAX_PORTS - 1; index += 101) {
		for (uint32_t n = 0; n < 256; n++) {
			uint32_t s = rte_be_to_cpu_32(weft_metadata_source((uint16_t)index, n));

			assert_int_equal(s >> 22, 0x64400000 >> 22);
			assert_int_equal((s & 0x3fff) - 1, index);
			assert_int_equal(s >> 14 & 0xff, n);
		}
	}
	assert_int_equal(weft_metadata_source(7, 256), weft_metadata_source(7, 0));
}

static void a_full_node_refuses_the_way_to_the_proxy(void **state)
{
	struct testbed *tb = tenants(false);
	struct datapath_metadata way = {.ifname = "lo"};
	struct err err = {0};

	(void)state;
	tb->dp.tables->next_index = NATIVE_MAX_PORTS - 1;
	assert_int_equal(weft_metadata_open(&tb->dp, &way, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "metadata"));
	assert_null(weft_tables_port(tb->dp.tables, METADATA_PORT_ID));
	testbed_free(tb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_comes_to_the_proxy_and_its_answer_back),
		cmocka_unit_test(ports_with_the_same_address_differ_for_the_proxy),
		cmocka_unit_test(flows_of_one_port_do_not_clash),
		cmocka_unit_test(it_does_not_matter_where_the_frame_is_sent),
		cmocka_unit_test(nothing_but_answers_leaves_the_proxy),
		cmocka_unit_test(nothing_but_questions_gets_to_the_proxy),
		cmocka_unit_test(the_senders_rules_hold_and_cut),
		cmocka_unit_test(a_port_that_has_the_address_keeps_it),
		cmocka_unit_test(arp_for_the_address_is_answered_on_every_network),
		cmocka_unit_test(without_a_proxy_nobody_waits),
		cmocka_unit_test(without_a_proxy_whoever_may_have_the_address_is_asked),
		cmocka_unit_test(errors_about_answers_come_to_the_proxy),
		cmocka_unit_test(a_port_that_takes_anothers_index_has_another_source),
		cmocka_unit_test(a_full_node_refuses_the_way_to_the_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
