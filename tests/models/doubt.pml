/* A commit of which etcd gives no answer (storage/backends/etcd_writer). The network may lose a
   transaction, or deliver it at any time later, after others. The device tries again, so the same
   change must not be made twice; and what it calls made must be made.

   -D NO_FENCE  etcd does not compare the fence.
   -D NO_LAST   the device does not read what was made before it tries again. */

#define TRIES 3
#define TOKEN 1

byte fence = 0;    /* the revision of /fence */
byte last = 0;     /* the token in /last */
byte made = 0;     /* how often the change was made */
bool is_told = false;

chan network = [TRIES] of { byte };    /* transactions under way: the fence that each expects */
chan answers = [TRIES] of { byte };    /* what etcd has answered: the fence of the transaction */

active proctype Etcd()
{
    byte expected;

    do
    :: network ? expected ->           /* it arrives */
        atomic {
            if
#ifndef NO_FENCE
            :: expected != fence -> skip
            :: expected == fence ->
#else
            :: true ->
#endif
                last = TOKEN;
                made++;
                assert(made <= 1);
                answers ! expected
            fi
        }
    :: network ? expected -> skip      /* it is lost */
    :: answers ? expected -> skip      /* the answer is lost */
    :: len(network) > 1 ->             /* it is overtaken */
        atomic { network ? expected; network ! expected }
    od
}

active proctype Device()
{
    byte known = 0, tries = 0, answered;

    do
    :: tries < TRIES ->
        tries++;
        network ! known;
        if
        :: answers ? answered -> is_told = true; break
        :: true ->                     /* no answer in time: the commit is in doubt */
            atomic {                   /* one transaction raises the fence and reads */
                fence++;
                known = fence;
#ifndef NO_LAST
                if
                :: last == TOKEN -> is_told = true
                :: else -> skip
                fi
#endif
            };
            if
            :: is_told -> break
            :: else -> skip
            fi
        fi
    :: tries == TRIES -> break         /* "not known", which promises nothing */
    od;
    if
    :: is_told -> assert(made == 1)
    :: else -> skip
    fi
}
