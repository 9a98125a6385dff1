/* Finds all private keys of a PKCS#11 module's first slot, and reads the ID, label, type and usage of each.
 *
 *     find_keys MODULE PIN
 *
 * Prints how many there are, and how many seconds that took, from C_FindObjectsInit to the last C_GetAttributeValue. */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef struct { void *unused[4]; ulong flags; void *reserved; } arguments;

enum { OS_LOCKING = 2, SERIAL_SESSION = 4, USER = 1, CLASS = 0, LABEL = 3, KEY_TYPE = 0x100, ID = 0x102, SIGN = 0x108, PRIVATE_KEY = 3 };
enum { AT_ONCE = 100 };

static ulong (*initialize)(arguments *), (*slots)(char, ulong *, ulong *), (*open_session)(ulong, ulong, void *, void *, ulong *);
static ulong (*login)(ulong, ulong, char *, ulong), (*find_init)(ulong, attribute *, ulong);
static ulong (*find)(ulong, ulong *, ulong, ulong *), (*get_values)(ulong, ulong, attribute *, ulong);

static void check(ulong status, const char *what) {
    if (status) { fprintf(stderr, "find_keys: %s: 0x%lx\n", what, status); exit(1); }
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void read_key(ulong session, ulong key) {
    ulong type;
    char id[128], label[128], signs;
    attribute wanted[] = {{ID, id, sizeof id}, {LABEL, label, sizeof label}, {KEY_TYPE, &type, sizeof type}, {SIGN, &signs, 1}};
    check(get_values(session, key, wanted, 4), "C_GetAttributeValue");
}

#define LOAD(pointer, name) (*(void **)&(pointer) = dlsym(module, name))

int main(int argc, char **argv) {
    void *module = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!module) { fprintf(stderr, "find_keys MODULE PIN\n"); return 2; }
    LOAD(initialize, "C_Initialize"); LOAD(slots, "C_GetSlotList"); LOAD(open_session, "C_OpenSession"); LOAD(login, "C_Login");
    LOAD(find_init, "C_FindObjectsInit"); LOAD(find, "C_FindObjects"); LOAD(get_values, "C_GetAttributeValue");
    ulong slot, one = 1, session, class = PRIVATE_KEY, keys[AT_ONCE], found, all = 0;
    attribute private[] = {{CLASS, &class, sizeof class}};
    check(initialize(&(arguments){{NULL}, OS_LOCKING, NULL}), "C_Initialize");
    check(slots(1, &slot, &one), "C_GetSlotList");
    check(open_session(slot, SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
    check(login(session, USER, argv[2], strlen(argv[2])), "C_Login");
    double began = now();
    check(find_init(session, private, 1), "C_FindObjectsInit");
    do {
        check(find(session, keys, AT_ONCE, &found), "C_FindObjects");
        for (ulong i = 0; i < found; i++) read_key(session, keys[i]);
        all += found;
    } while (found);
    printf("%lu %f\n", all, now() - began);
    return 0;
}
