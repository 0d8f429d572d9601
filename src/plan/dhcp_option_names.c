// SPDX-License-Identifier: Apache-2.0
#include "plan/dhcp_option_names.h"

#include <stddef.h>
#include <strings.h>

static const struct dhcp_option_name options[] = {
	{"netmask", 1, FORM_IPS},
	{"time-offset", 2, FORM_S32},
	{"router", 3, FORM_IPS},
	{"dns-server", 6, FORM_IPS},
	{"log-server", 7, FORM_IPS},
	{"lpr-server", 9, FORM_IPS},
	{"boot-file-size", 13, FORM_U16},
	{"domain-name", 15, FORM_TEXT},
	{"swap-server", 16, FORM_IPS},
	{"root-path", 17, FORM_TEXT},
	{"extension-path", 18, FORM_TEXT},
	{"ip-forward-enable", 19, FORM_U8},
	{"non-local-source-routing", 20, FORM_U8},
	{"policy-filter", 21, FORM_IPS},
	{"max-datagram-reassembly", 22, FORM_U16},
	{"default-ttl", 23, FORM_U8},
	{"mtu", 26, FORM_U16},
	{"interface-mtu", 26, FORM_U16},
	{"all-subnets-local", 27, FORM_U8},
	{"broadcast", 28, FORM_IPS},
	{"router-discovery", 31, FORM_U8},
	{"router-solicitation", 32, FORM_IPS},
	{"static-route", 33, FORM_IPS},
	{"trailer-encapsulation", 34, FORM_U8},
	{"arp-timeout", 35, FORM_U32},
	{"ethernet-encap", 36, FORM_U8},
	{"tcp-ttl", 37, FORM_U8},
	{"tcp-keepalive", 38, FORM_U32},
	{"nis-domain", 40, FORM_TEXT},
	{"nis-server", 41, FORM_IPS},
	{"ntp-server", 42, FORM_IPS},
	{"netbios-ns", 44, FORM_IPS},
	{"netbios-name-server", 44, FORM_IPS},
	{"netbios-dd", 45, FORM_IPS},
	{"netbios-nodetype", 46, FORM_U8},
	{"netbios-scope", 47, FORM_GUESS},
	{"x-windows-fs", 48, FORM_IPS},
	{"x-windows-dm", 49, FORM_IPS},
	{"lease-time", 51, FORM_TIME},
	{"T1", 58, FORM_TIME},
	{"T2", 59, FORM_TIME},
	{"vendor-class", 60, FORM_GUESS},
	{"nis+-domain", 64, FORM_TEXT},
	{"nis+-server", 65, FORM_IPS},
	{"tftp-server", 66, FORM_TEXT},
	{"bootfile-name", 67, FORM_TEXT},
	{"mobile-ip-home", 68, FORM_IPS},
	{"smtp-server", 69, FORM_IPS},
	{"pop3-server", 70, FORM_IPS},
	{"nntp-server", 71, FORM_IPS},
	{"irc-server", 74, FORM_IPS},
	{"user-class", 77, FORM_GUESS},
	{"rapid-commit", 80, FORM_GUESS},
	{"client-arch", 93, FORM_U16},
	{"client-interface-id", 94, FORM_GUESS},
	{"client-machine-id", 97, FORM_GUESS},
	{"posix-timezone", 100, FORM_TEXT},
	{"tzdb-timezone", 101, FORM_TEXT},
	{"ipv6-only", 108, FORM_U32},
	{"domain-search", 119, FORM_NAMES},
	{"sip-server", 120, FORM_SIP},
	{"classless-static-route", 121, FORM_ROUTES},
	{"vendor-id-encap", 125, FORM_GUESS},
	{"tftp-server-address", 150, FORM_IPS},
	// dnsmasq puts it into siaddr; as an option it is what PXE firmware asks for instead.
	{"server-ip-address", 150, FORM_IPS},
	{"path-prefix", 210, FORM_TEXT},
	{"wpad", 252, FORM_TEXT},
};

static const struct dhcp_option_name options6[] = {
	{"sip-server-domain", 21, FORM_NAMES}, {"sip-server", 22, FORM_IPS},
	{"dns-server", 23, FORM_IPS},	       {"domain-search", 24, FORM_NAMES},
	{"nis-server", 27, FORM_IPS},	       {"nis+-server", 28, FORM_IPS},
	{"nis-domain", 29, FORM_NAMES},	       {"nis+-domain", 30, FORM_NAMES},
	{"sntp-server", 31, FORM_IPS},	       {"information-refresh-time", 32, FORM_TIME},
	{"posix-timezone", 41, FORM_TEXT},     {"tzdb-timezone", 42, FORM_TEXT},
	{"ntp-server", 56, FORM_NTP6},	       {"bootfile-url", 59, FORM_TEXT},
	{"bootfile-param", 60, FORM_PARAMS},
};

const struct dhcp_option_name *weft_dhcp_option_name(uint8_t family, const char *name, uint8_t code)
{
	const struct dhcp_option_name *all = family == 4 ? options : options6;
	size_t n = family == 4 ? sizeof(options) / sizeof(*all) : sizeof(options6) / sizeof(*all);

	for (size_t i = 0; i < n; i++) {
		const struct dhcp_option_name *k = &all[i];

		if (name == NULL ? k->code == code : strcasecmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}
