// SPDX-License-Identifier: Apache-2.0
#include "datapath/native/show/trace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "datapath/native/session/nat.h"
#include "datapath/native/carry/route.h"
#include "datapath/native/carry/slow.h"
#include "datapath/native/carry/slow_session.h"
#include "datapath/native/policy/tables.h"
#include "datapath/native/show/trace_final.h"
#include "datapath/native/show/trace_reply.h"

static void note(json_t *stages, const char *stage, const char *verdict, const char *detail)
{
	json_array_append_new(stages, json_pack("{s:s,s:s,s:s,s:n}", "stage", stage, "verdict",
						verdict, "detail", detail, "rule"));
}

static const char *port_id_of(const struct native *dp, uint16_t index)
{
	const struct port *p = native_port(&dp->node, index);

	return p == NULL ? "?" : p->id;
}

// A permitted packet still goes nowhere without the receiver's interface.
static void forward(struct native *dp, uint16_t port, json_t *stages, json_t *out_ports,
		    struct judge *j)
{
	enum drop why = native_send_drop(native_port(&dp->node, port));

	if (why == DROP_NONE) {
		json_array_append_new(out_ports, json_string(port_id_of(dp, port)));
		j->verdict = VERDICT_FORWARD;
		return;
	}
	note(stages, "send", "drop", weft_drop_sentence(why));
	j->verdict = VERDICT_DROP;
	j->why = why;
}

static void note_translation(const struct session *s, json_t *stages)
{
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN], detail[128];
	struct flow_key key;

	weft_nat_leaves_as(s, &key);
	inet_ntop(AF_INET, &key.src4, src, sizeof(src));
	inet_ntop(AF_INET, &key.dst4, dst, sizeof(dst));
	if (key.proto == IPPROTO_ICMP)
		snprintf(detail, sizeof(detail), "leaves as %s > %s, id %u", src, dst,
			 rte_be_to_cpu_16(key.sport));
	else
		snprintf(detail, sizeof(detail), "leaves as %s:%u > %s:%u", src,
			 rte_be_to_cpu_16(key.sport), dst, rte_be_to_cpu_16(key.dport));
	note(stages, "nat", "next", detail);
}

static void refuse(struct judge *j, json_t *stages, const char *stage, enum drop why,
		   const char *detail)
{
	j->verdict = VERDICT_DROP;
	j->why = why;
	note(stages, stage, "drop", detail);
}

// What is older than the policy is judged again first.
static enum rejudged note_rejudged(struct native *dp, const struct packet *p, struct session *s,
				   bool same_way, json_t *stages, struct judge *j)
{
	struct packet first;
	struct judge again;
	enum rejudged judged = weft_slow_would_rejudge(&dp->node, s, &first, &again);

	switch (judged) {
	case REJUDGED_GOOD:
	case REJUDGED_WAITS:
		note(stages, "session", "next",
		     "the session is older than the policy: judged again, it goes on");
		return judged;
	case REJUDGED_REFUSED:
		if (!weft_slow_shares_refusal(s, p, same_way))
			break;
		refuse(j, stages, "session", again.why,
		       "the rules no longer permit this connection, in neither direction");
		return judged;
	case REJUDGED_CUT:
		break;
	}
	note(stages, "session", "next",
	     "the session is older than the policy, and does not hold: as a new flow");
	return REJUDGED_CUT;
}

static bool is_from(const struct native *dp, const struct session *s, const uint8_t *frame)
{
	const struct port_policy *in =
		native_policy(&dp->node, s->key.in_port, weft_vstore_epoch(dp->node.vs));

	return memcmp(frame + 6, s->eth_in + 6, 6) == 0 || (in != NULL && native_is_uplink(in));
}

static bool fits(const struct native *dp, const struct session *s, const struct packet *p,
		 size_t len)
{
	uint16_t hops = weft_session_flags(s) >> SESSION_HOPS_SHIFT;

	return hops == 0 ||
	       (p->ttl > hops &&
		len <= atomic_load(&dp->node.mtu[weft_session_out_port(s)]) + RTE_ETHER_HDR_LEN);
}

// What happens to a packet of a session before any stage is asked (weft_slow_carry). CARRIED: its
// fate is in *j.
static enum carried note_session(struct native *dp, const struct packet *p, const uint8_t *frame,
				 size_t len, struct session *s, json_t *stages, json_t *out_ports,
				 struct judge *j)
{
	bool same_way = memcmp(frame, s->eth_in, 6) == 0,
	     is_reply = weft_session_flags(s) & SESSION_REPLY;
	bool is_stale = weft_slow_is_stale(&dp->node, s);
	enum rejudged judged = REJUDGED_GOOD;
	enum drop why = DROP_NONE;

