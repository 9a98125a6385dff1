/* A revocation that one member acknowledges, and another member that answers from its memory
   (operations/freshness, storage/backends/etcd_watch). The watch may lag as long as it likes.

   -D NO_WAIT      the revocation is acknowledged at once.
   -D ASKED_AFTER  the time of a confirmation is taken after the majority was asked.
   -D NO_PROGRESS  a confirmation does not wait until the watch has reached the revision.
   -D KEEPS_LOADS  a record that was being read while an event came is kept in memory. */

#define T 2
#define END 7

byte now = 0;
byte revision = 0;             /* of the cluster; 1 is the revocation */
bool is_acknowledged = false;

byte seen = 0;                 /* the revision that the watch of the member has reached */
byte as_of = 0;                /* the time of its last confirmation */
bool is_cached = true;
bool is_loading = false;

active proctype Clock()
{
    do
    :: now < END -> now++
    :: now == END -> break
    od
}

active proctype Revoking()
{
    byte made;

    atomic { revision = 1; made = now };
#ifndef NO_WAIT
    now >= made + T;
#endif
    is_acknowledged = true
}

active proctype Watch()
{
    seen < revision ->
    atomic {
        seen = revision;
        is_cached = false;
#ifndef KEEPS_LOADS
        is_loading = false
#endif
    }
}

active proctype Confirming()
{
    byte asked, confirmed;

    do
    :: true ->
#ifdef ASKED_AFTER
        confirmed = revision;
        asked = now;
#else
        asked = now;
        confirmed = revision;
#endif
#ifndef NO_PROGRESS
        seen >= confirmed;
#endif
        as_of = asked
    od
}

active proctype Loading()
{
    bool is_valid;

    do
    :: !is_cached ->
        atomic { is_valid = (revision == 0); is_loading = true };
        atomic {
            if
            :: is_loading && is_valid -> is_cached = true
            :: else -> skip
            fi;
            is_loading = false
        }
    :: is_cached && revision == 0 -> is_cached = false    /* it makes room for others */
    od
}

active proctype Answering()
{
    do
    :: atomic { is_cached && now < as_of + T -> assert(!is_acknowledged) }
    od
}
