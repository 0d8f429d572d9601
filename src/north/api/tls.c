// SPDX-License-Identifier: Apache-2.0
#include "north/api/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define PEM_MAX	  (1u << 20)
#define CHAIN_MAX 16

static int read_pem(const char *what, const char *path, char **out, struct err *err)
{
	struct stat st;
	int ret = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		ret = weft_fail(err, -errno, "[api] %s = %s cannot be read: %s", what, path,
				strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > PEM_MAX) {
		ret = weft_fail(err, -EINVAL, "[api] %s = %s is not a PEM file", what, path);
	} else {
		*out = calloc(1, (size_t)st.st_size + 1);
		if (*out == NULL || read(fd, *out, (size_t)st.st_size) != st.st_size)
			ret = weft_fail(err, -EIO, "[api] %s = %s cannot be read", what, path);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static gnutls_datum_t datum(const char *pem)
{
	return (gnutls_datum_t) {.data = (void *)pem, .size = (unsigned)strlen(pem)};
}

// Does the key belong to the first certificate of the chain? RFC 8446 4.4.2: the server's own
// comes first.
static bool is_pair(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	unsigned char a[64], b[64];
	size_t a_len = sizeof(a), b_len = sizeof(b);

	return gnutls_x509_crt_get_key_id(crt, 0, a, &a_len) == 0 &&
	       gnutls_x509_privkey_get_key_id(key, 0, b, &b_len) == 0 && a_len == b_len &&
	       memcmp(a, b, a_len) == 0;
}

static int check_cert(const char *path, const char *pem, gnutls_x509_crt_t *chain, unsigned *n,
		      struct err *err)
{
	gnutls_datum_t d = datum(pem);
	int ret = gnutls_x509_crt_list_import(chain, n, &d, GNUTLS_X509_FMT_PEM, 0);

	if (ret < 0) {
		*n = 0;
		return weft_fail(err, -EINVAL, "[api] tls_cert = %s holds no PEM certificate: %s",
				 path, gnutls_strerror(ret));
	}
	if (gnutls_x509_crt_get_expiration_time(chain[0]) < time(NULL))
		weft_log_warning("[api] tls_cert = %s has expired: clients will refuse it", path);
	return 0;
}

static int check_key(const char *path, const char *pem, gnutls_x509_privkey_t key, struct err *err)
{
	gnutls_datum_t d = datum(pem);
	int ret = gnutls_x509_privkey_import2(key, &d, GNUTLS_X509_FMT_PEM, NULL, 0);

	if (ret == GNUTLS_E_DECRYPTION_FAILED)
		return weft_fail(err, -EINVAL,
				 "[api] tls_key = %s is encrypted: weftd cannot ask for a password",
				 path);
	if (ret < 0)
		return weft_fail(err, -EINVAL, "[api] tls_key = %s holds no PEM private key: %s",
				 path, gnutls_strerror(ret));
	return 0;
}

static int check(const char *cert_path, const char *key_path, const struct tls_files *t,
		 struct err *err)
{
	gnutls_x509_crt_t chain[CHAIN_MAX];
	gnutls_x509_privkey_t key;
	unsigned n = CHAIN_MAX;
	int ret;

	if (gnutls_x509_privkey_init(&key) < 0)
		return weft_fail(err, -ENOMEM, "[api] tls_key = %s: out of memory", key_path);
	ret = check_cert(cert_path, t->cert, chain, &n, err);
	if (ret == 0)
		ret = check_key(key_path, t->key, key, err);
	if (ret == 0 && !is_pair(chain[0], key))
		ret = weft_fail(
			err, -EINVAL,
			"[api] tls_key = %s is not the key of the certificate in tls_cert = %s",
			key_path, cert_path);
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_x509_privkey_deinit(key);
	return ret;
}

int weft_tls_load(const char *cert_path, const char *key_path, struct tls_files *out,
		  struct err *err)
{
	struct tls_files t = {0};
	int ret = read_pem("tls_cert", cert_path, &t.cert, err);

	if (ret == 0)
		ret = read_pem("tls_key", key_path, &t.key, err);
	if (ret == 0)
		ret = check(cert_path, key_path, &t, err);
	if (ret < 0) {
		weft_tls_fini(&t);
		return ret;
	}
	*out = t;
	return 0;
}

void weft_tls_fini(struct tls_files *t)
{
	if (t->key != NULL)
		explicit_bzero(t->key, strlen(t->key));
	free(t->key);
	free(t->cert);
	*t = (struct tls_files) {0};
}
