/* Calls a PKCS#11 module with random arguments that the standard allows: every pointer is NULL or points at as much memory
 * as its length says. The memory ends at a page that cannot be touched, so a byte too much ends the program.
 *
 *     random_calls MODULE SEED CALLS
 *
 * No call may answer CKR_GENERAL_ERROR, which is how the module tells of a panic. Needs a configuration whose user has to log
 * in: without that no server is asked. Prints how many calls of each function were answered with CKR_OK. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef unsigned long ulong;
typedef struct { ulong type; void *value; ulong length; } attribute;
typedef struct { ulong type; void *parameter; ulong length; } mechanism;

enum { PAGE = 4096, ROOMS = 64, GENERAL_ERROR = 5, SESSION_FLAGS = 6 };

static uint64_t state;

static ulong below(ulong limit) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (ulong)(state >> 11) % limit;
}

/* Rooms whose last byte is followed by a page without any rights. */
static unsigned char *rooms[ROOMS];
static int room;

static void make_rooms(void) {
    for (int i = 0; i < ROOMS; i++) {
        rooms[i] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (rooms[i] == MAP_FAILED || mprotect(rooms[i] + PAGE, PAGE, PROT_NONE)) exit(2);
    }
}

static void *bytes(ulong length) {
    unsigned char *place = rooms[room++ % ROOMS] + PAGE - length;
    for (ulong i = 0; i < length; i++) place[i] = (unsigned char)below(256);
    return place;
}

static void *copied(const void *from, ulong length) { return memcpy(bytes(length), from, length); }

static const ulong numbers[] = {0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 32, 48, 64, 65, 128, 255, 256, 1024, ~0ul, ~0ul >> 1, 1ul << 30};
#define ONE_OF(list) (list[below(sizeof list / sizeof *list)])

static const ulong types[] = {
    0x0, 0x1, 0x2, 0x3, 0x10, 0x11, 0x12, 0x80, 0x81, 0x82, 0x86, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107, 0x108,
    0x10A, 0x10C, 0x120, 0x121, 0x122, 0x123, 0x124, 0x125, 0x129, 0x161, 0x162, 0x163, 0x170, 0x180, 0x181, 0x61D, 0x40000600,
    0x80000001};
static const ulong mechanisms[] = {
    0x0, 0x1, 0x3, 0x6, 0x9, 0xD, 0xE, 0xF, 0x17, 0x1C, 0x1D, 0x40, 0x43, 0x220, 0x250, 0x251, 0x255, 0x260, 0x270, 0x350, 0x1040,
    0x1041, 0x1042, 0x1044, 0x1050, 0x1055, 0x1057, 0x1080, 0x1082, 0x1085, 0x1087, 0x108A, 0x2109, 0x210B, 0x80000001};
static const ulong classes[] = {1, 2, 3, 4};
static const ulong kinds[] = {0x0, 0x3, 0x10, 0x1F, 0x40, 0x41, 0x49, 0x4A};
static const unsigned char curves[][12] = {
    "\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", "\x07\x06\x05\x2b\x81\x04\x00\x22", "\x05\x06\x03\x2b\x65\x70"};

static void fill(attribute *one) {
    one->type = ONE_OF(types);
    switch (one->type) {
    case 0x0: one->value = copied(&ONE_OF(classes), one->length = sizeof(ulong)); return;
    case 0x100: one->value = copied(&ONE_OF(kinds), one->length = sizeof(ulong)); return;
    case 0x1: case 0x2: one->value = bytes(one->length = 1); return;
    case 0x180: {
        const unsigned char *curve = ONE_OF(curves);
        one->value = copied(curve + 1, one->length = curve[0]);
        return;
    }
    }
    one->length = below(4) ? below(80) : below(600);
    one->value = below(9) ? bytes(one->length) : NULL;
    if (!one->value && below(2)) one->length = 0;
}

