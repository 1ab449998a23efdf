// A PKCS#11 module that stands before another, whose path is in SHIM_MODULE, and misbehaves where the plaintext to encrypt
// says so. For softhsm_test.go.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ck;

// CK_FUNCTION_LIST: a version, then the functions in the order of pkcs11f.h.
struct list {
	unsigned char version[2];
	void *f[68];
};
enum { ENCRYPT = 30 };

static struct list ours;
static ck (*encrypt)(ck, unsigned char *, ck, unsigned char *, ck *);

static int says(const char *word, const unsigned char *data, ck len) {
	return len == strlen(word) && memcmp(data, word, len) == 0;
}

static ck misbehave(ck session, unsigned char *data, ck len, unsigned char *out, ck *outlen) {
	if (says("crash", data, len))
		*(volatile int *)16 = 1;
	if (says("abort", data, len))
		abort();
	if (says("hang", data, len))
		for (;;)
			pause();
	if (says("exit", data, len))
		exit(0);
	if (says("smash", data, len)) {
		for (volatile char *p = (char *)&session;; p++)
			*p = 0x41;
	}
	if (says("print", data, len)) {
		printf("a module that talks too much\n");
		fflush(stdout);
		if (write(1, "to stdout", 9) != 9)
			return 6;
	}
	if (says("read", data, len)) {
		char buf[100];
		if (read(0, buf, sizeof buf) != 0) // must be at its end
			return 6;
	}
	return encrypt(session, data, len, out, outlen);
}

ck C_GetFunctionList(struct list **l) {
	void *module = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
	if (!module)
		return 5;
	ck (*get)(struct list **) = (ck (*)(struct list **))dlsym(module, "C_GetFunctionList");
	struct list *theirs;
	if (!get || get(&theirs))
		return 5;
	ours = *theirs;
	encrypt = (ck (*)(ck, unsigned char *, ck, unsigned char *, ck *))ours.f[ENCRYPT];
	ours.f[ENCRYPT] = (void *)misbehave;
	*l = &ours;
	return 0;
}
