//! Unit tests of `src/mechanisms/hash.rs`, which includes them.

use super::*;

#[test]
fn each_row_is_that_of_its_hash() {
    for (place, row) in ROWS.iter().enumerate() {
        assert_eq!((row.hash as usize, row.hash.begin().output_size()), (place, row.size));
    }
}

#[test]
fn a_digest_info_is_encoded_as_rfc_8017_says() {
    let prefixes: [&[u8]; 5] = [
        b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
        b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    ];
    for (row, prefix) in ROWS.iter().zip(prefixes) {
        let digest = vec![7; row.size];
        assert_eq!(row.hash.digest_info(&digest), [prefix, &digest].concat());
    }
}