static attribute number(ulong type, ulong value) {
    return (attribute){type, copied(&value, sizeof value), sizeof value};
}

static attribute some(ulong type, ulong length) { return (attribute){type, bytes(length), length}; }

/* What makes an object of this process: a secret, or a public key. */
static ulong begin_object(attribute *list) {
    unsigned char *point = bytes(67);
    switch (below(3)) {
    case 0: list[0] = number(0x0, 4); list[1] = number(0x100, 0x10); list[2] = some(0x11, below(70)); return 3;
    case 1: list[0] = number(0x0, 2); list[1] = number(0x100, 0); list[2] = some(0x120, below(300)); list[3] = some(0x122, below(5)); return 4;
    }
    point[0] = 4; point[1] = 65; point[2] = 4;
    list[0] = number(0x0, 2);
    list[1] = number(0x100, 3);
    list[2] = (attribute){0x180, copied(curves[0] + 1, 10), 10};
    list[3] = (attribute){0x181, point, 67};
    return 4;
}

static attribute *template(ulong *count) {
    attribute list[12];
    ulong more = below(8);
    *count = below(3) ? 0 : begin_object(list);
    if (*count && below(2)) more = 0;
    for (; more; more--) fill(&list[(*count)++]);
    return copied(list, *count * sizeof *list);
}

/* The parameters of PSS, OAEP, GCM, ECDH and contexts: numbers and pointers in turn; or any bytes. */
static mechanism *any_mechanism(void) {
    mechanism one = {ONE_OF(mechanisms), NULL, 0};
    if (below(3)) {
        ulong words[6], length = below(7);
        for (ulong i = 0; i < 6; i++) words[i] = below(2) ? ONE_OF(numbers) : ONE_OF(mechanisms);
        if (one.type == 0x9) { words[3] = 0; words[4] = below(40); words[3] = (ulong)bytes(words[4]); length = 5; }
        if (one.type == 0x1087) { words[1] = below(20); words[0] = (ulong)bytes(words[1]); words[4] = below(20); words[3] = (ulong)bytes(words[4]); length = 6; }
        if (one.type == 0x1050) { words[1] = 0; words[3] = below(140); words[4] = (ulong)bytes(words[3]); length = 5; }
        if (one.type == 0x1057 || one.type == 0x1D) { words[1] = below(30); words[2] = (ulong)bytes(words[1]); if (one.type == 0x1D) { words[2] = words[1]; words[1] = (ulong)bytes(words[2]); } length = 3; }
        one.length = length * sizeof(ulong);
        one.parameter = copied(words, one.length);
    } else if (below(2)) {
        static const ulong plain[] = {0x1082, 0x1085, 0x2109, 0x210B, 0x1, 0x250};
        one.type = ONE_OF(plain);
        one.parameter = bytes(one.length = below(40));
    }
    return below(20) ? copied(&one, sizeof one) : NULL;
}

static void *module;
static ulong session;
static struct { const char *name; ulong done; } counts[64];

static void count_done(const char *name) {
    int i = 0;
    while (counts[i].name && strcmp(counts[i].name, name)) i++;
    counts[i].name = name;
    counts[i].done++;
}

static ulong call(const char *name, ulong a, void *b, ulong c, void *d, ulong e, void *f, void *g, void *h) {
    ulong (*function)() = dlsym(module, name);
    if (!function) { fprintf(stderr, "no %s\n", name); exit(2); }
    ulong answer = function(a, b, c, d, e, f, g, h);
    if (answer == GENERAL_ERROR) { fprintf(stderr, "%s panicked\n", name); exit(1); }
    if (answer == 0) count_done(name);
    return answer;
}

static ulong some_handle(void) { return below(8) ? below(40) : ONE_OF(numbers); }
static ulong *a_number(void) { return below(15) ? copied(&(ulong){below(300)}, sizeof(ulong)) : NULL; }

/* Room for a result, as long as `length` says. */
static void *room_for(const ulong *length) { return length && below(4) ? bytes(*length) : NULL; }

