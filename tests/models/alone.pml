/* A member that goes on alone after the others were lost (processes/supervisor/lone_member). It is
   stopped in good order or killed, the command may be interrupted at any step and repeated, and the
   others may come back, because they were cut off and not lost.

   -D NO_STOP     the command does not wait until the old member has ended.
   -D NO_REPLAY   the new member is made of the database file as it is.
   -D NO_NEW_ID   the new cluster has the ID of the old one, as with etcd's own flag.
   -D TWO_RENAMES the old directory makes way before the new one takes its place.
   -D EARLY       the new member is in force before all of its records are there. */

#define CHANGES 3

mtype = { OLD, NEW, NONE };

byte acknowledged = 0;       /* changes that a majority has: the others, who are one here */
byte own = 0;                /* changes in the log of the member */
byte committed = 0;          /* those that this log knows to be committed */
byte database = 0;           /* those in its database file */
byte made_of = 0;            /* those in the new member */
bool is_whole = false;       /* whether the new member has all that it is made of */
bool runs = true;            /* the old member */
bool others_run = true;
bool are_linked = true;
mtype in_force = OLD;

/* What a start after an interruption finds. */
#define CAN_START (in_force == OLD || (in_force == NEW && is_whole))

active proctype Cluster()
{
end:
    do
    :: atomic { others_run && acknowledged < CHANGES -> acknowledged++ }
    :: atomic { runs && others_run && are_linked && own < acknowledged -> own++ }
    :: atomic { runs && committed < own -> committed++ }    /* the log hears of it later */
    :: atomic { runs && database < committed -> database++ }
    od
}

active proctype Network()
{
end:
    do
    :: are_linked = false
    :: atomic {
        are_linked = true;
        if
#ifdef NO_NEW_ID
        :: in_force == NEW && is_whole -> others_run = false    /* "you were removed": they end */
#endif
        :: true -> skip
        fi
        assert(others_run)
    }
    od
}

active proctype Operator()
{
begin:
    if
    :: atomic { committed = own; database = own; runs = false }  /* stopped in good order */
    :: runs = false                                              /* killed */
#ifdef NO_STOP
    :: true -> skip
#endif
    fi;
    is_whole = false;
#ifdef EARLY
    in_force = NEW;
    assert(CAN_START);
#endif
#ifdef NO_REPLAY
    made_of = database;
#else
    made_of = committed;
#endif
    if
    :: atomic { in_force == OLD -> runs = true }    /* interrupted, and started as it was */
        goto begin
    :: is_whole = true
    fi;
    if
    :: atomic { in_force == OLD -> runs = true }
        goto begin
    :: true -> skip
    fi;
#ifdef TWO_RENAMES
    in_force = NONE;
    assert(CAN_START);
#endif
    atomic {
        in_force = NEW;
        assert(CAN_START);
        assert(!runs);                  /* this member votes in one cluster only */
        assert(made_of >= committed)    /* nothing that it knows to be committed is lost */
    }
}
