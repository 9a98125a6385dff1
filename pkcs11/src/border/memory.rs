//! Reads what a caller points at, and writes what it asked for.
//!
//! Every function here trusts the caller of PKCS#11 in one point: a pointer that is not NULL points
//! at as much memory as the standard says, which nobody else changes during the call.

use std::slice;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use crate::objects::{Attribute, Template};
use crate::refusal::{require, Answer, Refusal};

const MOST_BYTES: CK_ULONG = 1 << 30;
const MOST_ATTRIBUTES: CK_ULONG = 1024;
const BAD: Refusal = Refusal(CKR_ARGUMENTS_BAD);

/// Returns a length as the size of memory. Refuses lengths that no memory has.
pub fn size(length: CK_ULONG) -> Answer<usize> {
    require(length <= MOST_BYTES, BAD)?;
    usize::try_from(length).map_err(|_| BAD)
}

/// Returns the bytes at `pointer`, which may be NULL if there are none.
///
/// # Safety
/// `pointer` is NULL or points at `length` bytes that outlive `'a`.
pub unsafe fn bytes<'a>(pointer: *const CK_BYTE, length: CK_ULONG) -> Answer<&'a [u8]> {
    let length = size(length)?;
    if length == 0 {
        return Ok(&[]);
    }
    require(!pointer.is_null(), BAD)?;
    // SAFETY: not NULL, and the caller promises `length` bytes.
    Ok(unsafe { slice::from_raw_parts(pointer, length) })
}

/// Returns the structure at `pointer`.
///
/// # Safety
/// `pointer` is NULL or points at a `T`.
pub unsafe fn read<T: Copy>(pointer: *const T) -> Answer<T> {
    require(!pointer.is_null(), BAD)?;
    // SAFETY: not NULL; parameters in structures of callers may lie at any address.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Returns a copy of a template.
///
/// # Safety
/// `pointer` is NULL or points at `count` attributes whose values are as long as they say.
pub unsafe fn template(pointer: *const CK_ATTRIBUTE, count: CK_ULONG) -> Answer<Template> {
    // SAFETY: the caller promises `count` attributes.
    let given = unsafe { structures(pointer, count) }?;
    let mut copied = Vec::with_capacity(given.len());
    for one in given {
        // SAFETY: the caller promises that each value is as long as it says.
        let value = unsafe { bytes(one.pValue.cast(), one.ulValueLen) }?;
        copied.push(Attribute { kind: one.type_, value: Zeroizing::new(value.to_vec()) });
    }
    Ok(Template(copied))
}

/// Returns the attributes that a caller wants to have filled.
///
/// # Safety
/// `pointer` is NULL or points at `count` attributes that nobody else uses during `'a`.
pub unsafe fn wanted<'a>(
    pointer: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> Answer<&'a mut [CK_ATTRIBUTE]> {
    require(!pointer.is_null() && count <= MOST_ATTRIBUTES, BAD)?;
    // SAFETY: not NULL, and the caller promises `count` attributes.
    Ok(unsafe { slice::from_raw_parts_mut(pointer, size(count)?) })
}

/// Returns what is at `pointer`: `count` structures.
///
/// # Safety
/// `pointer` is NULL or points at `count` structures that outlive `'a`.
pub unsafe fn structures<'a, T>(pointer: *const T, count: CK_ULONG) -> Answer<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    require(!pointer.is_null() && count <= MOST_ATTRIBUTES, BAD)?;
    // SAFETY: not NULL, and the caller promises `count` structures.
    Ok(unsafe { slice::from_raw_parts(pointer, size(count)?) })
}

/// Returns a text. NULL is an empty one.
///
/// # Safety
/// `pointer` is NULL or points at `length` bytes that outlive `'a`.
pub unsafe fn text<'a>(pointer: *const CK_UTF8CHAR, length: CK_ULONG) -> Answer<&'a str> {
    if pointer.is_null() {
        return Ok("");
    }
    // SAFETY: as the caller of this function promises.
    let bytes = unsafe { bytes(pointer, length) }?;
    std::str::from_utf8(bytes).map_err(|_| Refusal(CKR_PIN_INCORRECT))
}

/// Where a caller wants a value.
pub struct Room<T>(*mut T);

impl<T> Room<T> {
    /// Keeps the place for a value; refuses NULL.
    ///
    /// # Safety
    /// `pointer` is NULL or points at room for a `T`, as long as this value lives.
    pub unsafe fn new(pointer: *mut T) -> Answer<Self> {
        require(!pointer.is_null(), BAD)?;
        Ok(Self(pointer))
    }

    /// Writes the value.
    pub fn write(&self, value: T) {
        // SAFETY: `new` refused NULL, and its caller promises room for a `T`.
        unsafe { self.0.write_unaligned(value) };
    }

    /// Writes the value, which ends a call.
    #[expect(clippy::unnecessary_wraps, reason = "what a call ends with")]
    pub fn fill(&self, value: T) -> Answer<()> {
        self.write(value);
        Ok(())
    }
}

/// Where a caller wants bytes or a list, and how much room there is.
pub struct Output<T = CK_BYTE> {
    values: *mut T,
    length: Room<CK_ULONG>,
    room: CK_ULONG,
}

impl<T: Copy> Output<T> {
    /// Keeps the place for a result.
    ///
    /// # Safety
    /// `length` is NULL or points at a number; `values` is NULL or has room for as many as it says.
    /// Both stay valid as long as this value lives.
    pub unsafe fn new(values: *mut T, length: *mut CK_ULONG) -> Answer<Self> {
        // SAFETY: the caller promises a number.
        let (room, length) = unsafe { (read(length)?, Room::new(length)?) };
        Ok(Self { values, length, room })
    }

    /// Says whether only the length is wanted.
    pub fn asks_length(&self) -> bool {
        self.values.is_null()
    }

    /// Tells the caller that up to `length` values will come.
    pub fn tell_length(&self, length: usize) {
        self.length.write(length as CK_ULONG);
    }

    /// Refuses a room for less than `length`, and tells the caller how many are needed.
    pub fn require(&self, length: usize) -> Answer<()> {
        if self.room < length as CK_ULONG {
            self.tell_length(length);
            return Err(Refusal(CKR_BUFFER_TOO_SMALL));
        }
        Ok(())
    }

    /// Says whether the caller wanted only the length, and was told it; refuses a room of less.
    pub fn is_told(&self, length: usize) -> Answer<bool> {
        if self.asks_length() {
            self.tell_length(length);
            return Ok(true);
        }
        self.require(length).map(|()| false)
    }

    /// Writes the values if the caller wants more than their number, or refuses a room for less.
    pub fn put(&self, values: &[T]) -> Answer<()> {
        if self.is_told(values.len())? {
            return Ok(());
        }
        self.tell_length(values.len());
        // SAFETY: there is room for as many, which `is_told` has compared.
        unsafe { self.values.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Ok(())
    }
}

#[cfg(test)]
#[path = "../../tests/unit/border_memory.rs"]
mod tests;