	if (!is_from(dp, s, frame) || (!same_way && (weft_session_flags(s) & SESSION_NAT) != 0)) {
		note(stages, "session", "next", "a session of this tuple has other MAC addresses");
		return NOT_CARRIED;
	}
	if (is_stale)
		judged = note_rejudged(dp, p, s, same_way, stages, j);
	if (judged == REJUDGED_CUT || judged == REJUDGED_REFUSED)
		return judged == REJUDGED_CUT ? NOT_CARRIED : CARRIED;
	if (is_reply && (is_stale || (weft_session_flags(s) & SESSION_SLOW) != 0))
		why = weft_slow_judge_replies(&dp->node, s);
	if (why != DROP_NONE) {
		refuse(j, stages, "session", why,
		       "a reply of a flow, and a stateless group judges this direction by itself");
		return CARRIED;
	}
	if (!same_way || judged == REJUDGED_WAITS || !fits(dp, s, p, len)) {
		note(stages, "session", "next",
		     "packet of an established flow, but not as it was: the stages find its way");
		return CARRY_BY_STAGES;
	}
	note(stages, "session", "forward",
	     is_reply ? "reply of an established flow" : "packet of an established flow");
	if (weft_session_flags(s) & SESSION_NAT)
		note_translation(s, stages);
	forward(dp, weft_session_out_port(s), stages, out_ports, j);
	return CARRIED;
}

// Returns why the last receiver does not get it, as the worker counts a packet that nobody gets.
static enum drop flood_receivers(struct native *dp, struct judge *j, json_t *stages,
				 json_t *out_ports)
{
	const uint16_t *ports;
	size_t n = weft_judge_receivers(j, &ports);
	enum drop last = j->if_nobody;

	for (size_t i = 0; i < n; i++) {
		const struct port_policy *out = native_policy(&dp->node, ports[i], j->epoch);
		enum drop why;

		if (out == NULL || out->index == j->in->index)
			continue;
		why = native_send_drop(native_port(&dp->node, ports[i]));
		if (why == DROP_PORT_DETACHED)
			continue;
		j->ingress_rule = NULL;
		if (why == DROP_NONE)
			why = weft_judge_receiver(j, out);
		last = why;
		json_array_append_new(stages,
				      json_pack("{s:s,s:s,s:s,s:s?}", "stage", "ingress", "verdict",
						why == DROP_NONE ? "forward" : "drop", "detail",
						why == DROP_NONE ? out->plan->id
								 : weft_drop_sentence(why),
						"rule", j->ingress_rule));
		if (why == DROP_NONE)
			json_array_append_new(out_ports, json_string(out->plan->id));
	}
	return last;
}

static const char *verdict_word(enum verdict v)
{
	switch (v) {
	case VERDICT_FORWARD:
		return "forward";
	case VERDICT_FLOOD:
		return "flood";
	case VERDICT_ANSWER:
		return "answer";
	case VERDICT_RESOLVE:
		return "resolve";
	case VERDICT_DROP:
		break;
	}
	return "drop";
}

// Would it go on if a packet came?
static bool holds(const struct native *dp, struct session *s)
{
	struct packet first;
	struct judge again;
	enum rejudged judged = REJUDGED_GOOD;

	if (weft_slow_is_stale(&dp->node, s))
		judged = weft_slow_would_rejudge(&dp->node, s, &first, &again);
	return judged == REJUDGED_GOOD || judged == REJUDGED_WAITS;
}

// A flow that is to be translated has the reply's key already, and is not about to give it up.
static bool is_taken(const struct native *dp, const struct judge *j)
{
	struct session *s;
	struct flow_key reply;

	weft_flow_reverse(&j->now, j->out->index, &reply);
	s = weft_session_get(dp->node.sessions, &reply, weft_flow_hash(&reply));
	return s != NULL && weft_session_state(weft_session_original(s)) != SESSION_CLOSING &&
	       holds(dp, s);
}

