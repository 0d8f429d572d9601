// SPDX-License-Identifier: Apache-2.0
// Rules: the security groups of the sender (egress) and of the receiver (ingress).
//
// A port's groups are a union: one permitting rule of any of them is enough. A port without port
// security has none and permits everything; a port with port security and no group permits
// nothing but base services.
#include "datapath/native/judge/judge.h"
#include "datapath/frames/numbers.h"

// A port's groups are all stateful or all stateless; a port without groups answers nobody anyway.
static bool is_stateful(const struct judge *j, const struct port_policy *p)
{
	const struct rules *r;

	if (p->n_rule_sets == 0)
		return true;
	r = weft_vslot_value(p->rule_sets[0], j->epoch);
	return r == NULL || weft_rules_stateful(r);
}

bool weft_judge_tracks(const struct judge *j, const struct port_policy *p)
{
	return p->plan->filtered && is_stateful(j, p);
}

// The sender's groups see what it sent, the receiver's what it gets.
static void query_of(const struct judge *j, enum plan_direction direction, struct rule_query *q)
{
	const struct packet *p = j->pkt;
	const struct flow_key *k = direction == PLAN_EGRESS ? &p->key : &j->now;
	bool v4 = k->family == 4;

	*q = (struct rule_query) {
		.direction = direction,
		.family = k->family,
		.proto = k->proto,
		.has_l4 = p->fragment != FRAGMENT_LATER || p->first_known,
		.port = rte_be_to_cpu_16(k->dport),
		.icmp_type = p->icmp_type,
		.icmp_code = p->icmp_code,
	};
	if (direction == PLAN_EGRESS)
		q->remote = v4 ? (const void *)&k->dst4 : k->dst6;
	else
		q->remote = v4 ? (const void *)&k->src4 : k->src6;
}

const char *weft_rules_of_port(const struct judge *j, const struct port_policy *p,
			       const struct rule_query *q)
{
	for (size_t i = 0; i < p->n_rule_sets; i++) {
		const struct rules *r = weft_vslot_value(p->rule_sets[i], j->epoch);
		const char *rule = r == NULL ? NULL
					     : weft_rules_permit(r, j->node->sets, j->epoch, q);

		if (rule != NULL)
			return rule;
	}
	return NULL;
}

// A stateful group judges connections, so what cannot open one is not a matter of rules.
static enum drop check_tcp(const struct judge *j)
{
	if (j->pkt->key.proto != PROTO_TCP || j->rejudge || j->pkt->fragment == FRAGMENT_LATER)
		return DROP_NONE;
	return weft_tcp_may_open(j->pkt->tcp_flags, j->node->config.tcp_loose);
}

static enum drop check_rules(struct judge *j, const struct port_policy *p,
			     enum plan_direction direction, const char **rule)
{
	bool egress = direction == PLAN_EGRESS;
	struct rule_query q;

	*rule = NULL;
	if (j->pkt->kind != PACKET_IP)
		return DROP_ETHERTYPE;
	if (weft_judge_tracks(j, p)) {
		enum drop why = check_tcp(j);

		if (why != DROP_NONE)
			return why;
	}
	query_of(j, direction, &q);
	*rule = weft_rules_of_port(j, p, &q);
	if (*rule != NULL)
		return DROP_NONE;
	if (j->pkt->icmp_error && weft_judge_tracks(j, p))
		return DROP_ICMP_UNRELATED;
	return egress ? DROP_EGRESS_RULES : DROP_INGRESS_RULES;
}

enum stage_result weft_stage_egress(struct judge *j)
{
	bool service = j->base_service || j->asks_server;
	enum drop why;

	if (!j->in->plan->filtered || service || j->related_to != NATIVE_NO_PORT) {
		weft_judge_note(j, "egress", "next", NULL,
				!j->in->plan->filtered ? "port security is off"
				: service	       ? "a base service needs no rule"
						       : "related to a permitted flow");
		return STAGE_NEXT;
	}
	why = check_rules(j, j->in, PLAN_EGRESS, &j->egress_rule);
	if (why != DROP_NONE)
		return judge_drop(j, why);
	weft_judge_note(j, "egress", "next", j->egress_rule, "permitted by rule %s",
			j->egress_rule);
	return STAGE_NEXT;
}

