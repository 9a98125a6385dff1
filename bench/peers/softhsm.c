/* Signatures a second of a PKCS#11 module with a token object, by a caller who finds the key once.
 *
 *     softhsm MODULE PIN TYPE THREADS SECONDS
 *
 * TYPE is EC_P256, EC_P256K1, Curve25519, RSA-2048 or RSA-4096. The key is made when the token has
 * none of that label. Each thread has a session of its own. Prints signatures a second, the median time of a
 * signature, and its CPU time, both in microseconds.
 * What is used of PKCS#11 (OASIS, v2.40 and v3.0 for EdDSA) is declared here. */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* How long the first signatures of a thread took, in seconds. */
enum { MOST_TIMES = 1 << 17, MOST_THREADS = 64 };
struct work { ulong done; double *times; };

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void *run(void *given) {
    struct work *work = given;
    ulong in = session(), key = find_key(in), done = 0;
    mechanism signing = {kind->signing, NULL, 0};
    unsigned char input[64] = {0}, output[1024];
    double before = now(), until = before + seconds;
    for (double after; before < until; done++, before = after) {
        ulong length = sizeof output;
        check(sign_init(in, &signing, key), "C_SignInit");
        check(sign(in, input, kind->input, output, &length), "C_Sign");
        after = now();
        if (done < MOST_TIMES) work->times[done] = after - before;
    }
    work->done = done;
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

    pthread_t running[MOST_THREADS];
    struct work works[MOST_THREADS];
    if (threads < 1 || threads > MOST_THREADS) return 2;
    double *times = malloc(threads * MOST_TIMES * sizeof *times), began = now(), cpu = cpu_seconds();
    for (int i = 0; i < threads; i++) {
        works[i].times = malloc(MOST_TIMES * sizeof *times);
        pthread_create(&running[i], NULL, run, &works[i]);
    }
    ulong total = 0, timed = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
        ulong some = works[i].done < MOST_TIMES ? works[i].done : MOST_TIMES;
        memcpy(times + timed, works[i].times, some * sizeof *times);
        free(works[i].times);
        timed += some;
        total += works[i].done;
    }
    if (!total) return 2;
    double rate = total / (now() - began);
    cpu = cpu_seconds() - cpu;
    qsort(times, timed, sizeof *times, by_size);
    printf("%.1f %.1f %.1f\n", rate, times[timed / 2] * 1e6, cpu * 1e6 / total);
    free(times);
    return 0;
}