// What is translated needs a session: is it to be had, and with which port?
static void note_translation_of_new(struct native *dp, struct judge *j, json_t *stages)
{
	enum drop why = weft_slow_untranslatable(j);
	char detail[64];
	uint32_t n = 0;

	if (why != DROP_NONE || !weft_slow_needs_session(j)) {
		if (why != DROP_NONE)
			refuse(j, stages, "nat", why, weft_drop_sentence(why));
		return;
	}
	if (!j->pick_port) {
		if (is_taken(dp, j))
			refuse(j, stages, "nat", DROP_SESSION_CLASH,
			       weft_drop_sentence(DROP_SESSION_CLASH));
		return;
	}
	if (!weft_slow_find_port(dp->node.sessions, j, &n)) {
		refuse(j, stages, "nat", DROP_NAT_EXHAUSTED,
		       weft_drop_sentence(DROP_NAT_EXHAUSTED));
		return;
	}
	snprintf(detail, sizeof(detail), "source port %u is free", rte_be_to_cpu_16(j->now.sport));
	note(stages, "nat", "next", detail);
}

// flow: that permits it, and translates it so; NULL = none. quote: of an error about the flow.
static void run_stages(struct native *dp, const struct packet *p, const uint8_t *frame, size_t len,
		       const struct session *flow, const struct flow_key *binding,
		       const struct flow_key *quote, struct judge *j)
{
	json_t *stages = j->record;

	weft_judge_init(j, &dp->node, weft_vstore_epoch(dp->node.vs), p, frame, (uint32_t)len);
	j->record = stages;
	j->dont_fragment = p->key.family == 4 && (frame[20] & 0x40) != 0;
	j->verdict = VERDICT_DROP;
	j->why = DROP_PORT_DOWN;
	if (flow != NULL) {
		j->related_to = weft_session_out_port(flow);
		j->binding = weft_session_flags(flow) & SESSION_NAT ? binding : NULL;
		j->quote = weft_session_flags(flow) & SESSION_NAT ? quote : NULL;
	}
	if (j->in != NULL)
		weft_judge(j);
}

// live: the session that it belongs to. leaves: a copy of the frame; if it is forwarded, as it is
// then.
static void judge(struct native *dp, const struct packet *p, const uint8_t *frame, size_t len,
		  struct session *live, json_t *stages, json_t *out_ports, struct rte_mbuf *leaves,
		  struct judge *j)
{
	struct session *related = live != NULL ? NULL
					       : weft_session_related(dp->node.sessions, p, frame);
	struct flow_key binding, quote;
	enum drop last = DROP_NONE;

	if (related != NULL &&
	    ((weft_session_flags(related) & SESSION_SLOW) != 0 || !holds(dp, related)))
		related = NULL;
	if (related != NULL)
		weft_nat_error_leaves_as(related, p, &binding, &quote);
	else if (live != NULL)
		weft_nat_leaves_as(live, &binding);
	j->record = stages;
	run_stages(dp, p, frame, len, related != NULL ? related : live, &binding,
		   related != NULL ? &quote : NULL, j);
	if (weft_slow_leads_elsewhere(j)) {
		note(stages, "session", "next", "that flow does not lead there: as a new flow");
		run_stages(dp, p, frame, len, NULL, NULL, NULL, j);
	}
	if (j->verdict == VERDICT_FORWARD)
		note_translation_of_new(dp, j, stages);
	if (j->verdict == VERDICT_FORWARD && (j->hops > 0 || judge_translates(j)))
		weft_route_rewrite(leaves, j);
	j->binding = NULL;
	j->quote = NULL;
	if (j->verdict == VERDICT_FORWARD)
		forward(dp, j->out->index, stages, out_ports, j);
	else if (j->verdict == VERDICT_FLOOD)
		last = flood_receivers(dp, j, stages, out_ports);
	if (j->verdict == VERDICT_FLOOD && json_array_size(out_ports) == 0) {
		j->verdict = VERDICT_DROP;
		j->why = last == DROP_NONE ? j->if_nobody : last;
	}
}

// From the first look at it, as the slow path has it. Returns the session that it belongs to;
// NULL = none yet.
static struct session *process(struct native *dp, const struct packet *p, const uint8_t *frame,
			       size_t len, json_t *stages, json_t *out_ports,
			       struct rte_mbuf *leaves, struct judge *j)
{
	struct session *s = weft_slow_find(dp->node.sessions, p);
	enum carried carried = NOT_CARRIED;

	if (s == NULL)
		note(stages, "session", "next", "no session yet: a new flow");
	else if (len <= atomic_load(&dp->node.mtu[p->key.in_port]) + RTE_ETHER_HDR_LEN)
		carried = note_session(dp, p, frame, len, s, stages, out_ports, j);
	if (carried != CARRIED)
		judge(dp, p, frame, len, carried == CARRY_BY_STAGES ? s : NULL, stages, out_ports,
		      leaves, j);
	else if (j->verdict == VERDICT_FORWARD)
		weft_session_rewrite(leaves, s, p->l4);
	return carried == NOT_CARRIED ? NULL : s;
}

