/* Signatures a second of a PKCS#11 module with a token object, by a caller who finds the key once.
 *
 *     softhsm MODULE PIN TYPE THREADS SECONDS
 *
 * TYPE is EC_P256, EC_P256K1, Curve25519, RSA-2048 or RSA-4096. The key is made when the token has
 * none of that label. Each thread has a session of its own. Prints signatures a second.
 * What is used of PKCS#11 (OASIS, v2.40 and v3.0 for EdDSA) is declared here. */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef struct { ulong type; void *parameter; ulong length; } mechanism;
typedef struct { void *unused[4]; ulong flags; void *reserved; } arguments;

enum { OS_LOCKING = 2, RW_SESSION = 2, SERIAL_SESSION = 4, USER = 1 };
enum { CLASS = 0, TOKEN = 1, LABEL = 3, SIGN = 0x108, MODULUS_BITS = 0x121, EC_PARAMS = 0x180 };
enum { PRIVATE_KEY = 3 };
enum { RSA_KEYS = 0, RSA_PKCS = 1, EC_KEYS = 0x1040, ECDSA = 0x1041, EDWARDS_KEYS = 0x1055, EDDSA = 0x1057 };

static ulong (*initialize)(arguments *), (*slots)(char, ulong *, ulong *), (*find_final)(ulong);
static ulong (*open_session)(ulong, ulong, void *, void *, ulong *), (*login)(ulong, ulong, char *, ulong);
static ulong (*find_init)(ulong, attribute *, ulong), (*find)(ulong, ulong *, ulong, ulong *);
static ulong (*generate)(ulong, mechanism *, attribute *, ulong, attribute *, ulong, ulong *, ulong *);
static ulong (*sign_init)(ulong, mechanism *, ulong), (*sign)(ulong, void *, ulong, void *, ulong *);

static struct kind {
    const char *name; ulong making, signing, bits; const char *curve; ulong curve_length; ulong input;
} kinds[] = {
    {"EC_P256", EC_KEYS, ECDSA, 0, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, 32},
    {"EC_P256K1", EC_KEYS, ECDSA, 0, "\x06\x05\x2b\x81\x04\x00\x0a", 7, 32},
    {"Curve25519", EDWARDS_KEYS, EDDSA, 0, "\x06\x03\x2b\x65\x70", 5, 32},
    {"RSA-2048", RSA_KEYS, RSA_PKCS, 2048, NULL, 0, 51},
    {"RSA-4096", RSA_KEYS, RSA_PKCS, 4096, NULL, 0, 51},
};

static struct kind *kind;
static ulong slot;
static double seconds;

static void check(ulong status, const char *what) {
    if (status) { fprintf(stderr, "softhsm: %s: 0x%lx\n", what, status); exit(1); }
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static ulong session(void) {
    ulong opened;
    check(open_session(slot, RW_SESSION | SERIAL_SESSION, NULL, NULL, &opened), "C_OpenSession");
    return opened;
}

static ulong find_key(ulong in) {
    ulong class = PRIVATE_KEY, key, found;
    attribute wanted[] = {{CLASS, &class, sizeof class}, {LABEL, (void *)kind->name, strlen(kind->name)}};
    check(find_init(in, wanted, 2), "C_FindObjectsInit");
    check(find(in, &key, 1, &found), "C_FindObjects");
    check(find_final(in), "C_FindObjectsFinal");
    return found ? key : 0;
}

static void make_key(ulong in) {
    char yes = 1;
    ulong public, private, bits = kind->bits;
    mechanism making = {kind->making, NULL, 0};
    attribute of_public[] = {{TOKEN, &yes, 1}, {EC_PARAMS, (void *)kind->curve, kind->curve_length}};
    if (bits) of_public[1] = (attribute){MODULUS_BITS, &bits, sizeof bits};
    attribute of_private[] = {{TOKEN, &yes, 1}, {SIGN, &yes, 1}, {LABEL, (void *)kind->name, strlen(kind->name)}};
    check(generate(in, &making, of_public, 2, of_private, 3, &public, &private), "C_GenerateKeyPair");
}

static void *run(void *count) {
    ulong in = session(), key = find_key(in), done = 0;
    mechanism signing = {kind->signing, NULL, 0};
    unsigned char input[64] = {0}, output[1024];
    for (double until = now() + seconds; now() < until; done++) {
        ulong length = sizeof output;
        check(sign_init(in, &signing, key), "C_SignInit");
        check(sign(in, input, kind->input, output, &length), "C_Sign");
    }
    *(ulong *)count = done;
    return NULL;
}

#define LOAD(pointer, name) (*(void **)&(pointer) = dlsym(module, name))

int main(int argc, char **argv) {
    void *module = argc == 6 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!module) { fprintf(stderr, "softhsm: cannot load the module\n"); return 2; }
    LOAD(initialize, "C_Initialize"); LOAD(slots, "C_GetSlotList"); LOAD(open_session, "C_OpenSession");
    LOAD(login, "C_Login"); LOAD(find_init, "C_FindObjectsInit"); LOAD(find, "C_FindObjects");
    LOAD(find_final, "C_FindObjectsFinal"); LOAD(generate, "C_GenerateKeyPair");
    LOAD(sign_init, "C_SignInit"); LOAD(sign, "C_Sign");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, argv[3])) kind = &kinds[i];
    if (!kind) { fprintf(stderr, "softhsm: no such type\n"); return 2; }
    int threads = atoi(argv[4]);
    seconds = atof(argv[5]);

    arguments locking = {{NULL}, OS_LOCKING, NULL};
    ulong present[8], number = 8;
    check(initialize(&locking), "C_Initialize");
    check(slots(1, present, &number), "C_GetSlotList");
    slot = present[0];
    ulong first = session();
    check(login(first, USER, argv[2], strlen(argv[2])), "C_Login");
    if (!find_key(first)) make_key(first);

    pthread_t running[64];
    ulong counts[64], total = 0;
    if (threads < 1 || threads > 64) return 2;
    double began = now();
    for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, run, &counts[i]);
    for (int i = 0; i < threads; i++) { pthread_join(running[i], NULL); total += counts[i]; }
    printf("%.1f\n", total / (now() - began));
    return 0;
}
