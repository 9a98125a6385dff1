//! What the fuzz targets share: a session of the module, and arguments that are made of a fuzzer's bytes.
//!
//! Each argument is memory of its own, as long as its length says, so that `AddressSanitizer` ends
//! the program at a byte too much. A panic in the module ends it too.

mod mechanism;
mod template;

use std::ptr::null_mut;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use cryptoki_sys::*;
use keystead_pkcs11 as _; // Its functions are linked by their names in C.

pub use mechanism::Mechanism;
pub use template::Template;

extern "C" {
    fn C_GetInterface(
        name: *mut CK_UTF8CHAR,
        version: *mut CK_VERSION,
        interface: *mut *mut CK_INTERFACE,
        flags: CK_FLAGS,
    ) -> CK_RV;
}

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pkcs11.toml");
const MOST_BYTES: usize = 600;

/// Calls a function of the module on a session. Ends the program if the module panicked.
#[macro_export]
macro_rules! call {
    ($session:expr, $name:ident($($argument:expr),*)) => {{
        let function = $session.functions.$name.expect(stringify!($name));
        // SAFETY: each pointer is NULL or points at as much as its length says.
        let answer = unsafe { function($session.handle, $($argument),*) };
        assert_ne!(answer, cryptoki_sys::CKR_GENERAL_ERROR, stringify!($name));
        answer
    }};
}

/// An open session, and what was made in it.
pub struct Session {
    pub functions: &'static CK_FUNCTION_LIST_3_2,
    pub handle: CK_SESSION_HANDLE,
    objects: Vec<CK_OBJECT_HANDLE>,
}

impl Session {
    pub fn open() -> Self {
        static FUNCTIONS: OnceLock<&CK_FUNCTION_LIST_3_2> = OnceLock::new();
        let functions = *FUNCTIONS.get_or_init(initialized);
        let (open, mut handle) = (functions.C_OpenSession.expect("C_OpenSession"), 0);
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        // SAFETY: there is room for a handle.
        assert_eq!(unsafe { open(0, flags, null_mut(), None, &mut handle) }, CKR_OK);
        Self { functions, handle, objects: Vec::new() }
    }

    /// Runs a call that makes an object, and keeps the object's handle.
    pub fn make(&mut self, call: impl FnOnce(&Self, *mut CK_OBJECT_HANDLE) -> CK_RV) {
        let mut handle = 0;
        if call(self, &mut handle) == CKR_OK {
            self.objects.push(handle);
        }
    }

    /// Returns the handle of an object of this session, or a handle that nobody has.
    pub fn object(&self, which: u8) -> CK_OBJECT_HANDLE {
        self.objects.get(usize::from(which)).copied().unwrap_or(CK_OBJECT_HANDLE::from(which))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        assert_eq!(call!(self, C_CloseSession()), CKR_OK);
    }
}

fn initialized() -> &'static CK_FUNCTION_LIST_3_2 {
    std::env::set_var("KEYSTEAD_PKCS11_CONFIG", CONFIGURATION);
    let (mut version, mut interface) = (CK_VERSION { major: 3, minor: 2 }, null_mut());
    // SAFETY: a version, and room for an interface, which points at a list that never changes.
    let functions = unsafe {
        assert_eq!(C_GetInterface(null_mut(), &mut version, &mut interface, 0), CKR_OK);
        &*(*interface).pFunctionList.cast::<CK_FUNCTION_LIST_3_2>()
    };
    // SAFETY: no arguments.
    let answer = unsafe { functions.C_Initialize.expect("C_Initialize")(null_mut()) };
    assert_eq!(answer, CKR_OK);
    functions
}

/// Bytes of their own. Without any, the pointer is dangling, which is allowed.
#[derive(Debug)]
pub struct Bytes(Box<[u8]>);

impl Bytes {
    pub fn pointer(&mut self) -> *mut CK_BYTE {
        self.0.as_mut_ptr()
    }

    pub fn length(&self) -> CK_ULONG {
        self.0.len() as CK_ULONG
    }
}

impl<'a> Arbitrary<'a> for Bytes {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        let length = from.arbitrary_len::<u8>()?.min(MOST_BYTES);
        Ok(Self(from.bytes(length)?.into()))
    }
}

/// Room for a result: none if only its length is asked for.
#[derive(Arbitrary, Debug)]
pub struct Room {
    bytes: Option<u8>,
    length: CK_ULONG,
}

impl Room {
    /// Runs a call that writes a result and its length.
    pub fn with(&mut self, call: impl FnOnce(*mut CK_BYTE, *mut CK_ULONG) -> CK_RV) {
        let mut bytes = self.bytes.map(|length| vec![0; length.into()].into_boxed_slice());
        let mut length = bytes.as_ref().map_or(self.length, |bytes| bytes.len() as CK_ULONG);
        call(bytes.as_mut().map_or(null_mut(), |bytes| bytes.as_mut_ptr()), &mut length);
    }
}