static void set_drop(json_t *out, enum drop why)
{
	json_object_set_new(out, "reason", json_string(weft_drop_word(why)));
	json_object_set_new(out, "sentence", json_string(weft_drop_sentence(why)));
}

// What an answer would meet that the packet's session, which is not there, lets back.
static json_t *reply_of_new(struct native *dp, const struct judge *j, struct rte_mbuf *answer,
			    const char *from)
{
	const uint8_t *frame = rte_pktmbuf_mtod(answer, const uint8_t *);
	json_t *out, *ports = json_array();
	struct packet p;
	char text[256];
	enum drop why;

	weft_packet_parse(frame, answer->data_len, answer->pkt_len, NATIVE_NO_PORT, &p);
	out = json_pack("{s:s,s:s,s:b}", "port", from, "packet",
			weft_packet_text(frame, answer->data_len, &p, text, sizeof(text)), "as_if",
			true);
	weft_trace_set_frame(out, answer);
	why = weft_trace_reply(j, answer);
	json_object_set_new(out, "verdict", json_string(why == DROP_NONE ? "forward" : "drop"));
	if (why == DROP_NONE)
		json_array_append_new(ports, json_string(port_id_of(dp, j->in->index)));
	else
		set_drop(out, why);
	json_object_set_new(out, "final", weft_trace_final(dp, answer, ports));
	json_object_set_new(out, "out_ports", ports);
	return out;
}

static json_t *trace_one(struct native *dp, const struct port *port, const uint8_t *frame,
			 size_t len, bool and_back);

// The way back of what went to one port. NULL: it has none.
static json_t *reply_of(struct native *dp, const struct judge *j, struct session *s,
			const struct rte_mbuf *leaves, const json_t *out_ports)
{
	const char *from = json_string_value(json_array_get(out_ports, 0));
	const struct port *port = from == NULL ? NULL : weft_tables_port(dp->tables, from);
	struct rte_mbuf answer;
	json_t *out = NULL;

	if (j->verdict != VERDICT_FORWARD || port == NULL ||
	    weft_trace_copy(&answer, rte_pktmbuf_mtod(leaves, const uint8_t *), leaves->data_len))
		return NULL;
	if (!weft_trace_answer(&answer)) {
		weft_trace_copy_fini(&answer);
		return NULL;
	}
	if (s != NULL) {
		out = trace_one(dp, port, rte_pktmbuf_mtod(&answer, const uint8_t *),
				answer.data_len, false);
		weft_trace_set_frame(out, &answer);
	} else if (s == NULL && weft_slow_makes_session(j)) {
		out = reply_of_new(dp, j, &answer, from);
	}
	weft_trace_copy_fini(&answer);
	return out;
}

// NULL: no memory.
static json_t *trace_one(struct native *dp, const struct port *port, const uint8_t *frame,
			 size_t len, bool and_back)
{
	struct judge j = {.verdict = VERDICT_DROP};
	json_t *stages, *out_ports, *out;
	struct session *s = NULL;
	struct rte_mbuf leaves;
	struct packet p;
	char text[256];

	if (len > UINT16_MAX || weft_trace_copy(&leaves, frame, len) != 0)
		return NULL;
	stages = json_array();
	out_ports = json_array();
	j.why = weft_packet_parse(frame, len, len, port->index, &p);
	if (j.why != DROP_NONE)
		note(stages, "parse", "drop", weft_drop_sentence(j.why));
	else
		s = process(dp, &p, frame, len, stages, out_ports, &leaves, &j);

	out = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "port", port->id, "packet",
			weft_packet_text(frame, len, &p, text, sizeof(text)), "verdict",
			verdict_word(j.verdict), "stages", stages, "out_ports", out_ports, "final",
			weft_trace_final(dp, &leaves, out_ports));
	if (j.verdict == VERDICT_DROP)
		set_drop(out, j.why);
	if (and_back)
		json_object_set_new(out, "reply",
				    reply_of(dp, &j, s, &leaves, out_ports) ?: json_null());
	weft_trace_copy_fini(&leaves);
	return out;
}

int weft_native_trace(struct native *dp, const char *port_id, const uint8_t *frame, size_t len,
		      json_t **out, struct err *err)
{
	const struct port *port = weft_tables_port(dp->tables, port_id);

	if (port == NULL)
		return weft_fail(err, -ENOENT, "port %s: not on this node", port_id);
	*out = trace_one(dp, port, frame, len, true);
	if (*out == NULL)
		return weft_fail(err, -ENOMEM, "no memory for a frame of %zu bytes", len);
	return 0;
}
