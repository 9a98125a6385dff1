//! Operations, in any order: mechanisms with parameters, data, and rooms for results.
#![no_main]

use arbitrary::Arbitrary;
use cryptoki_sys::*;
use keystead_pkcs11_fuzz::{call, Bytes, Mechanism, Room, Session, Template};

#[derive(Arbitrary, Debug)]
enum Call {
    Create(Template),
    Begin(Use, Option<Mechanism>, u8),
    Whole(Use, Bytes, Room),
    Part(Use, Bytes, Room),
    End(Use, Room),
    Verify(Bytes, Bytes),
    VerifyFinal(Bytes),
    Cancel(CK_FLAGS),
    BeginMessages(Option<Mechanism>, u8),
    Message(GcmMessage, Bytes, Bytes, Room),
    Wrap(Option<Mechanism>, u8, u8, Room),
    Encapsulate(Option<Mechanism>, u8, Template, Room),
    Random(Bytes),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Use {
    Sign,
    Verify,
    Encrypt,
    Decrypt,
    Digest,
}

#[derive(Arbitrary, Debug)]
struct GcmMessage {
    nonce: Bytes,
    tag: Box<[u8; 16]>,
    tag_bits: u8,
    fixed_bits: u8,
    generator: u8,
    is_decrypted: bool,
}

libfuzzer_sys::fuzz_target!(|calls: Vec<Call>| {
    let mut session = Session::open();
    for call in calls {
        run(&mut session, call);
    }
});

fn run(session: &mut Session, given: Call) {
    match given {
        Call::Create(mut template) => session.make(|session, made| {
            template.with(|list, count| call!(session, C_CreateObject(list, count, made)))
        }),
        Call::Begin(purpose, mut mechanism, key) => {
            Mechanism::with(&mut mechanism, |mechanism| begin(session, purpose, mechanism, key));
        }
        Call::Whole(purpose, data, room) => whole(session, purpose, data, room),
        Call::Part(purpose, data, room) => part(session, purpose, data, room),
        Call::End(purpose, room) => end(session, purpose, room),
        Call::Verify(mut data, mut signature) => {
            let (data, length) = (data.pointer(), data.length());
            call!(session, C_Verify(data, length, signature.pointer(), signature.length()));
        }
        Call::VerifyFinal(mut signature) => {
            call!(session, C_VerifyFinal(signature.pointer(), signature.length()));
        }
        Call::Cancel(flags) => drop(call!(session, C_SessionCancel(flags))),
        Call::Random(mut bytes) => {
            call!(session, C_SeedRandom(bytes.pointer(), bytes.length()));
        }
        other => run_with_keys(session, other),
    }
}

fn run_with_keys(session: &mut Session, given: Call) {
    match given {
        Call::BeginMessages(mut mechanism, key) => {
            Mechanism::with(&mut mechanism, |mechanism| {
                call!(session, C_MessageEncryptInit(mechanism, session.object(key)));
                call!(session, C_MessageDecryptInit(mechanism, session.object(key)))
            });
        }
        Call::Message(parameter, aad, text, room) => message(session, parameter, aad, text, room),
        Call::Wrap(mut mechanism, with, key, mut room) => {
            let (with, key) = (session.object(with), session.object(key));
            Mechanism::with(&mut mechanism, |mechanism| {
                room.with(|bytes, length| {
                    call!(session, C_WrapKey(mechanism, with, key, bytes, length))
                });
            });
        }
        Call::Encapsulate(mut mechanism, key, mut template, mut room) => {
            session.make(|session, made| {
                let (key, mut answer) = (session.object(key), CKR_OK);
                Mechanism::with(&mut mechanism, |mechanism| {
                    template.with(|list, count| {
                        room.with(|bytes, length| {
                            answer = call!(
                                session,
                                C_EncapsulateKey(mechanism, key, list, count, bytes, length, made)
                            );
                            answer
                        })
                    })
                });
                answer
            })
        }
        _ => {}
    }
}

fn begin(session: &Session, purpose: Use, mechanism: *mut CK_MECHANISM, key: u8) -> CK_RV {
    let key = session.object(key);
    match purpose {
        Use::Sign => call!(session, C_SignInit(mechanism, key)),
        Use::Verify => call!(session, C_VerifyInit(mechanism, key)),
        Use::Encrypt => call!(session, C_EncryptInit(mechanism, key)),
        Use::Decrypt => call!(session, C_DecryptInit(mechanism, key)),
        Use::Digest => call!(session, C_DigestInit(mechanism)),
    }
}

fn whole(session: &Session, purpose: Use, mut data: Bytes, mut room: Room) {
    let (data, length) = (data.pointer(), data.length());
    room.with(|bytes, room| match purpose {
        Use::Sign | Use::Verify => call!(session, C_Sign(data, length, bytes, room)),
        Use::Encrypt => call!(session, C_Encrypt(data, length, bytes, room)),
        Use::Decrypt => call!(session, C_Decrypt(data, length, bytes, room)),
        Use::Digest => call!(session, C_Digest(data, length, bytes, room)),
    });
}

fn part(session: &Session, purpose: Use, mut data: Bytes, mut room: Room) {
    let (data, length) = (data.pointer(), data.length());
    room.with(|bytes, room| match purpose {
        Use::Sign => call!(session, C_SignUpdate(data, length)),
        Use::Verify => call!(session, C_VerifyUpdate(data, length)),
        Use::Encrypt => call!(session, C_EncryptUpdate(data, length, bytes, room)),
        Use::Decrypt => call!(session, C_DecryptUpdate(data, length, bytes, room)),
        Use::Digest => call!(session, C_DigestUpdate(data, length)),
    });
}

fn end(session: &Session, purpose: Use, mut room: Room) {
    room.with(|bytes, room| match purpose {
        Use::Sign | Use::Verify => call!(session, C_SignFinal(bytes, room)),
        Use::Encrypt => call!(session, C_EncryptFinal(bytes, room)),
        Use::Decrypt => call!(session, C_DecryptFinal(bytes, room)),
        Use::Digest => call!(session, C_DigestFinal(bytes, room)),
    });
}

fn message(
    session: &Session,
    mut given: GcmMessage,
    mut aad: Bytes,
    mut text: Bytes,
    mut room: Room,
) {
    let mut parameter = Box::new(CK_GCM_MESSAGE_PARAMS {
        pIv: given.nonce.pointer(),
        ulIvLen: given.nonce.length(),
        ulIvFixedBits: given.fixed_bits.into(),
        ivGenerator: given.generator.into(),
        pTag: given.tag.as_mut_ptr(),
        ulTagBits: CK_ULONG::from(given.tag_bits).min(128),
    });
    let parameter = (&raw mut *parameter).cast();
    let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
    let (aad, aad_length) = (aad.pointer(), aad.length());
    let (text, length) = (text.pointer(), text.length());
    room.with(|bytes, room| {
        if given.is_decrypted {
            call!(
                session,
                C_DecryptMessage(parameter, size, aad, aad_length, text, length, bytes, room)
            )
        } else {
            call!(
                session,
                C_EncryptMessage(parameter, size, aad, aad_length, text, length, bytes, room)
            )
        }
    });
}