static void use(void) {
    static const char *const inits[] = {"C_SignInit", "C_VerifyInit", "C_EncryptInit", "C_DecryptInit", "C_MessageEncryptInit", "C_MessageDecryptInit"};
    static const char *const whole[] = {"C_Sign", "C_Encrypt", "C_Decrypt", "C_Digest"};
    static const char *const parts[] = {"C_SignUpdate", "C_VerifyUpdate", "C_DigestUpdate"};
    static const char *const ends[] = {"C_SignFinal", "C_EncryptFinal", "C_DecryptFinal", "C_DigestFinal"};
    ulong length = below(300), *number = a_number();
    switch (below(7)) {
    case 0: call(ONE_OF(inits), session, any_mechanism(), some_handle(), 0, 0, 0, 0, 0); return;
    case 1: call("C_DigestInit", session, any_mechanism(), 0, 0, 0, 0, 0, 0); return;
    case 2: call(ONE_OF(whole), session, bytes(length), length, room_for(number), (ulong)number, 0, 0, 0); return;
    case 3: call(ONE_OF(parts), session, bytes(length), length, 0, 0, 0, 0, 0); return;
    case 4: call(ONE_OF(ends), session, room_for(number), (ulong)number, 0, 0, 0, 0, 0); return;
    case 5: { ulong signature = below(300); call("C_Verify", session, bytes(length), length, bytes(signature), signature, 0, 0, 0); return; }
    default: call("C_SessionCancel", session, (void *)below(1 << 18), 0, 0, 0, 0, 0, 0);
    }
}

static void manage(void) {
    ulong count, more, *number = a_number();
    attribute *given = template(&count), *other = template(&more);
    switch (below(9)) {
    case 0: case 1: call("C_CreateObject", session, given, count, number, 0, 0, 0, 0); return;
    case 2:
        for (ulong i = 0; i < count; i++) {
            given[i].length = below(200);
            given[i].value = below(3) ? bytes(given[i].length) : NULL;
        }
        call("C_GetAttributeValue", session, (void *)some_handle(), (ulong)given, (void *)count, 0, 0, 0, 0);
        return;
    case 3: call("C_SetAttributeValue", session, (void *)some_handle(), (ulong)given, (void *)count, 0, 0, 0, 0); return;
    case 4: call("C_FindObjectsInit", session, given, count, 0, 0, 0, 0, 0); return;
    case 5: call("C_FindObjects", session, bytes(64), 8, number, 0, 0, 0, 0); call("C_FindObjectsFinal", session, 0, 0, 0, 0, 0, 0, 0); return;
    case 6: call("C_DeriveKey", session, any_mechanism(), some_handle(), given, count, number, 0, 0); return;
    case 7: call("C_GenerateKeyPair", session, any_mechanism(), (ulong)given, (void *)count, (ulong)other, (void *)more, number, a_number()); return;
    default: { ulong wrapped = below(64); call("C_UnwrapKey", session, any_mechanism(), some_handle(), bytes(wrapped), wrapped, given, (void *)count, number); }
    }
}

int main(int argc, char **argv) {
    module = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!module) { fprintf(stderr, "random_calls MODULE SEED CALLS\n"); return 2; }
    state = strtoull(argv[2], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    make_rooms();
    if (call("C_Initialize", 0, 0, 0, 0, 0, 0, 0, 0)) return 2;
    if (call("C_OpenSession", 0, (void *)SESSION_FLAGS, 0, NULL, (ulong)&session, 0, 0, 0)) return 2;
    for (long left = atol(argv[3]); left > 0; left--) below(2) ? use() : manage();
    if (call("C_Finalize", 0, 0, 0, 0, 0, 0, 0, 0)) return 1;
    for (int i = 0; counts[i].name; i++) printf("%s %lu\n", counts[i].name, counts[i].done);
    return 0;
}
