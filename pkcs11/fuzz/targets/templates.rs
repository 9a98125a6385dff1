//! Calls with templates, in any order: objects that are made, copied, found, changed and read.
#![no_main]

use std::ptr::null_mut;

use arbitrary::Arbitrary;
use cryptoki_sys::*;
use keystead_pkcs11_fuzz::{call, Bytes, Mechanism, Session, Template};

#[derive(Arbitrary, Debug)]
enum Call {
    Create(Template),
    Copy(u8, Template),
    Read(u8, Vec<(CK_ATTRIBUTE_TYPE, Option<Bytes>)>),
    ReadTemplate(u8, Template),
    Change(u8, Template),
    Find(Template),
    Destroy(u8),
    Generate(Option<Mechanism>, Template),
    GeneratePair(Option<Mechanism>, Template, Template),
    Derive(Option<Mechanism>, u8, Template),
    Unwrap(Option<Mechanism>, u8, Bytes, Template),
    Decapsulate(Option<Mechanism>, u8, Bytes, Template),
}

libfuzzer_sys::fuzz_target!(|calls: Vec<Call>| {
    let mut session = Session::open();
    for call in calls {
        run(&mut session, call);
    }
});

fn run(session: &mut Session, given: Call) {
    match given {
        Call::Create(template) => make(session, template, |session, list, count, made| {
            call!(session, C_CreateObject(list, count, made))
        }),
        Call::Copy(which, template) => make(session, template, |session, list, count, made| {
            call!(session, C_CopyObject(session.object(which), list, count, made))
        }),
        Call::Read(which, wanted) => read(session, which, wanted),
        Call::ReadTemplate(which, mut template) => {
            template.with(|list, count| {
                call!(session, C_GetAttributeValue(session.object(which), list, count))
            });
        }
        Call::Change(which, mut template) => {
            template.with(|list, count| {
                call!(session, C_SetAttributeValue(session.object(which), list, count))
            });
        }
        Call::Find(template) => find(session, template),
        Call::Destroy(which) => drop(call!(session, C_DestroyObject(session.object(which)))),
        Call::Generate(mut mechanism, template) => {
            make(session, template, |session, list, count, made| {
                Mechanism::with(&mut mechanism, |mechanism| {
                    call!(session, C_GenerateKey(mechanism, list, count, made))
                })
            });
        }
        Call::GeneratePair(mechanism, public, private) => {
            generate_pair(session, mechanism, public, private);
        }
        other => derive(session, other),
    }
}

/// Makes an object of another one: derives, unwraps or decapsulates it.
fn derive(session: &mut Session, given: Call) {
    match given {
        Call::Derive(mut mechanism, base, template) => {
            make(session, template, |session, list, count, made| {
                Mechanism::with(&mut mechanism, |mechanism| {
                    call!(session, C_DeriveKey(mechanism, session.object(base), list, count, made))
                })
            });
        }
        Call::Unwrap(mut mechanism, key, mut wrapped, template) => {
            let (bytes, length) = (wrapped.pointer(), wrapped.length());
            make(session, template, |session, list, count, made| {
                Mechanism::with(&mut mechanism, |mechanism| {
                    let key = session.object(key);
                    call!(session, C_UnwrapKey(mechanism, key, bytes, length, list, count, made))
                })
            });
        }
        Call::Decapsulate(mut mechanism, key, mut sealed, template) => {
            let (bytes, length) = (sealed.pointer(), sealed.length());
            make(session, template, |session, list, count, made| {
                Mechanism::with(&mut mechanism, |mechanism| {
                    let key = session.object(key);
                    call!(
                        session,
                        C_DecapsulateKey(mechanism, key, list, count, bytes, length, made)
                    )
                })
            });
        }
        _ => {}
    }
}

fn make(
    session: &mut Session,
    mut template: Template,
    call: impl FnOnce(&Session, *mut CK_ATTRIBUTE, CK_ULONG, *mut CK_OBJECT_HANDLE) -> CK_RV,
) {
    session.make(|session, made| template.with(|list, count| call(session, list, count, made)));
}

fn generate_pair(
    session: &mut Session,
    mut mechanism: Option<Mechanism>,
    mut public: Template,
    private: Template,
) {
    make(session, private, |session, list, count, made| {
        let mut other = 0;
        public.with(|public, public_count| {
            Mechanism::with(&mut mechanism, |mechanism| {
                call!(
                    session,
                    C_GenerateKeyPair(
                        mechanism,
                        public,
                        public_count,
                        list,
                        count,
                        &mut other,
                        made
                    )
                )
            })
        })
    });
}

/// Reads attributes into rooms of any size.
fn read(session: &Session, which: u8, mut wanted: Vec<(CK_ATTRIBUTE_TYPE, Option<Bytes>)>) {
    let mut list: Box<[_]> = wanted
        .iter_mut()
        .map(|(kind, room)| CK_ATTRIBUTE {
            type_: *kind % 0x200,
            ulValueLen: room.as_ref().map_or(*kind, Bytes::length),
            pValue: room.as_mut().map_or(null_mut(), |room| room.pointer().cast()),
        })
        .collect();
    let count = list.len() as CK_ULONG;
    call!(session, C_GetAttributeValue(session.object(which), list.as_mut_ptr(), count));
}

fn find(session: &Session, mut template: Template) {
    template.with(|list, count| call!(session, C_FindObjectsInit(list, count)));
    let (mut found, mut count) = (Box::new([0; 3]), 0);
    call!(session, C_FindObjects(found.as_mut_ptr(), 3, &mut count));
    call!(session, C_FindObjectsFinal());
}
