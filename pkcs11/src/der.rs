//! The little DER (X.690) that keys and signatures need.

/// The tags that occur here.
pub mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const SEQUENCE: u8 = 0x30;
}

/// Returns an element: its tag, its length and the parts of its contents.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut encoded = vec![tag];
    if length < 0x80 {
        encoded.push(length.to_le_bytes()[0]);
    } else {
        let octets = length.to_be_bytes();
        let octets = without_zeros(&octets);
        encoded.push(0x80 | octets.len().to_le_bytes()[0]);
        encoded.extend(octets);
    }
    for part in parts {
        encoded.extend(*part);
    }
    encoded
}

/// Returns an unsigned INTEGER.
pub fn unsigned(number: &[u8]) -> Vec<u8> {
    let number = without_zeros(number);
    let positive: &[u8] =
        if number.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    element(tag::INTEGER, &[positive, number])
}

/// Takes an element with this tag off the front; returns its contents and what follows.
pub fn take(tag: u8, encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = encoded.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (octets, rest) = rest.split_at(count);
        (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
    };
    rest.split_at_checked(length)
}

/// Takes an element with this tag off the front; returns it with its tag and length.
pub fn take_whole(tag: u8, encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = take(tag, encoded)?;
    encoded.split_at_checked(encoded.len() - rest.len())
}

/// Returns the signature r‖s, each of `size` bytes, of one in DER (RFC 3279, 2.2.3).
pub fn raw_signature(encoded: &[u8], size: usize) -> Option<Vec<u8>> {
    let (contents, _) = take(tag::SEQUENCE, encoded)?;
    let (r, rest) = take(tag::INTEGER, contents)?;
    let (s, _) = take(tag::INTEGER, rest)?;
    let mut raw = padded(r, size)?;
    raw.extend(padded(s, size)?);
    Some(raw)
}

/// Returns a number in exactly `size` bytes.
pub fn padded(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let number = without_zeros(number);
    let mut octets = vec![0; size.checked_sub(number.len())?];
    octets.extend(number);
    Some(octets)
}

/// Returns a number without the zeros at its front.
pub fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    &number[zeros..]
}

#[cfg(test)]
#[path = "../tests/unit/der.rs"]
mod tests;
