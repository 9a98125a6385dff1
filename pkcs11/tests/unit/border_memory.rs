//! Unit tests of `src/border/memory.rs`, which includes them.

use super::*;

#[test]
fn bytes_are_those_of_the_caller_and_null_has_none() {
    let given = [1, 2, 3];
    // SAFETY: `given` has three bytes; NULL has none.
    unsafe {
        assert_eq!(bytes(given.as_ptr(), 3), Ok(&given[..]));
        assert_eq!(bytes(std::ptr::null(), 0), Ok(&[][..]));
        assert_eq!(bytes(std::ptr::null(), 1), Err(BAD));
        assert_eq!(bytes(given.as_ptr(), MOST_BYTES + 1), Err(BAD));
        assert_eq!(text([0xff].as_ptr(), 1), Err(Refusal(CKR_PIN_INCORRECT)));
    }
}

#[test]
#[expect(clippy::cast_ptr_alignment, reason = "that is what is tested")]
fn values_are_read_and_written_at_any_address() {
    let mut room = [0u8; 1 + size_of::<CK_ULONG>()];
    let place = room[1..].as_mut_ptr().cast::<CK_ULONG>();
    // SAFETY: there is room for a number, at an odd address perhaps.
    unsafe {
        Room::new(place).unwrap().write(7);
        assert_eq!(read(place), Ok(7));
        assert!(Room::<CK_ULONG>::new(std::ptr::null_mut()).is_err());
    }
}

#[test]
fn a_template_is_copied_with_its_values() {
    let mut value = *b"tls";
    let attribute = CK_ATTRIBUTE {
        type_: CKA_ID,
        pValue: value.as_mut_ptr().cast(),
        ulValueLen: value.len() as CK_ULONG,
    };
    // SAFETY: one attribute, whose value is as long as it says.
    let copied = unsafe { template(&raw const attribute, 1) }.unwrap();
    value = *b"xxx";
    assert_eq!((copied.get(CKA_ID), &value), (Some(&b"tls"[..]), b"xxx"));
}

#[test]
fn a_list_is_counted_before_it_is_written() {
    let (mut list, mut count) = ([0; 2], 0);
    // SAFETY: `list` has room for `count`, which is set before each call.
    unsafe {
        let counted = Output::new(std::ptr::null_mut(), &raw mut count).unwrap();
        assert_eq!((counted.put(&[5, 6]), count), (Ok(()), 2));
        count = 1;
        let short = Output::new(list.as_mut_ptr(), &raw mut count).unwrap();
        assert_eq!(short.put(&[5, 6]), Err(Refusal(CKR_BUFFER_TOO_SMALL)));
        let whole = Output::new(list.as_mut_ptr(), &raw mut count).unwrap();
        assert_eq!((whole.put(&[5, 6]), list), (Ok(()), [5, 6]));
    }
}

#[test]
fn a_result_is_written_where_there_is_room_for_all_of_it() {
    let (mut room, mut length) = ([0; 3], 2);
    // SAFETY: `room` has at least `length` bytes.
    unsafe {
        let short = Output::new(room.as_mut_ptr(), &raw mut length).unwrap();
        assert_eq!(short.put(b"abc"), Err(Refusal(CKR_BUFFER_TOO_SMALL)));
        assert_eq!((&room, length), (&[0; 3], 3));
        let whole = Output::new(room.as_mut_ptr(), &raw mut length).unwrap();
        assert_eq!((whole.put(b"abc"), &room), (Ok(()), b"abc"));
        let asked = Output::<CK_BYTE>::new(std::ptr::null_mut(), &raw mut length).unwrap();
        assert_eq!((asked.is_told(2), length), (Ok(true), 2));
    }
}