enum drop weft_judge_receiver(struct judge *j, const struct port_policy *out)
{
	if (!out->plan->admin_up)
		return DROP_PORT_DOWN;
	if (!out->plan->filtered)
		return DROP_NONE;
	if (j->flood == FLOOD_ASKED && !weft_port_may_have(out, &j->asked))
		return j->if_nobody;
	if (j->base_service)
		return DROP_NONE;
	return check_rules(j, out, PLAN_INGRESS, &j->ingress_rule);
}

enum stage_result weft_stage_ingress(struct judge *j)
{
	bool related = j->related_to == j->out->index;
	enum drop why = DROP_NONE;

	// It was let out for the sake of another port's flow.
	if (j->related_to != NATIVE_NO_PORT && !related && j->in->plan->filtered &&
	    !j->base_service)
		why = check_rules(j, j->in, PLAN_EGRESS, &j->egress_rule);
	if (why == DROP_NONE && (!related || !j->out->plan->admin_up))
		why = weft_judge_receiver(j, j->out);

	if (why != DROP_NONE)
		return judge_drop(j, why);
	if (j->ingress_rule != NULL)
		weft_judge_note(j, "ingress", "forward", j->ingress_rule,
				"port %s: permitted by rule %s", j->out->plan->id, j->ingress_rule);
	else
		weft_judge_note(j, "ingress", "forward", NULL, "port %s: %s", j->out->plan->id,
				!j->out->plan->filtered ? "port security is off"
				: related		? "related to a permitted flow"
							: "a base service needs no rule");
	j->verdict = VERDICT_FORWARD;
	return STAGE_DONE;
}

// Stateless groups judge each direction by its own rules; the tuple of the reply is the mirrored
// one.
static enum drop stateless_reply(const struct judge *j, const struct port_policy *p,
				 enum plan_direction direction, const struct flow_key *reply)
{
	bool v4 = reply->family == 4;
	bool icmp = reply->proto == 1 || reply->proto == 58;
	uint16_t dport = rte_be_to_cpu_16(reply->dport);
	struct rule_query q = {
		.direction = direction,
		.family = reply->family,
		.proto = reply->proto,
		.has_l4 = true,
		.port = dport,
		.icmp_type = icmp ? dport >> 8 : 0,
		.icmp_code = icmp ? dport & 0xff : 0,
	};

	if (!p->plan->filtered || is_stateful(j, p))
		return DROP_NONE;
	if (direction == PLAN_EGRESS)
		q.remote = v4 ? (const void *)&reply->dst4 : reply->dst6;
	else
		q.remote = v4 ? (const void *)&reply->src4 : reply->src6;
	if (weft_rules_of_port(j, p, &q) != NULL)
		return DROP_NONE;
	return direction == PLAN_EGRESS ? DROP_EGRESS_RULES : DROP_INGRESS_RULES;
}

enum drop weft_judge_reply(const struct judge *j)
{
	const struct flow_key *k = &j->now;
	struct flow_key sent, got; // the reply as the receiver sends it, and as the sender gets it
	enum drop why;

	if (!weft_flow_reverse(k, j->out->index, &sent) ||
	    !weft_flow_reverse(&j->pkt->key, j->out->index, &got))
		return DROP_INTERNAL;
	// The replies come from where the packet goes; that port must own the address.
	if (j->out->plan->filtered &&
	    !weft_pair_allowed(j->out, j->eth_out, k->family,
			       k->family == 4 ? (const void *)&k->dst4 : k->dst6))
		return DROP_SPOOF_IP;
	why = stateless_reply(j, j->out, PLAN_EGRESS, &sent);
	return why != DROP_NONE ? why : stateless_reply(j, j->in, PLAN_INGRESS, &got);
}
