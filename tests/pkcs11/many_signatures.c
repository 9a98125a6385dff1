/* Makes signatures with the EC_P256 key of a PKCS#11 module in ten rounds, and prints after each how many KiB of the process
 * are in memory. Each round has threads and sessions of its own.
 *
 *     many_signatures MODULE THREADS SIGNATURES */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef struct { ulong type; void *parameter; ulong length; } mechanism;
typedef struct { void *unused[4]; ulong flags; void *reserved; } arguments;

enum { ROUNDS = 10, MOST_THREADS = 64, OS_LOCKING = 2, SERIAL_SESSION = 4, CLASS = 0, LABEL = 3, PRIVATE_KEY = 3, ECDSA = 0x1041 };

static ulong (*initialize)(arguments *), (*finalize)(void *), (*open_session)(ulong, ulong, void *, void *, ulong *);
static ulong (*close_session)(ulong), (*find_init)(ulong, attribute *, ulong), (*find)(ulong, ulong *, ulong, ulong *);
static ulong (*find_final)(ulong), (*sign_init)(ulong, mechanism *, ulong), (*sign)(ulong, void *, ulong, void *, ulong *);

static void check(ulong status, const char *what) {
    if (status) { fprintf(stderr, "many_signatures: %s: 0x%lx\n", what, status); exit(1); }
}

static ulong find_key(ulong session) {
    ulong class = PRIVATE_KEY, key, found;
    attribute wanted[] = {{CLASS, &class, sizeof class}, {LABEL, "the EC_P256", 11}};
    check(find_init(session, wanted, 2), "C_FindObjectsInit");
    check(find(session, &key, 1, &found), "C_FindObjects");
    check(find_final(session), "C_FindObjectsFinal");
    check(found != 1, "no key");
    return key;
}

static void *sign_many(void *given) {
    ulong left = *(ulong *)given, session, length;
    mechanism signing = {ECDSA, NULL, 0};
    unsigned char hash[32] = {0}, signature[64];
    check(open_session(0, SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
    for (ulong key = find_key(session); left; left--) {
        length = sizeof signature;
        check(sign_init(session, &signing, key), "C_SignInit");
        check(sign(session, hash, sizeof hash, signature, &length), "C_Sign");
    }
    check(close_session(session), "C_CloseSession");
    return NULL;
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1) exit(2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

#define LOAD(pointer, name) (*(void **)&(pointer) = dlsym(module, name))

int main(int argc, char **argv) {
    void *module = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
    int threads = module ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > MOST_THREADS) { fprintf(stderr, "many_signatures MODULE THREADS SIGNATURES\n"); return 2; }
    LOAD(initialize, "C_Initialize"); LOAD(finalize, "C_Finalize"); LOAD(open_session, "C_OpenSession");
    LOAD(close_session, "C_CloseSession"); LOAD(find_init, "C_FindObjectsInit"); LOAD(find, "C_FindObjects");
    LOAD(find_final, "C_FindObjectsFinal"); LOAD(sign_init, "C_SignInit"); LOAD(sign, "C_Sign");
    check(initialize(&(arguments){{NULL}, OS_LOCKING, NULL}), "C_Initialize");
    ulong each = strtoul(argv[3], NULL, 10) / ROUNDS / threads;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t running[MOST_THREADS];
        for (int i = 0; i < threads; i++) check(pthread_create(&running[i], NULL, sign_many, &each), "pthread_create");
        for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
        printf("%ld\n", resident_kib());
        fflush(stdout);
    }
    check(finalize(NULL), "C_Finalize");
    return 0;
}
